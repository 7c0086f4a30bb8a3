//! Masking (RFC 6455 §5.3): XOR of the payload bytes with the four bytes of the key, which repeat.

/// Size of a piece in bytes. A piece is written twice while it is in the first-level cache.
const PIECE_BYTES: usize = 4 * 1024;

/// Masking key of one frame, rotated to the next payload byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mask([u8; 4]);

impl Mask {
    /// Creates a mask at the first byte of a payload. A key of four zeros changes nothing.
    pub fn new(key: [u8; 4]) -> Self {
        Self(key)
    }

    /// Appends the next payload bytes to `out`, masked or unmasked. Both are the same operation.
    pub fn append(&mut self, out: &mut Vec<u8>, bytes: &[u8]) {
        out.reserve(bytes.len());
        bytes.chunks(PIECE_BYTES).for_each(|piece| self.append_piece(out, piece));
    }

    fn append_piece(&mut self, out: &mut Vec<u8>, bytes: &[u8]) {
        let at = out.len();
        // One pass from source to target is faster than a copy that is masked in place. The zeros are written
        // to the cache.
        out.resize(at + bytes.len(), 0);
        let (wide, last) = (self.wide(), self.0);
        let (to, to_rest) = out[at..].as_chunks_mut();
        let (from, from_rest) = bytes.as_chunks();
        for (to, from) in to.iter_mut().zip(from) {
            *to = (u64::from_ne_bytes(*from) ^ wide).to_ne_bytes();
        }
        for ((to, from), key) in to_rest.iter_mut().zip(from_rest).zip(last.iter().cycle()) {
            *to = from ^ key;
        }
        self.rotate(bytes.len());
    }

    /// Masks or unmasks the next payload bytes in place.
    pub fn apply(&mut self, bytes: &mut [u8]) {
        let len = bytes.len();
        let wide = self.wide();
        let (chunks, rest) = bytes.as_chunks_mut();
        for chunk in chunks {
            *chunk = (u64::from_ne_bytes(*chunk) ^ wide).to_ne_bytes();
        }
        for (byte, key) in rest.iter_mut().zip(self.0.iter().cycle()) {
            *byte ^= key;
        }
        self.rotate(len);
    }

    /// Returns the key twice, so that eight bytes are processed at a time. The compiler turns plain `u64`
    /// code into vector instructions.
    fn wide(self) -> u64 {
        let [a, b, c, d] = self.0;
        u64::from_ne_bytes([a, b, c, d, a, b, c, d])
    }

    fn rotate(&mut self, len: usize) {
        self.0.rotate_left(len % 4);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

    fn byte_by_byte(bytes: &[u8]) -> Vec<u8> {
        bytes.iter().zip(KEY.iter().cycle()).map(|(byte, key)| byte ^ key).collect()
    }

    #[test]
    fn every_length_split_and_alignment_matches_byte_by_byte_masking() {
        let bytes: Vec<u8> = (0..80).map(|n: u8| n.wrapping_mul(89)).collect();
        for start in 0..9 {
            for end in start..bytes.len() {
                let payload = &bytes[start..end];
                let expected = byte_by_byte(payload);
                for cut in 0..=payload.len() {
                    let (first, second) = payload.split_at(cut);
                    let (mut mask, mut out) = (Mask::new(KEY), vec![b'x'; start]);
                    mask.append(&mut out, first);
                    mask.append(&mut out, second);
                    assert_eq!(out[start..], expected);
                }
                let (mut mask, mut copy) = (Mask::new(KEY), payload.to_vec());
                let (first, second) = copy.split_at_mut(payload.len() / 3);
                mask.apply(first);
                mask.apply(second);
                assert_eq!(copy, expected);
            }
        }
    }

    #[test]
    fn the_example_of_the_rfc_is_unmasked() {
        let mut out = Vec::new();
        Mask::new(KEY).append(&mut out, &[0x7f, 0x9f, 0x4d, 0x51, 0x58]);
        assert_eq!(out, b"Hello");
    }
}
