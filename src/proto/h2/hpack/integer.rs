//! Integers with a prefix (RFC 7541 §5.1).

use super::Malformed;

/// Maximum number of bytes behind the prefix: enough for any size or index that can be valid.
const CONTINUATION_BYTES_MAX: usize = 4;

/// Decodes the integer at the start of `input`, whose prefix has `bits` bits in the first byte. Returns it
/// and its length in bytes.
///
/// Returns `None` if more bytes are needed.
///
/// # Errors
///
/// The integer is longer than any valid one.
pub(super) fn decode(input: &[u8], bits: u32) -> Result<Option<(usize, usize)>, Malformed> {
    let mask = (1_usize << bits) - 1;
    let Some(&first) = input.first() else { return Ok(None) };
    let prefix = usize::from(first) & mask;
    if prefix < mask {
        return Ok(Some((prefix, 1)));
    }
    let mut value = mask;
    for (index, &byte) in input[1..].iter().take(CONTINUATION_BYTES_MAX).enumerate() {
        value += usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Ok(Some((value, index + 2)));
        }
    }
    if input.len() > CONTINUATION_BYTES_MAX { Err(Malformed) } else { Ok(None) }
}

/// Appends an integer whose prefix has `bits` bits in the first byte. The other bits of that byte are those
/// of `first`.
pub(super) fn encode(out: &mut Vec<u8>, first: u8, bits: u32, value: usize) {
    let mask = (1_usize << bits) - 1;
    if value < mask {
        return out.push(first | value as u8);
    }
    out.push(first | mask as u8);
    let mut rest = value - mask;
    while rest >= 0x80 {
        out.push(0x80 | (rest & 0x7f) as u8);
        rest >>= 7;
    }
    out.push(rest as u8);
}
