//! Frames (RFC 9113 §4, §6): their header, and the small ones that this side sends.

use super::ErrorCode;

/// Bytes of a frame's header.
pub const HEADER_BYTES: usize = 9;

/// Longest payload that a peer may send, and the longest DATA that this side sends: the default of
/// SETTINGS_MAX_FRAME_SIZE, which this side does not change.
pub const PAYLOAD_BYTES_MAX: usize = 16_384;

/// Flags, by their names in RFC 9113 §6.
pub mod flag {
    /// DATA and HEADERS: the sender sends nothing more on the stream.
    pub const END_STREAM: u8 = 0x1;
    /// SETTINGS and PING: the frame acknowledges one.
    pub const ACK: u8 = 0x1;
    /// HEADERS and CONTINUATION: the header block is complete.
    pub const END_HEADERS: u8 = 0x4;
    /// DATA and HEADERS: the payload starts with the length of its padding.
    pub const PADDED: u8 = 0x8;
    /// HEADERS: a deprecated priority comes first.
    pub const PRIORITY: u8 = 0x20;
}

/// The type of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names of the RFCs")]
pub enum FrameType {
    Data,
    Headers,
    Priority,
    RstStream,
    Settings,
    PushPromise,
    Ping,
    Goaway,
    WindowUpdate,
    Continuation,
    PriorityUpdate,
    /// A type to be ignored (RFC 9113 §5.5).
    Unknown,
}

impl FrameType {
    /// Returns the type that a number names.
    pub fn from_u8(byte: u8) -> Self {
        match byte {
            0x0 => Self::Data,
            0x1 => Self::Headers,
            0x2 => Self::Priority,
            0x3 => Self::RstStream,
            0x4 => Self::Settings,
            0x5 => Self::PushPromise,
            0x6 => Self::Ping,
            0x7 => Self::Goaway,
            0x8 => Self::WindowUpdate,
            0x9 => Self::Continuation,
            0x10 => Self::PriorityUpdate,
            _ => Self::Unknown,
        }
    }

    /// Returns the type as it is sent.
    fn to_u8(self) -> u8 {
        match self {
            Self::PriorityUpdate => 0x10,
            // The others have the numbers of RFC 9113, in order.
            other => other as u8,
        }
    }
}

/// The header of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// Bytes of the payload.
    pub len: usize,
    /// The type.
    pub frame_type: FrameType,
    /// The flags as received.
    pub flags: u8,
    /// Identifier of the stream; 0 for the connection.
    pub stream: u32,
}

impl FrameHeader {
    /// Reads a header; the reserved bit is ignored.
    #[inline]
    pub fn parse(bytes: &[u8; HEADER_BYTES]) -> Self {
        let [l0, l1, l2, frame_type, flags, s0, s1, s2, s3] = *bytes;
        Self {
            len: u32::from_be_bytes([0, l0, l1, l2]) as usize,
            frame_type: FrameType::from_u8(frame_type),
            flags,
            stream: u32::from_be_bytes([s0, s1, s2, s3]) & 0x7fff_ffff,
        }
    }

    /// Returns `true` if the flag is set.
    #[inline]
    pub fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// Returns the bytes of a frame's header.
#[inline]
pub fn header(len: usize, frame_type: FrameType, flags: u8, stream: u32) -> [u8; HEADER_BYTES] {
    let [_, l0, l1, l2] = (len as u32).to_be_bytes();
    let [s0, s1, s2, s3] = stream.to_be_bytes();
    [l0, l1, l2, frame_type.to_u8(), flags, s0, s1, s2, s3]
}

/// Appends the header of a frame. The caller appends `len` bytes of payload.
#[inline]
pub(super) fn write_header(out: &mut Vec<u8>, len: usize, frame_type: FrameType, flags: u8, stream: u32) {
    out.extend_from_slice(&header(len, frame_type, flags, stream));
}

pub(super) fn write_reset(out: &mut Vec<u8>, stream: u32, code: ErrorCode) {
    write_header(out, 4, FrameType::RstStream, 0, stream);
    out.extend_from_slice(&code.to_u32().to_be_bytes());
}

pub(super) fn write_window_update(out: &mut Vec<u8>, stream: u32, increment: u32) {
    write_header(out, 4, FrameType::WindowUpdate, 0, stream);
    out.extend_from_slice(&increment.to_be_bytes());
}

pub(super) fn write_ping(out: &mut Vec<u8>, flags: u8, payload: &[u8; 8]) {
    write_header(out, payload.len(), FrameType::Ping, flags, 0);
    out.extend_from_slice(payload);
}

pub(super) fn write_settings_ack(out: &mut Vec<u8>) {
    write_header(out, 0, FrameType::Settings, flag::ACK, 0);
}

pub(super) fn write_goaway(out: &mut Vec<u8>, last_stream: u32, code: ErrorCode, text: &str) {
    write_header(out, 8 + text.len(), FrameType::Goaway, 0, 0);
    out.extend_from_slice(&last_stream.to_be_bytes());
    out.extend_from_slice(&code.to_u32().to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_written_as_they_are_read() {
        for byte in 0..=0xff_u8 {
            let frame_type = FrameType::from_u8(byte);
            if frame_type != FrameType::Unknown {
                let bytes = header(0x01_02_03, frame_type, 0x25, 0x7fff_fffe);
                let read = FrameHeader::parse(&bytes);
                assert_eq!((bytes[3], read.frame_type), (byte, frame_type));
                assert_eq!((read.len, read.flags, read.stream), (0x01_02_03, 0x25, 0x7fff_fffe));
            }
        }
    }
}
