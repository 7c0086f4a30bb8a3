//! Encoder of server-sent events (WHATWG HTML §9.2).
//!
//! An event is a block of lines that ends with an empty line. Data is split at each line break (CR, LF or
//! CRLF) and sent as several `data` lines, which the client joins with LF. An id or an event name cannot
//! contain a line break, because nothing can replace it.

use std::fmt::{self, Display, Write as _};

/// Empty comment, which clients ignore. It starts a stream and keeps an idle connection open.
pub const COMMENT: &[u8] = b":\n\n";

/// Bytes to reserve for an encoded event beside its data: enough for an id and a name of ordinary length, and
/// one line of data.
pub const OVERHEAD_BYTES: usize = 128;

/// Error of an id or an event name that contains a line break or a NUL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidText;

impl Display for InvalidText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the id or the event name contains a line break or a NUL")
    }
}

impl std::error::Error for InvalidText {}

/// Checks a text for use as an id or an event name.
///
/// # Errors
///
/// [`InvalidText`] if it contains a line break or a NUL.
pub fn check(text: &[u8]) -> Result<(), InvalidText> {
    match memchr::memchr3(b'\r', b'\n', 0, text) {
        None => Ok(()),
        Some(_) => Err(InvalidText),
    }
}

/// Appends an event to `out`, with one `data` line for each line of `data`. `id` and `name` must have passed
/// [`check`].
pub fn append_event(out: &mut Vec<u8>, id: Option<&dyn Display>, name: Option<&[u8]>, data: &[u8]) {
    if let Some(id) = id {
        append_id(out, id);
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

/// Appends the `id` line of an event to `out`. The caller appends the other lines of the event.
pub fn append_id(out: &mut Vec<u8>, id: &dyn Display) {
    // Writing to memory cannot fail.
    let _ = writeln!(TextWriter(out), "id: {id}");
}

/// Appends a block that tells the client to wait `millis` milliseconds before it reconnects.
pub fn append_retry(out: &mut Vec<u8>, millis: u64) {
    let _ = write!(TextWriter(out), "retry: {millis}\n\n");
}

fn line(out: &mut Vec<u8>, field: &[u8], value: &[u8]) {
    out.extend_from_slice(field);
    out.extend_from_slice(value);
    out.push(b'\n');
}

struct TextWriter<'a>(&'a mut Vec<u8>);

impl fmt::Write for TextWriter<'_> {
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
        append_event(&mut out, id.as_ref().map(|id| id as &dyn Display), name.map(str::as_bytes), data);
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
    fn an_event_is_lines_and_an_empty_line() {
        assert_eq!(encoded(None, None, b"hello"), b"data: hello\n\n");
        assert_eq!(encoded(Some("7"), Some("tick"), b"a\nb"), b"id: 7\nevent: tick\ndata: a\ndata: b\n\n");
        assert_eq!(encoded(None, None, b""), b"data: \n\n");
        assert_eq!(encoded(None, None, b"a\r\n\rb\n"), b"data: a\ndata: \ndata: b\ndata: \n\n");
    }

    #[test]
    fn an_id_or_a_name_must_not_contain_a_line_break_or_nul() {
        assert_eq!(check(b"plain text"), Ok(()));
        for bad in ["a\nb", "a\rb", "a\0b"] {
            assert_eq!(check(bad.as_bytes()), Err(InvalidText));
        }
    }

    proptest! {
        #[test]
        fn any_data_decodes_to_one_event_with_line_breaks_as_lf(
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
