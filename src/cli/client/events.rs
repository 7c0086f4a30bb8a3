//! Parser of event streams (WHATWG HTML §9.2.6) in chunked bodies of HTTP/1.1, and in data of HTTP/2.

use std::{borrow::Cow, ops::Range};

use memchr::{memchr, memchr_iter};
use windlass::proto::h1::chunk::Chunked;

use super::{
    fault::{Fault, Kind},
    response,
};

/// Maximum size of an event, bytes.
const MAX_EVENT_BYTES: usize = 1024 * 1024;

/// One event of a stream. It borrows from the reader, so that the client costs less than the server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event<'a> {
    /// Id, or empty.
    pub id: &'a [u8],
    /// Name, or empty.
    pub name: &'a [u8],
    /// Data. Several lines are joined by line feeds.
    pub data: Cow<'a, [u8]>,
}

/// Reads the events of one response.
#[derive(Debug)]
pub struct EventReader {
    chunks: Chunked,
    /// Data of the chunks.
    body: Vec<u8>,
    /// Start of the first event that was not returned.
    start: usize,
    /// Start of the first line that is not complete.
    line: usize,
}

impl Default for EventReader {
    fn default() -> Self {
        Self { chunks: response::chunks(), body: Vec::new(), start: 0, line: 0 }
    }
}

impl EventReader {
    /// Adds received bytes of a chunked body.
    ///
    /// # Errors
    ///
    /// The bytes are not chunks, the body ends with them, or an incomplete event exceeds 1 MiB.
    pub fn push(&mut self, input: &[u8]) -> Result<(), Fault> {
        self.forget_returned()?;
        if response::decode_chunks(&mut self.chunks, input, &mut self.body)? {
            return Err(Fault::new(Kind::Closed, "server ended the event stream"));
        }
        Ok(())
    }

    /// Adds received bytes of a body without chunks.
    ///
    /// # Errors
    ///
    /// An incomplete event exceeds 1 MiB.
    pub fn push_data(&mut self, data: &[u8]) -> Result<(), Fault> {
        self.forget_returned()?;
        self.body.extend_from_slice(data);
        Ok(())
    }

    /// Removes the events that were returned.
    fn forget_returned(&mut self) -> Result<(), Fault> {
        self.body.drain(..self.start);
        self.line -= self.start;
        self.start = 0;
        if self.body.len() > MAX_EVENT_BYTES {
            return Err(Fault::new(Kind::Malformed, "received event exceeds 1 MiB"));
        }
        Ok(())
    }

    /// Returns the next complete event, or `None` if more input is needed. Skips comments and other blocks
    /// without data.
    pub fn next_event(&mut self) -> Option<Event<'_>> {
        let block = loop {
            let block = self.next_block()?;
            if lines(&self.body[block.clone()]).any(|line| field(line).0 == b"data") {
                break block;
            }
        };
        Some(parse(&self.body[block]))
    }

    /// Returns the range of the lines before the next empty line.
    fn next_block(&mut self) -> Option<Range<usize>> {
        while let Some(length) = memchr(b'\n', &self.body[self.line..]) {
            let (line, end) = (self.line, self.line + length);
            self.line = end + 1;
            if matches!(&self.body[line..end], b"" | b"\r") {
                return Some(std::mem::replace(&mut self.start, self.line)..line);
            }
        }
        None
    }
}

fn parse(block: &[u8]) -> Event<'_> {
    let mut event = Event::default();
    let mut has_data = false;
    for line in lines(block) {
        match field(line) {
            (b"data", value) if !std::mem::replace(&mut has_data, true) => event.data = value.into(),
            (b"data", value) => {
                let data = event.data.to_mut();
                data.push(b'\n');
                data.extend_from_slice(value);
            }
            (b"id", value) => event.id = value,
            (b"event", value) => event.name = value,
            // A comment has no name. The reconnection time does not matter here.
            _ => {}
        }
    }
    event
}

/// Returns the lines of a block whose last line ends in a line feed.
fn lines(block: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut start = 0;
    memchr_iter(b'\n', block).map(move |end| {
        let line = &block[std::mem::replace(&mut start, end + 1)..end];
        line.strip_suffix(b"\r").unwrap_or(line)
    })
}

/// Splits a line into name and value.
fn field(line: &[u8]) -> (&[u8], &[u8]) {
    let Some(colon) = memchr(b':', line) else { return (line, b"") };
    let value = &line[colon + 1..];
    (&line[..colon], value.strip_prefix(b" ").unwrap_or(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    type Found = Vec<(String, String, String)>;

    fn chunk(data: &[u8]) -> Vec<u8> {
        [format!("{:x}\r\n", data.len()).as_bytes(), data, b"\r\n"].concat()
    }

    fn drain(reader: &mut EventReader, found: &mut Found) {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        while let Some(event) = reader.next_event() {
            found.push((text(event.id), text(event.name), text(&event.data)));
        }
    }

    #[test]
    fn the_pieces_of_the_input_do_not_affect_the_events() {
        let stream = b": hello\nretry: 3\n\nid: 1-7\ndata: a\ndata: b\n\nevent: gap\r\ndata:c\r\n\r\n\
            : x\n\nid: 9\n\ndata\n\ndata: z";
        let event = |id: &str, name: &str, data: &str| (id.to_owned(), name.to_owned(), data.to_owned());
        let expected = [event("1-7", "", "a\nb"), event("", "gap", "c"), event("", "", "")];
        for size in 1..stream.len() {
            let (mut reader, mut found) = (EventReader::default(), Vec::new());
            for piece in stream.chunks(size) {
                reader.push(&chunk(piece)).unwrap();
                drain(&mut reader, &mut found);
            }
            assert_eq!(found, expected, "in pieces of {size}");
        }
        let wire = [chunk(&stream[..20]), chunk(&stream[20..])].concat();
        let (mut reader, mut found) = (EventReader::default(), Vec::new());
        for byte in wire {
            reader.push(&[byte]).unwrap();
            drain(&mut reader, &mut found);
        }
        assert_eq!(found, expected, "byte by byte");
    }

    #[test]
    fn an_endless_line_is_refused() {
        let mut reader = EventReader::default();
        let piece = chunk(&[b'x'; 64 * 1024]);
        let is_refused = (0..20).any(|_| reader.push(&piece).is_err() || reader.next_event().is_some());
        assert!(is_refused);
    }

    #[test]
    fn an_endless_event_is_refused() {
        let mut reader = EventReader::default();
        let piece = chunk("data: x\n".repeat(8 * 1024).as_bytes());
        let is_refused = (0..20).any(|_| reader.push(&piece).is_err() || reader.next_event().is_some());
        assert!(is_refused);
    }

    #[test]
    fn the_end_of_the_body_is_a_fault() {
        let mut reader = EventReader::default();
        assert_eq!(reader.push(b"0\r\n\r\n").unwrap_err().kind, Kind::Closed);
    }
}
