//! The few parts of DER that certificates and keys need (X.690).

pub(super) const INTEGER: u8 = 0x02;
pub(super) const OBJECT_IDENTIFIER: u8 = 0x06;
pub(super) const SEQUENCE: u8 = 0x30;

/// Splits off the first element. Returns its tag, its content and the bytes behind it.
pub(super) fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, mut rest) = rest.split_first()?;
    let mut length = usize::from(first);
    if first & 0x80 != 0 {
        let digits = rest.get(..usize::from(first & 0x7f)).filter(|digits| digits.len() <= 4)?;
        length = digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit));
        rest = &rest[digits.len()..];
    }
    let content = rest.get(..length)?;
    Some((tag, content, &rest[length..]))
}

/// Splits off the first element, which must have this tag. Returns its content and the bytes behind it.
pub(super) fn expect(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (found, content, rest) = element(der)?;
    (found == tag).then_some((content, rest))
}

/// Returns the first element with its tag and length.
pub(super) fn first(der: &[u8]) -> Option<&[u8]> {
    let (.., rest) = element(der)?;
    Some(&der[..der.len() - rest.len()])
}
