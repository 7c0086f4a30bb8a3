//! The two directions of DEFLATE, a message at a time.

use zlib_rs::{Deflate, DeflateConfig, DeflateFlush, Inflate, InflateFlush, Status};

use super::{super::Fault, MAX_WINDOW_BITS, MIN_WINDOW_BITS};

/// The end of every flushed block, which the wire leaves out (RFC 7692 §7.2.1).
const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];
/// How much is inflated at a time.
const INFLATED_BYTES: usize = 16 * 1024;
/// How much room compressed bytes get at a time.
const DEFLATED_BYTES: usize = 16 * 1024;

/// Inflates messages. Costs 47 KiB.
pub struct Inflater {
    stream: Inflate,
}

impl Inflater {
    /// Makes one for any window that a peer may use.
    pub fn new() -> Self {
        Self { stream: Inflate::new(false, MAX_WINDOW_BITS) }
    }

    /// Forgets earlier messages: nothing can refer to them any more.
    pub fn reset(&mut self) {
        self.stream.reset(false);
    }

    /// Inflates one message; `take` gets it in pieces and may end it. `room` is memory of the caller that may
    /// be reused.
    ///
    /// # Errors
    ///
    /// The bytes are not DEFLATE, or refer to more than was sent; or `take` said so.
    pub fn message(
        &mut self,
        compressed: &[u8],
        room: &mut Vec<u8>,
        mut take: impl FnMut(&[u8]) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        room.resize(INFLATED_BYTES, 0);
        self.part(compressed, room, &mut take)?;
        self.part(&TAIL, room, &mut take)
    }

    fn part(
        &mut self,
        mut rest: &[u8],
        room: &mut [u8],
        take: &mut impl FnMut(&[u8]) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        loop {
            let (taken, made) = (self.stream.total_in(), self.stream.total_out());
            let status =
                self.stream.decompress(rest, room, InflateFlush::SyncFlush).map_err(|_| Fault::Deflate)?;
            let taken = (self.stream.total_in() - taken) as usize;
            let made = (self.stream.total_out() - made) as usize;
            rest = &rest[taken..];
            take(&room[..made])?;
            match status {
                // A final block may stand anywhere and more may follow it (RFC 7692 §7.2.3.4); the decoder
                // starts anew behind it. Each takes input, so this ends.
                Status::StreamEnd => self.reset(),
                _ if taken == 0 && made == 0 && !rest.is_empty() => return Err(Fault::Deflate),
                // Room left over says that no output waits.
                _ if rest.is_empty() && made < room.len() => return Ok(()),
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

/// Compresses messages. Costs 372 KiB at the largest window, 245 KiB at the smallest.
pub struct Deflater {
    stream: Deflate,
    window_bits: u8,
    level: u8,
}

impl Deflater {
    /// Makes one. Numbers out of range (`level` 1–9, `window_bits` 9–15) are taken for the nearest.
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

    /// Returns its LZ77 window, as a power of two.
    pub fn window_bits(&self) -> u8 {
        self.window_bits
    }

    /// Forgets earlier messages: no later one refers to them. Costs about 3 µs.
    pub fn reset(&mut self) {
        self.stream.reset();
    }

    /// Forgets earlier messages, and goes on with this effort.
    pub fn reset_to(&mut self, level: u8) {
        if self.level == level.clamp(1, 9) {
            self.reset();
        } else {
            *self = Self::new(level, self.window_bits);
        }
    }

    /// Appends one message as the wire carries it, without the tail; at least one byte. False if the codec
    /// failed: `out` is as it was, and the context is reset.
    pub fn message(&mut self, data: &[u8], out: &mut Vec<u8>) -> bool {
        let start = out.len();
        let mut rest = data;
        loop {
            let (taken, made, at) = (self.stream.total_in(), self.stream.total_out(), out.len());
            out.resize(at + DEFLATED_BYTES, 0);
            if self.stream.compress(rest, &mut out[at..], DeflateFlush::SyncFlush).is_err() {
                out.truncate(start);
                self.reset();
                return false;
            }
            rest = &rest[(self.stream.total_in() - taken) as usize..];
            let made = (self.stream.total_out() - made) as usize;
            out.truncate(at + made);
            if made < DEFLATED_BYTES && rest.is_empty() {
                break;
            }
        }
        if out[start..].ends_with(&TAIL) {
            out.truncate(out.len() - TAIL.len());
        }
        if out.len() == start {
            // Nothing to flush, nothing written: an empty message is one empty stored block without its tail
            // (§7.2.3.6).
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
        inflater.message(compressed, &mut Vec::new(), |piece| {
            out.extend_from_slice(piece);
            Ok(())
        })?;
        Ok(out)
    }

    fn deflated(deflater: &mut Deflater, data: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        assert!(deflater.message(data, &mut out));
        out
    }

    #[test]
    fn the_examples_of_the_rfc_inflate() {
        let mut inflater = Inflater::new();
        // §7.2.3.1: one block; then §7.2.3.2: the same with the context of the first.
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
    fn a_message_after_a_final_block_is_inflated_from_nothing() {
        let mut inflater = Inflater::new();
        let two_finals =
            [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00];
        assert_eq!(inflated(&mut inflater, &two_finals).unwrap(), b"HelloHello");
        assert_eq!(inflated(&mut inflater, &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]).unwrap(), b"Hello");
    }

    #[test]
    fn nothing_refers_to_what_came_before_a_reset() {
        let secret = b"a secret of another connection, long enough to refer to";
        let mut deflater = Deflater::new(6, 15);
        let first = deflated(&mut deflater, secret);
        let second = deflated(&mut deflater, secret);
        assert!(second.len() < 10, "the second refers to the first");
        let mut inflater = Inflater::new();
        assert_eq!(inflated(&mut inflater, &first).unwrap(), secret);
        inflater.reset();
        assert_eq!(inflated(&mut inflater, &second), Err(Fault::Deflate));
        deflater.reset();
        assert_eq!(deflated(&mut deflater, secret), first);
    }

    #[test]
    fn empty_messages_are_one_byte_however_many_there_are() {
        let mut deflater = Deflater::new(2, 15);
        let mut inflater = Inflater::new();
        for data in [&b""[..], b"", b"x", b"", b""] {
            let wire = deflated(&mut deflater, data);
            assert!(!wire.is_empty());
            assert_eq!(inflated(&mut inflater, &wire).unwrap(), data);
        }
    }

    #[test]
    fn every_window_and_level_comes_back_also_beyond_one_piece_of_output() {
        let text: Vec<u8> =
            (0..60_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8 & 0x5f).collect();
        for window_bits in MIN_WINDOW_BITS..=MAX_WINDOW_BITS {
            for level in 1..=9 {
                let (mut deflater, mut inflater) = (Deflater::new(level, window_bits), Inflater::new());
                for data in [&text[..], &text[..500], &text[..], b"", &[b'a'; 40_000]] {
                    let wire = deflated(&mut deflater, data);
                    assert!(!wire.ends_with(&TAIL));
                    assert!(
                        inflated(&mut inflater, &wire).unwrap() == data,
                        "level {level}, window {window_bits}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_small_window_is_kept_to() {
        let mut state = 1_u64;
        let noise = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        });
        let part: Vec<u8> = noise.take(600).collect();
        let twice = [&part[..], &part[..]].concat();
        assert!(deflated(&mut Deflater::new(9, 10), &twice).len() < 900, "1 KiB reaches back 600 bytes");
        assert!(deflated(&mut Deflater::new(9, 9), &twice).len() > 1100, "512 bytes do not");
    }

    #[test]
    fn garbage_is_refused_and_a_bomb_stops_when_the_taker_says_so() {
        let mut inflater = Inflater::new();
        assert_eq!(inflated(&mut inflater, b"\xff\xff\xff\xff"), Err(Fault::Deflate));
        let bomb = deflated(&mut Deflater::new(9, 15), &vec![0; 50_000_000]);
        assert!(bomb.len() < 60_000);
        inflater.reset();
        let mut seen = 0;
        let verdict = inflater.message(&bomb, &mut Vec::new(), |piece| {
            seen += piece.len();
            if seen > 1_000_000 { Err(Fault::InflatedTooBig) } else { Ok(()) }
        });
        assert_eq!(verdict, Err(Fault::InflatedTooBig));
        assert!(seen <= 1_000_000 + INFLATED_BYTES);
    }
}
