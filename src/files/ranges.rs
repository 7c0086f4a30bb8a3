//! Byte ranges (RFC 9110 §14), as a pure function of the field and the length of the file.

use std::ops::Range;

/// Maximum number of ranges of a request. A request with more gets the whole file.
const MAX_RANGES: usize = 8;

/// The part of a file that a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Selection {
    /// The field is invalid, has another unit, or asks for too much: the whole file.
    Whole,
    /// These ranges of bytes, at least one, none empty, in the order of the request.
    Ranges(Vec<Range<u64>>),
    /// The field is valid, but no range lies in the file: 416.
    Unsatisfiable,
}

/// Selects the ranges of a file of `len` bytes that the value of `Range` asks for.
///
/// The whole file is selected instead if the ranges are more than [`MAX_RANGES`], or together longer than the
/// file: they overlap, and a short request must not cause a response of many times the file.
pub(super) fn select(value: &[u8], len: u64) -> Selection {
    parse(value, len).unwrap_or(Selection::Whole)
}

fn parse(value: &[u8], len: u64) -> Option<Selection> {
    const UNIT: &[u8] = b"bytes=";
    let (unit, set) = value.trim_ascii().split_at_checked(UNIT.len())?;
    if !unit.eq_ignore_ascii_case(UNIT) {
        return None;
    }
    let (mut ranges, mut specs, mut is_suffix_of_nothing) = (Vec::new(), 0, false);
    for spec in set.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|spec| !spec.is_empty()) {
        specs += 1;
        if specs > MAX_RANGES {
            return None;
        }
        let range = resolve(spec, len)?;
        is_suffix_of_nothing |= len == 0 && spec[0] == b'-' && range.is_some();
        ranges.extend(range.filter(|range| !range.is_empty()));
    }
    let total = ranges.iter().map(|range| range.end - range.start).fold(0, u64::saturating_add);
    match ranges.is_empty() {
        // All bytes of an empty file were asked for, but no Content-Range can say so.
        true if specs == 0 || is_suffix_of_nothing => None,
        true => Some(Selection::Unsatisfiable),
        false if total > len => None,
        false => Some(Selection::Ranges(ranges)),
    }
}

/// Returns the range of a specification such as `0-9`, `9-` or `-9`, or `Some(None)` if it does not lie in
/// the file. Returns `None` if it is invalid.
fn resolve(spec: &[u8], len: u64) -> Option<Option<Range<u64>>> {
    let dash = memchr::memchr(b'-', spec)?;
    let (first, last) = (&spec[..dash], &spec[dash + 1..]);
    if first.is_empty() {
        let suffix = number(last)?;
        return Some((suffix > 0).then(|| len.saturating_sub(suffix)..len));
    }
    let first = number(first)?;
    let end = if last.is_empty() { u64::MAX } else { number(last)?.saturating_add(1) };
    if end <= first && first < u64::MAX {
        return None;
    }
    Some((first < len).then(|| first..end.min(len)))
}

/// Returns a decimal number, or the greatest one if it is larger. Returns `None` without digits.
fn number(digits: &[u8]) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    let add = |sum: u64, digit: &u8| sum.saturating_mul(10).saturating_add(u64::from(digit - b'0'));
    is_number.then(|| digits.iter().fold(0, add))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(list: &[Range<u64>]) -> Selection {
        Selection::Ranges(list.to_vec())
    }

    #[test]
    #[allow(clippy::single_range_in_vec_init, reason = "lists of one range")]
    fn ranges_of_a_file_of_100_bytes() {
        for (value, selection) in [
            ("bytes=0-9", ranges(&[0..10])),
            ("BYTES=0-0", ranges(&[0..1])),
            ("bytes=90-", ranges(&[90..100])),
            ("bytes=90-1000", ranges(&[90..100])),
            ("bytes=0-18446744073709551615", ranges(&[0..100])),
            ("bytes=0-99999999999999999999999", ranges(&[0..100])),
            ("bytes=-10", ranges(&[90..100])),
            ("bytes=-1000", ranges(&[0..100])),
            ("bytes=-99999999999999999999999", ranges(&[0..100])),
            ("bytes=0-9,20-29", ranges(&[0..10, 20..30])),
            ("bytes= 20-29 ,, 0-9 ,", ranges(&[20..30, 0..10])),
            ("bytes=0-9,200-", ranges(&[0..10])),
            ("bytes=0-9,-0", ranges(&[0..10])),
            ("bytes=0-1,2-3,4-5,6-7,8-9,10-11,12-13,14-15", {
                Selection::Ranges((0..8).map(|n| 2 * n..2 * n + 2).collect())
            }),
            ("bytes=0-1,2-3,4-5,6-7,8-9,10-11,12-13,14-15,16-17", Selection::Whole),
            ("bytes=0-99,0-99", Selection::Whole),
            ("bytes=0-60,40-99", Selection::Whole),
            ("bytes=100-", Selection::Unsatisfiable),
            ("bytes=100-200,300-", Selection::Unsatisfiable),
            ("bytes=99999999999999999999999-", Selection::Unsatisfiable),
            ("bytes=99999999999999999999999-99999999999999999999999", Selection::Unsatisfiable),
            ("bytes=-0", Selection::Unsatisfiable),
            ("bytes=9-0", Selection::Whole),
            ("bytes=0-9,9-0", Selection::Whole),
            ("bytes=", Selection::Whole),
            ("bytes=,", Selection::Whole),
            ("bytes=-", Selection::Whole),
            ("bytes=a-b", Selection::Whole),
            ("bytes=0x1-2", Selection::Whole),
            ("bytes=+1-2", Selection::Whole),
            ("bytes=1 - 2", Selection::Whole),
            ("bytes=1--2", Selection::Whole),
            ("bytes=5", Selection::Whole),
            ("bytes 0-9", Selection::Whole),
            ("bytes", Selection::Whole),
            ("", Selection::Whole),
            ("items=0-9", Selection::Whole),
        ] {
            assert_eq!(select(value.as_bytes(), 100), selection, "{value}");
        }
    }

    #[test]
    fn an_empty_file_has_no_ranges() {
        assert_eq!(select(b"bytes=0-", 0), Selection::Unsatisfiable);
        assert_eq!(select(b"bytes=0-9", 0), Selection::Unsatisfiable);
        assert_eq!(select(b"bytes=-0", 0), Selection::Unsatisfiable);
        assert_eq!(select(b"bytes=-5", 0), Selection::Whole);
    }
}
