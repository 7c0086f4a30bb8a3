//! Compressor and decompressor of complete messages.

use zlib_rs::{Deflate, DeflateConfig, DeflateFlush, Inflate, InflateFlush, Status};

use super::{super::Fault, MAX_WINDOW_BITS, MIN_WINDOW_BITS};

/// End of a flushed DEFLATE block. It is not transmitted (RFC 7692 §7.2.1).
const BLOCK_END: [u8; 4] = [0x00, 0x00, 0xff, 0xff];
/// Size of the pieces in which messages are inflated, in bytes.
const INFLATE_PIECE_BYTES: usize = 16 * 1024;
/// Step in which the output buffer of the compressor grows, in bytes.
const DEFLATE_PIECE_BYTES: usize = 16 * 1024;

/// Decompressor of messages. It uses 47 KiB.
pub struct Inflater {
    stream: Inflate,
}

impl Inflater {
    /// Creates a decompressor for every window size.
    pub fn new() -> Self {
        Self { stream: Inflate::new(false, MAX_WINDOW_BITS) }
    }

    /// Clears the context. Later messages cannot refer to earlier ones.
    pub fn reset(&mut self) {
        self.stream.reset(false);
    }

    /// Inflates one message and passes it to `sink` in pieces. An error of `sink` stops the inflation.
    /// `buffer` is scratch memory that the caller can reuse.
    ///
    /// # Errors
    ///
    /// The input is not valid DEFLATE, or it refers to data outside the context. Errors of `sink` are
    /// returned.
    pub fn inflate(
        &mut self,
        compressed: &[u8],
        buffer: &mut Vec<u8>,
        mut sink: impl FnMut(&[u8]) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        buffer.resize(INFLATE_PIECE_BYTES, 0);
        self.inflate_part(compressed, buffer, &mut sink)?;
        self.inflate_part(&BLOCK_END, buffer, &mut sink)
    }

    fn inflate_part(
        &mut self,
        mut rest: &[u8],
        buffer: &mut [u8],
        sink: &mut impl FnMut(&[u8]) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        loop {
            let (consumed, produced) = (self.stream.total_in(), self.stream.total_out());
            let status =
                self.stream.decompress(rest, buffer, InflateFlush::SyncFlush).map_err(|_| Fault::Deflate)?;
            let consumed = (self.stream.total_in() - consumed) as usize;
            let produced = (self.stream.total_out() - produced) as usize;
            rest = &rest[consumed..];
            sink(&buffer[..produced])?;
            match status {
                // A final block may appear anywhere and more blocks may follow it (RFC 7692 §7.2.3.4). The
                // decompressor starts again after it. Each final block consumes input, so the loop ends.
                Status::StreamEnd => self.reset(),
                _ if consumed == 0 && produced == 0 && !rest.is_empty() => return Err(Fault::Deflate),
                // Free space in the buffer means that no output is pending.
                _ if rest.is_empty() && produced < buffer.len() => return Ok(()),
                _ => continue,
            }
            if rest.is_empty() {
                return Ok(());
            }
        }
    }
}

impl Default for Inflater {
    fn default() -> Self {
        Self::new()
    }
}

/// Compressor of messages. It uses 372 KiB with the largest window and 245 KiB with the smallest.
pub struct Deflater {
    stream: Deflate,
    window_bits: u8,
    level: u8,
}

impl Deflater {
    /// Creates a compressor. `level` is clamped to 1–9 and `window_bits` to 9–15.
    pub fn new(level: u8, window_bits: u8) -> Self {
        let window_bits = window_bits.clamp(MIN_WINDOW_BITS, MAX_WINDOW_BITS);
        let level = level.clamp(1, 9);
        let config = DeflateConfig {
            level: i32::from(level),
            window_bits: -i32::from(window_bits),
            ..DeflateConfig::default()
        };
        Self { stream: Deflate::new_with_config(config), window_bits, level }
    }

    /// Returns the LZ77 window as a power of two.
    pub fn window_bits(&self) -> u8 {
        self.window_bits
    }

    /// Clears the context. Later messages do not refer to earlier ones. Costs about 3 µs.
    pub fn reset(&mut self) {
        self.stream.reset();
    }

    /// Clears the context and sets the level.
    pub fn reset_to(&mut self, level: u8) {
        if self.level == level.clamp(1, 9) {
            self.reset();
        } else {
            *self = Self::new(level, self.window_bits);
        }
    }

    /// Appends one compressed message to `out`, at least one byte, without the end that is not transmitted.
    /// Returns `false` if the codec fails. Then `out` is unchanged and the context is cleared.
    pub fn deflate(&mut self, data: &[u8], out: &mut Vec<u8>) -> bool {
        let start = out.len();
        let mut rest = data;
        loop {
            let (consumed, produced, at) = (self.stream.total_in(), self.stream.total_out(), out.len());
            out.resize(at + DEFLATE_PIECE_BYTES, 0);
            if self.stream.compress(rest, &mut out[at..], DeflateFlush::SyncFlush).is_err() {
                out.truncate(start);
                self.reset();
                return false;
            }
            rest = &rest[(self.stream.total_in() - consumed) as usize..];
            let produced = (self.stream.total_out() - produced) as usize;
            out.truncate(at + produced);
            if produced < DEFLATE_PIECE_BYTES && rest.is_empty() {
                break;
            }
        }
        if out[start..].ends_with(&BLOCK_END) {
            out.truncate(out.len() - BLOCK_END.len());
        }
        if out.len() == start {
            // An empty message produces no output, but it is transmitted as one empty stored block without
            // its end (§7.2.3.6).
            out.push(0);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inflated(inflater: &mut Inflater, compressed: &[u8]) -> Result<Vec<u8>, Fault> {
        let mut out = Vec::new();
        inflater.inflate(compressed, &mut Vec::new(), |piece| {
            out.extend_from_slice(piece);
            Ok(())
        })?;
        Ok(out)
    }

    fn deflated(deflater: &mut Deflater, data: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        assert!(deflater.deflate(data, &mut out));
        out
    }

    #[test]
    fn the_examples_of_the_rfc_are_inflated() {
        let mut inflater = Inflater::new();
        // §7.2.3.1: one block. §7.2.3.2: the same text with the context of the first.
        assert_eq!(inflated(&mut inflater, &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]).unwrap(), b"Hello");
        assert_eq!(inflated(&mut inflater, &[0xf2, 0x00, 0x11, 0x00, 0x00]).unwrap(), b"Hello");
        // §7.2.3.3: no compression. §7.2.3.4: a final block. §7.2.3.5: two blocks.
        let stored = [0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00];
        let last = [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00];
        let two = [0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00];
        for example in [&stored[..], &last, &two] {
            assert_eq!(inflated(&mut inflater, example).unwrap(), b"Hello");
        }
        assert_eq!(inflated(&mut inflater, &[0]).unwrap(), b"");
        assert_eq!(deflated(&mut Deflater::new(6, 15), b"Hello"), [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]);
    }

    #[test]
    fn a_message_after_a_final_block_has_a_new_context() {
        let mut inflater = Inflater::new();
        let two_finals =
            [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00];
        assert_eq!(inflated(&mut inflater, &two_finals).unwrap(), b"HelloHello");
        assert_eq!(inflated(&mut inflater, &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]).unwrap(), b"Hello");
    }

    #[test]
    fn no_message_refers_to_one_before_a_reset() {
        let secret = b"a secret of another connection, long enough to refer to";
        let mut deflater = Deflater::new(6, 15);
        let first = deflated(&mut deflater, secret);
        let second = deflated(&mut deflater, secret);
        assert!(second.len() < 10, "the second message refers to the first");
        let mut inflater = Inflater::new();
        assert_eq!(inflated(&mut inflater, &first).unwrap(), secret);
        inflater.reset();
        assert_eq!(inflated(&mut inflater, &second), Err(Fault::Deflate));
        deflater.reset();
        assert_eq!(deflated(&mut deflater, secret), first);
    }

    #[test]
    fn each_empty_message_is_sent_and_inflates_to_nothing() {
        let mut deflater = Deflater::new(2, 15);
        let mut inflater = Inflater::new();
        for data in [&b""[..], b"", b"x", b"", b""] {
            let wire = deflated(&mut deflater, data);
            assert!(!wire.is_empty());
            assert_eq!(inflated(&mut inflater, &wire).unwrap(), data);
        }
    }

    #[test]
    fn every_window_and_level_round_trips_beyond_one_piece_of_output() {
        let text: Vec<u8> =
            (0..60_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8 & 0x5f).collect();
        for window_bits in MIN_WINDOW_BITS..=MAX_WINDOW_BITS {
            for level in 1..=9 {
                let (mut deflater, mut inflater) = (Deflater::new(level, window_bits), Inflater::new());
                for data in [&text[..], &text[..500], &text[..], b"", &[b'a'; 40_000]] {
                    let wire = deflated(&mut deflater, data);
                    assert!(!wire.ends_with(&BLOCK_END));
                    assert!(
                        inflated(&mut inflater, &wire).unwrap() == data,
                        "level {level}, window {window_bits}"
                    );
                }
            }
        }
    }

    #[test]
    fn the_compressor_stays_within_a_small_window() {
        let mut state = 1_u64;
        let noise = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        });
        let part: Vec<u8> = noise.take(600).collect();
        let twice = [&part[..], &part[..]].concat();
        assert!(
            deflated(&mut Deflater::new(9, 10), &twice).len() < 900,
            "a window of 1 KiB reaches back 600 bytes"
        );
        assert!(
            deflated(&mut Deflater::new(9, 9), &twice).len() > 1100,
            "a window of 512 bytes does not reach back 600 bytes"
        );
    }

    #[test]
    fn invalid_input_is_rejected_and_the_sink_can_stop_a_bomb() {
        let mut inflater = Inflater::new();
        assert_eq!(inflated(&mut inflater, b"\xff\xff\xff\xff"), Err(Fault::Deflate));
        let bomb = deflated(&mut Deflater::new(9, 15), &vec![0; 50_000_000]);
        assert!(bomb.len() < 60_000);
        inflater.reset();
        let mut seen = 0;
        let verdict = inflater.inflate(&bomb, &mut Vec::new(), |piece| {
            seen += piece.len();
            if seen > 1_000_000 { Err(Fault::InflatedTooBig) } else { Ok(()) }
        });
        assert_eq!(verdict, Err(Fault::InflatedTooBig));
        assert!(seen <= 1_000_000 + INFLATE_PIECE_BYTES);
    }
}
