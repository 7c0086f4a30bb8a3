//! Data of events and messages: a number, for events a time, and letters up to a size.
//!
//! The number and the time show which event arrived and how late. The letters show every changed byte.

use std::time::Duration;

/// Number of hexadecimal digits of an event's number or time.
pub const DIGITS: usize = 16;
/// Size of the smallest event, bytes.
pub const MIN_EVENT_BYTES: usize = 2 * DIGITS;
/// Size of the largest event, bytes.
pub const MAX_EVENT_BYTES: usize = 65_536;

/// Letters of the largest event. They are compared as a whole, because the client must cost less than the
/// server.
static LETTERS: [u8; MAX_EVENT_BYTES] = all_letters();

const fn all_letters() -> [u8; MAX_EVENT_BYTES] {
    let mut letters = [0; MAX_EVENT_BYTES];
    let mut index = 0;
    while index < MAX_EVENT_BYTES {
        letters[index] = b'a' + (index % 26) as u8;
        index += 1;
    }
    letters
}

/// Returns this many letters.
pub fn letters(bytes: usize) -> Vec<u8> {
    (b'a'..=b'z').cycle().take(bytes).collect()
}

/// Formats a number in hexadecimal.
pub fn digits(number: u64) -> [u8; DIGITS] {
    std::array::from_fn(|index| {
        let shift = 4 * (DIGITS - 1 - index);
        b"0123456789abcdef"[(number >> shift & 0xf) as usize]
    })
}

/// Returns the data of an event: its number, the time it was sent, letters.
///
/// # Panics
///
/// `bytes` is less than [`MIN_EVENT_BYTES`] or more than [`MAX_EVENT_BYTES`].
pub fn event(number: u64, sent: Duration, bytes: usize) -> Vec<u8> {
    let mut data = LETTERS[..bytes].to_vec();
    data[..DIGITS].copy_from_slice(&digits(number));
    data[DIGITS..MIN_EVENT_BYTES].copy_from_slice(&digits(sent.as_nanos() as u64));
    data
}

/// Returns the number and the time of an event of this size. Returns `None` if the data differs from what
/// [`event`] returns in any other place.
pub fn parse_event(data: &[u8], bytes: usize) -> Option<(u64, Duration)> {
    if data.len() != bytes {
        return None;
    }
    let (number, rest) = data.split_at_checked(DIGITS)?;
    let (sent, rest) = rest.split_at_checked(DIGITS)?;
    (rest == LETTERS.get(MIN_EVENT_BYTES..bytes)?).then_some(())?;
    Some((hexadecimal(number)?, Duration::from_nanos(hexadecimal(sent)?)))
}

fn hexadecimal(text: &[u8]) -> Option<u64> {
    u64::from_str_radix(std::str::from_utf8(text).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_parsed_and_any_change_is_detected() {
        let sent = Duration::from_nanos(0x1234_5678);
        let data = event(7, sent, 100);
        assert_eq!((data.len(), parse_event(&data, 100)), (100, Some((7, sent))));
        for at in 0..data.len() {
            let mut changed = data.clone();
            changed[at] = b'!';
            assert_eq!(parse_event(&changed, 100), None, "{at}");
        }
        assert_eq!(parse_event(&data[..99], 100), None);
        assert_eq!(parse_event(&data, 101), None);
        assert_eq!(parse_event(b"hello", 5), None);
    }

    #[test]
    fn events_have_any_permitted_size() {
        for bytes in [MIN_EVENT_BYTES, 256, MAX_EVENT_BYTES] {
            let data = event(u64::MAX, Duration::ZERO, bytes);
            assert_eq!(parse_event(&data, bytes), Some((u64::MAX, Duration::ZERO)), "{bytes}");
        }
    }
}
