//! Data of an event: its number, its send time, and letters up to 256 bytes.

use std::time::Duration;

use memchr::{memchr_iter, memmem};

use crate::{
    fault::{Fault, Kind},
    template::{SERIAL_DIGITS, digits},
};

/// Size of an event's data.
pub(crate) const EVENT_BYTES: usize = 256;

/// Letters that fill an event. They are compared as a whole, because the client must cost less than the
/// server.
const LETTERS: [u8; EVENT_BYTES] = letters();

/// Returns the data of an event.
pub(crate) fn data(number: u64, sent: Duration) -> [u8; EVENT_BYTES] {
    let mut data = LETTERS;
    data[..SERIAL_DIGITS].copy_from_slice(&digits(number));
    data[SERIAL_DIGITS..][..SERIAL_DIGITS].copy_from_slice(&digits(sent.as_nanos() as u64));
    data
}

const fn letters() -> [u8; EVENT_BYTES] {
    let mut letters = [0; EVENT_BYTES];
    let mut index = 0;
    while index < EVENT_BYTES {
        letters[index] = b'a' + (index % 26) as u8;
        index += 1;
    }
    letters
}

/// Returns the end of the first event of `stream`, which an empty line follows. `None` if the event is
/// incomplete.
pub(crate) fn end(stream: &[u8]) -> Option<usize> {
    memmem::find(stream, b"\n\n")
}

/// Parses the lines of one event (WHATWG HTML §9.2.6). Returns its number and send time, or `None` for a
/// comment.
pub(crate) fn parse(event: &[u8]) -> Result<Option<(u64, Duration)>, Fault> {
    let mut found = None;
    let mut start = 0;
    for end in memchr_iter(b'\n', event).chain([event.len()]) {
        let line = &event[std::mem::replace(&mut start, end + 1)..end];
        if let Some(data) = line.strip_prefix(b"data:") {
            let data = data.strip_prefix(b" ").unwrap_or(data);
            if found.replace(read(data).ok_or_else(|| unexpected(event))?).is_some() {
                return Err(unexpected(event));
            }
        } else if !(line.is_empty() || line.starts_with(b":") || line.starts_with(b"id:")) {
            return Err(unexpected(event));
        }
    }
    Ok(found)
}

/// Parses an event received as a text message: the data alone, or a JSON object whose last value is the data.
pub(crate) fn parse_message(message: &[u8]) -> Result<(u64, Duration), Fault> {
    let object = message.strip_prefix(b"{").and_then(|object| object.strip_suffix(b"\"}"));
    let inside = object.and_then(|object| {
        let (names, data) = object.split_at_checked(object.len().checked_sub(EVENT_BYTES)?)?;
        names.ends_with(b"\"data\":\"").then_some(data)
    });
    read(inside.unwrap_or(message)).ok_or_else(|| unexpected(message))
}

fn read(data: &[u8]) -> Option<(u64, Duration)> {
    if data.len() != EVENT_BYTES {
        return None;
    }
    let (number, rest) = data.split_at(SERIAL_DIGITS);
    let (sent, rest) = rest.split_at(SERIAL_DIGITS);
    (rest == &LETTERS[2 * SERIAL_DIGITS..]).then_some(())?;
    Some((hexadecimal(number)?, Duration::from_nanos(hexadecimal(sent)?)))
}

fn hexadecimal(text: &[u8]) -> Option<u64> {
    u64::from_str_radix(std::str::from_utf8(text).ok()?, 16).ok()
}

fn unexpected(event: &[u8]) -> Fault {
    let start = &event[..event.len().min(100)];
    Fault::new(Kind::Body, format_args!("unexpected event: {}", start.escape_ascii()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_parsed_and_any_change_is_detected() {
        let sent = Duration::from_nanos(0x1234_5678);
        let whole = [b"id: 1-7\ndata: ".as_slice(), &data(7, sent)].concat();
        assert_eq!(parse(&whole).unwrap(), Some((7, sent)));
        assert!(parse(&whole[..whole.len() - 1]).is_err());
        let mut changed = whole.clone();
        changed[200] ^= 1;
        assert!(parse(&changed).is_err());
        assert!(parse(&[b"event: gap\n".as_slice(), &whole].concat()).is_err());
        assert_eq!(parse(b": keep-alive").unwrap(), None);
    }

    #[test]
    fn a_message_is_the_data_or_an_object_that_ends_with_the_data() {
        let sent = Duration::from_nanos(5);
        let data = data(7, sent);
        assert_eq!(parse_message(&data).unwrap(), (7, sent));
        let object = [b"{\"id\":\"1-7\",\"data\":\"".as_slice(), &data, b"\"}"].concat();
        assert_eq!(parse_message(&object).unwrap(), (7, sent));
        assert!(parse_message(&object[1..]).is_err());
        assert!(parse_message(b"{\"id\":\"1-7\",\"gap\":{\"from\":1,\"to\":2}}").is_err());
        assert!(parse_message(b"").is_err());
    }
}
