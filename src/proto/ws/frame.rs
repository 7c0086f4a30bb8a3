//! Frame headers (RFC 6455 §5.2): a parser for input in pieces, and an encoder.
//!
//! ```text
//!  FIN RSV1 RSV2 RSV3 opcode(4) │ MASK length(7) │ 126: 2 bytes, 127: 8 bytes │ MASK: key of 4 bytes
//! ```

use super::{Fault, Mask};

/// Maximum length of a header.
pub const MAX_HEADER_BYTES: usize = 14;
/// Maximum payload length of a control frame (RFC 6455 §5.5).
pub const MAX_CONTROL_BYTES: usize = 125;

const FIN: u8 = 0x80;
const RSV1: u8 = 0x40;
const RSV2_AND_3: u8 = 0x30;
const MASKED: u8 = 0x80;

/// Type of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Opcode {
    /// Next fragment of a message.
    Continuation = 0,
    /// Text message, or its first fragment.
    Text = 1,
    /// Binary message, or its first fragment.
    Binary = 2,
    /// End of one direction of the connection.
    Close = 8,
    /// Request for a pong.
    Ping = 9,
    /// Response to a ping.
    Pong = 10,
}

impl Opcode {
    fn new(bits: u8) -> Result<Self, Fault> {
        match bits {
            0 => Ok(Self::Continuation),
            1 => Ok(Self::Text),
            2 => Ok(Self::Binary),
            8 => Ok(Self::Close),
            9 => Ok(Self::Ping),
            10 => Ok(Self::Pong),
            _ => Err(Fault::Opcode),
        }
    }

    /// Returns `true` for Close, Ping and Pong, which may appear between the fragments of a message.
    pub fn is_control(self) -> bool {
        self as u8 >= 8
    }
}

/// Header of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// `true` if the message ends with this frame.
    pub fin: bool,
    /// First reserved bit: the message is compressed (RFC 7692 §6). The other reserved bits are never set.
    pub rsv1: bool,
    /// Type of the frame.
    pub opcode: Opcode,
    /// Masking key, if the payload is masked.
    pub key: Option<[u8; 4]>,
    /// Length of the payload in bytes, below 2^63.
    pub len: u64,
}

impl Header {
    /// Creates the header of an unfragmented message or a control frame, neither compressed nor masked.
    pub fn new(opcode: Opcode, len: usize) -> Self {
        Self { fin: true, rsv1: false, opcode, key: None, len: len as u64 }
    }

    /// Parses the header at the start of `bytes`. Returns it with its length, or `None` if it is incomplete.
    ///
    /// # Errors
    ///
    /// The header is invalid in every context. Reported once the header is complete.
    pub fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, Fault> {
        let [first, second, rest @ ..] = bytes else { return Ok(None) };
        let Some((len, rest)) = length(second & !MASKED, rest) else { return Ok(None) };
        let (key, rest) = match (second & MASKED, rest.split_first_chunk()) {
            (0, _) => (None, rest),
            (_, Some((key, rest))) => (Some(*key), rest),
            (_, None) => return Ok(None),
        };
        if first & RSV2_AND_3 != 0 {
            return Err(Fault::ReservedBits);
        }
        let opcode = Opcode::new(first & 0x0f)?;
        let header = Self { fin: first & FIN != 0, rsv1: first & RSV1 != 0, opcode, key, len };
        header.check(second & !MASKED)?;
        Ok(Some((header, bytes.len() - rest.len())))
    }

    /// Checks the length against its encoding and the opcode. `short_len` is the seven-bit length.
    fn check(&self, short_len: u8) -> Result<(), Fault> {
        let minimal = match short_len {
            126 => self.len > 125,
            127 => self.len > u64::from(u16::MAX),
            _ => true,
        };
        match self.opcode.is_control() {
            true if !self.fin => Err(Fault::ControlFragmented),
            true if short_len > 125 => Err(Fault::ControlTooLong),
            _ if self.len >> 63 != 0 => Err(Fault::LengthTooLong),
            _ if !minimal => Err(Fault::LengthNotMinimal),
            _ => Ok(()),
        }
    }

    /// Appends the header in its shortest form, including the key.
    pub fn append_to(&self, out: &mut Vec<u8>) {
        let mask_bit = if self.key.is_some() { MASKED } else { 0 };
        let (fin, rsv1) = (if self.fin { FIN } else { 0 }, if self.rsv1 { RSV1 } else { 0 });
        out.push(fin | rsv1 | self.opcode as u8);
        match self.len {
            0..=125 => out.push(mask_bit | self.len as u8),
            126..=0xffff => {
                out.push(mask_bit | 126);
                out.extend_from_slice(&(self.len as u16).to_be_bytes());
            }
            _ => {
                out.push(mask_bit | 127);
                out.extend_from_slice(&self.len.to_be_bytes());
            }
        }
        out.extend_from_slice(self.key.as_ref().map_or(&[], |key| &key[..]));
    }

    /// Appends the header and the payload, masked if the header has a key. The payload must have the length
    /// in the header.
    pub fn append_frame(&self, out: &mut Vec<u8>, payload: &[u8]) {
        debug_assert_eq!(self.len, payload.len() as u64);
        out.reserve(MAX_HEADER_BYTES + payload.len());
        self.append_to(out);
        match self.key {
            None => out.extend_from_slice(payload),
            Some(key) => Mask::new(key).append(out, payload),
        }
    }
}

/// Parses the length from the seven-bit length and the bytes after it. Returns it with the remaining bytes.
fn length(short_len: u8, rest: &[u8]) -> Option<(u64, &[u8])> {
    match short_len {
        126 => rest.split_first_chunk().map(|(len, rest)| (u64::from(u16::from_be_bytes(*len)), rest)),
        127 => rest.split_first_chunk().map(|(len, rest)| (u64::from_be_bytes(*len), rest)),
        _ => Some((u64::from(short_len), rest)),
    }
}

/// Parser of headers that arrive in pieces.
#[derive(Debug, Default)]
pub struct Reader {
    bytes: [u8; MAX_HEADER_BYTES],
    len: usize,
}

impl Reader {
    /// Parses one header and removes it from the input. Returns `None` if the header is incomplete and all of
    /// the input is consumed.
    ///
    /// # Errors
    ///
    /// See [`Header::parse`]. The reader must not be used after an error.
    pub fn read(&mut self, input: &mut &[u8]) -> Result<Option<Header>, Fault> {
        if self.len == 0
            && let Some((header, len)) = Header::parse(input)?
        {
            *input = &input[len..];
            return Ok(Some(header));
        }
        let copied = input.len().min(MAX_HEADER_BYTES - self.len);
        self.bytes[self.len..self.len + copied].copy_from_slice(&input[..copied]);
        let Some((header, len)) = Header::parse(&self.bytes[..self.len + copied])? else {
            // The buffer holds the longest header, so an incomplete one has consumed all of the input.
            self.len += copied;
            *input = &[];
            return Ok(None);
        };
        *input = &input[len - self.len..];
        self.len = 0;
        Ok(Some(header))
    }

    /// Returns `true` if a part of a header has been read.
    pub fn is_partial(&self) -> bool {
        self.len > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(bytes: &[u8]) -> Result<Header, Fault> {
        Header::parse(bytes).map(|found| found.expect("a whole header").0)
    }

    #[test]
    fn lengths_are_written_in_their_shortest_form_and_read_back_from_any_pieces() {
        let forms = [(0, 2), (125, 2), (126, 4), (65_535, 4), (65_536, 10), ((1 << 63) - 1, 10)];
        for (len, bytes) in forms {
            for key in [None, Some([1, 2, 3, 4])] {
                let header = Header { fin: false, rsv1: true, opcode: Opcode::Binary, key, len };
                let mut wire = Vec::new();
                header.append_to(&mut wire);
                assert_eq!(wire.len(), bytes + key.map_or(0, |_| 4));
                wire.push(0x55);
                let mut reader = Reader::default();
                for byte in &wire[..wire.len() - 2] {
                    assert_eq!(reader.read(&mut &[*byte][..]), Ok(None));
                    assert!(reader.is_partial());
                }
                let mut rest = &wire[wire.len() - 2..];
                assert_eq!(reader.read(&mut rest), Ok(Some(header)));
                assert_eq!(rest, [0x55]);
                assert!(!reader.is_partial());
            }
        }
    }

    #[test]
    fn invalid_headers_are_rejected() {
        assert_eq!(parsed(&[0xa1, 0]), Err(Fault::ReservedBits));
        assert_eq!(parsed(&[0x91, 0]), Err(Fault::ReservedBits));
        for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
            assert_eq!(parsed(&[FIN | opcode, 0]), Err(Fault::Opcode));
        }
        assert_eq!(parsed(&[0x09, 0]), Err(Fault::ControlFragmented));
        assert_eq!(parsed(&[0x89, 126, 0, 126]), Err(Fault::ControlTooLong));
        assert_eq!(parsed(&[0x82, 126, 0, 125]), Err(Fault::LengthNotMinimal));
        assert_eq!(parsed(&[0x82, 127, 0, 0, 0, 0, 0, 0, 0xff, 0xff]), Err(Fault::LengthNotMinimal));
        assert_eq!(parsed(&[0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0]), Err(Fault::LengthTooLong));
    }
}
