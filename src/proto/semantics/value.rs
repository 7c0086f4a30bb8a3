//! Field values that concern the message itself.

use super::{scan::plain_len, tokens::list};

/// Reads a Content-Length (RFC 9110 §8.6): digits only, below 2^64. Returns `None` for anything else.
pub(in crate::proto) fn content_length(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, &byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

/// A client's expectation (RFC 9110 §10.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proto) enum Expectation {
    /// No expectation: the list is empty.
    None,
    /// `100-continue`: the client waits for an interim response before it sends the body.
    Continue,
    /// An expectation that this server cannot meet.
    Unknown,
}

/// Reads an Expect field, which is a list. One unknown element makes the whole list `Unknown`.
pub(in crate::proto) fn expectation(value: &[u8]) -> Expectation {
    let mut found = Expectation::None;
    for element in list(value).filter(|element| !element.is_empty()) {
        if !element.eq_ignore_ascii_case(b"100-continue") {
            return Expectation::Unknown;
        }
        found = Expectation::Continue;
    }
    found
}

/// Returns `true` for a valid field value (RFC 9110 §5.5): no control characters but the tab, and no white
/// space at its ends.
pub(in crate::proto) fn is_field_value(value: &[u8]) -> bool {
    let is_blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    !is_blank(value.first()) && !is_blank(value.last()) && plain_len(value, &CONTENT) == value.len()
}

/// Byte classes of a field value: 0 for visible bytes, bytes beyond ASCII, space and tab.
static CONTENT: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = ((byte as u8).is_ascii_control() && byte as u8 != b'\t') as u8;
        byte += 1;
    }
    table
};
