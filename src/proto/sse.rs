//! Server-sent events (WHATWG HTML §9.2), the server's side: events as bytes, and which texts may be in them.
//!
//! An event is a block of lines that ends in an empty line. A line break within data would end the line, so
//! data is split at each (CR, LF or CRLF) and sent as several `data` lines, which the client joins with LF.
//! In an id or an event's name nothing can stand for a line break: they are refused.

use std::fmt::{self, Display, Write as _};

/// A comment: keeps the way to a silent client open, and is seen by nobody.
pub const HEARTBEAT: &[u8] = b":\n\n";

/// Bytes an event takes beside its data at most, for an id and a name of ordinary length.
pub const ROOM: usize = 128;

/// Says that a text has a line break or a NUL, which an id and an event's name may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadText;

impl Display for BadText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it has a line break or a NUL")
    }
}

impl std::error::Error for BadText {}

/// Says whether a text may be an id or an event's name.
///
/// # Errors
///
/// [`BadText`].
pub fn check(text: &[u8]) -> Result<(), BadText> {
    match memchr::memchr3(b'\r', b'\n', 0, text) {
        None => Ok(()),
        Some(_) => Err(BadText),
    }
}

/// Appends an event. `id` and `name` must have passed [`check`].
pub fn event(out: &mut Vec<u8>, id: Option<&dyn Display>, name: Option<&[u8]>, data: &[u8]) {
    if let Some(id) = id {
        self::id(out, id);
    }
    if let Some(name) = name {
        line(out, b"event: ", name);
    }
    let mut rest = data;
    while let Some(at) = memchr::memchr2(b'\r', b'\n', rest) {
        line(out, b"data: ", &rest[..at]);
        let breaks = if rest[at..].starts_with(b"\r\n") { 2 } else { 1 };
        rest = &rest[at + breaks..];
    }
    line(out, b"data: ", rest);
    out.push(b'\n');
}

/// Appends the id of the event whose other lines follow.
pub fn id(out: &mut Vec<u8>, id: &dyn Display) {
    // Writing to memory does not fail.
    let _ = writeln!(Text(out), "id: {id}");
}

/// Appends how long a client waits before it connects anew, milliseconds.
pub fn retry(out: &mut Vec<u8>, millis: u64) {
    let _ = write!(Text(out), "retry: {millis}\n\n");
}

fn line(out: &mut Vec<u8>, field: &[u8], value: &[u8]) {
    out.extend_from_slice(field);
    out.extend_from_slice(value);
    out.push(b'\n');
}

struct Text<'a>(&'a mut Vec<u8>);

impl fmt::Write for Text<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encoded(id: Option<&str>, name: Option<&str>, data: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        event(&mut out, id.as_ref().map(|id| id as &dyn Display), name.map(str::as_bytes), data);
        out
    }

    /// Reads one event as a client does: fields by name, data joined with LF.
    fn decoded(text: &[u8]) -> (Option<Vec<u8>>, Option<Vec<u8>>, Vec<u8>) {
        let (mut id, mut name, mut data) = (None, None, Vec::new());
        let block = text.strip_suffix(b"\n\n").unwrap();
        for line in block.split(|byte| *byte == b'\n') {
            let colon = line.iter().position(|byte| *byte == b':').unwrap();
            let value = line[colon + 1..].strip_prefix(b" ").unwrap().to_vec();
            match &line[..colon] {
                b"id" => id = Some(value),
                b"event" => name = Some(value),
                b"data" => {
                    data.extend_from_slice(&value);
                    data.push(b'\n');
                }
                other => panic!("{other:?}"),
            }
        }
        data.pop();
        (id, name, data)
    }

    #[test]
    fn an_event_is_lines_and_an_empty_one() {
        assert_eq!(encoded(None, None, b"hello"), b"data: hello\n\n");
        assert_eq!(encoded(Some("7"), Some("tick"), b"a\nb"), b"id: 7\nevent: tick\ndata: a\ndata: b\n\n");
        assert_eq!(encoded(None, None, b""), b"data: \n\n");
        assert_eq!(encoded(None, None, b"a\r\n\rb\n"), b"data: a\ndata: \ndata: b\ndata: \n\n");
    }

    #[test]
    fn an_id_or_a_name_has_no_line_break_and_no_nul() {
        assert_eq!(check(b"plain text"), Ok(()));
        for bad in ["a\nb", "a\rb", "a\0b"] {
            assert_eq!(check(bad.as_bytes()), Err(BadText));
        }
    }

    proptest! {
        #[test]
        fn whatever_the_data_one_event_comes_back_with_its_line_breaks_as_lf(
            data in proptest::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), any::<u8>()], 0..200),
            name in proptest::option::of("[^\r\n\0]{0,20}"),
        ) {
            let text = encoded(Some("e-1"), name.as_deref(), &data);
            let (id, back, lines) = decoded(&text);
            prop_assert_eq!(id.as_deref(), Some(b"e-1".as_slice()));
            prop_assert_eq!(back, name.map(String::into_bytes));
            let mut expected = Vec::new();
            let mut rest = data.as_slice();
            while let Some(at) = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n')) {
                expected.extend_from_slice(&rest[..at]);
                expected.push(b'\n');
                rest = rest[at..].strip_prefix(b"\r\n").unwrap_or(&rest[at + 1..]);
            }
            expected.extend_from_slice(rest);
            prop_assert_eq!(lines, expected);
        }
    }
}
