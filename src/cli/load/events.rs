//! Events on their way: what ours carry, and a parser for streams of them (WHATWG HTML §9.2.6).

use std::time::Duration;

use crate::client::fault::{Fault, Kind};

/// Digits of a number at the start of an event.
const DIGITS: usize = 16;
/// Most bytes of one event that are believed.
const MAX_EVENT_BYTES: usize = 1024 * 1024;

/// Returns the data of an event: its number, when it was due, letters up to `bytes`.
pub(super) fn data(number: u64, due: Duration, bytes: u32) -> String {
    let due = u64::try_from(due.as_nanos()).unwrap_or(u64::MAX);
    filled(&format!("{number:016x}{due:016x}"), bytes)
}

/// Appends letters up to a length.
pub(super) fn filled(start: &str, bytes: u32) -> String {
    start.chars().chain(('a'..='z').cycle()).take(bytes as usize).collect()
}

/// Reads back what [`data`] made: number and time.
pub(super) fn read(text: &str) -> Option<(u64, Duration)> {
    let (number, rest) = text.split_at_checked(DIGITS)?;
    let (due, rest) = rest.split_at_checked(DIGITS)?;
    let is_whole = rest.bytes().zip((b'a'..=b'z').cycle()).all(|(byte, letter)| byte == letter);
    let value = |digits| u64::from_str_radix(digits, 16).ok();
    if is_whole { Some((value(number)?, Duration::from_nanos(value(due)?))) } else { None }
}

/// One event of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) id: String,
    /// Empty for one without a name.
    pub(super) name: String,
    pub(super) data: String,
}

/// Puts events together from the pieces they come in.
#[derive(Debug, Default)]
pub(super) struct Parser {
    input: Vec<u8>,
    event: Event,
    has_data: bool,
}

impl Parser {
    /// Takes a piece of the stream.
    ///
    /// # Errors
    ///
    /// The event is longer than anybody believes.
    pub(super) fn push(&mut self, piece: &[u8]) -> Result<(), Fault> {
        self.input.extend_from_slice(piece);
        if self.input.len() + self.event.data.len() > MAX_EVENT_BYTES {
            return Err(Fault::new(Kind::Malformed, "an event of more than 1 MiB"));
        }
        Ok(())
    }

    /// Takes the events that are whole off; comments are no events.
    ///
    /// # Errors
    ///
    /// A line is not UTF-8.
    pub(super) fn drain(&mut self) -> Result<Vec<Event>, Fault> {
        let mut events = Vec::new();
        let mut at = 0;
        while let Some(length) = memchr::memchr(b'\n', &self.input[at..]) {
            let line = &self.input[at..at + length];
            at += length + 1;
            let line = std::str::from_utf8(line.strip_suffix(b"\r").unwrap_or(line));
            let line = line.map_err(|error| Fault::new(Kind::Malformed, error))?;
            if !line.is_empty() {
                field(&mut self.event, &mut self.has_data, line);
            } else if std::mem::take(&mut self.has_data) {
                events.push(std::mem::take(&mut self.event));
            } else {
                self.event = Event::default();
            }
        }
        self.input.drain(..at);
        Ok(events)
    }
}

fn field(event: &mut Event, has_data: &mut bool, line: &str) {
    let (name, value) = line.split_once(':').unwrap_or((line, ""));
    let value = value.strip_prefix(' ').unwrap_or(value);
    match name {
        "data" => {
            if std::mem::replace(has_data, true) {
                event.data.push('\n');
            }
            event.data.push_str(value);
        }
        "id" => value.clone_into(&mut event.id),
        "event" => value.clone_into(&mut event.name),
        // A comment has no name, and the time to come back is not waited for here.
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_read_back_and_any_change_is_seen() {
        let due = Duration::from_nanos(0x1234_5678);
        let text = data(7, due, 100);
        assert_eq!((text.len(), read(&text)), (100, Some((7, due))));
        assert_eq!(read(&text.replace('c', "x")), None);
        assert_eq!(read(&text[..20]), None);
        assert_eq!(read("hello"), None);
    }

    #[test]
    fn events_come_whole_however_they_are_cut() {
        let stream =
            b": hello\nretry: 3\n\nid: 1-7\ndata: a\ndata: b\n\nevent: gap\r\ndata:c\r\n\r\n: x\n\ndata: z";
        let event =
            |id: &str, name: &str, data: &str| Event { id: id.into(), name: name.into(), data: data.into() };
        let expected = [event("1-7", "", "a\nb"), event("", "gap", "c")];
        for size in 1..stream.len() {
            let mut parser = Parser::default();
            let mut found = Vec::new();
            for piece in stream.chunks(size) {
                parser.push(piece).unwrap();
                found.extend(parser.drain().unwrap());
            }
            assert_eq!(found, expected, "in pieces of {size}");
        }
    }

    #[test]
    fn an_endless_line_is_refused() {
        let mut parser = Parser::default();
        let piece = [b'x'; 64 * 1024];
        let refused = (0..20).any(|_| parser.push(&piece).and_then(|()| parser.drain()).is_err());
        assert!(refused);
    }
}
