//! A strict client of server-sent events: any unexpected byte fails the test.

use std::time::Duration;

use windlass::Server;

use crate::common::{Peer, connect};

/// A part of an event stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Received {
    Event {
        id: String,
        name: String,
        data: String,
    },
    Comment,
    /// An id without an event, which moves the last event id of the client.
    Position(String),
    Retry(u64),
    End,
}

impl Received {
    pub(crate) fn event(id: &str, name: &str, data: &str) -> Self {
        Self::Event { id: id.to_owned(), name: name.to_owned(), data: data.to_owned() }
    }
}

/// A subscriber over HTTP/1.1.
pub(crate) struct Client {
    pub(crate) peer: Peer,
    /// Received bytes after the last complete block.
    text: Vec<u8>,
    ended: bool,
}

impl Client {
    /// Subscribes and returns once the response head has arrived.
    pub(crate) fn subscribe(server: &Server, path: &str, last: Option<&str>) -> Self {
        Self::from_peer(connect(server), path, last)
    }

    pub(crate) fn from_peer(mut peer: Peer, path: &str, last: Option<&str>) -> Self {
        let last = last.map(|last| format!("Last-Event-ID: {last}\r\n")).unwrap_or_default();
        peer.send(format!("GET {path} HTTP/1.1\r\nHost: t\r\n{last}\r\n"));
        let head = String::from_utf8(peer.until(b"\r\n\r\n")).unwrap();
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        Self::reading(peer)
    }

    /// Reads the body of a response whose head was read already.
    pub(crate) fn reading(peer: Peer) -> Self {
        Self { peer, text: Vec::new(), ended: false }
    }

    /// Returns the next event or the end, skipping comments and retry hints.
    pub(crate) fn next(&mut self) -> Received {
        loop {
            match self.next_with_comments() {
                Received::Comment | Received::Position(_) | Received::Retry(_) => {}
                received => return received,
            }
        }
    }

    /// Returns the next part of the stream.
    pub(crate) fn next_with_comments(&mut self) -> Received {
        loop {
            if let Some(at) = self.text.windows(2).position(|pair| pair == b"\n\n") {
                let block: Vec<u8> = self.text.drain(..at + 2).collect();
                return parse_block(std::str::from_utf8(&block[..at]).unwrap());
            }
            if self.ended {
                assert!(
                    self.text.is_empty(),
                    "the stream must not end inside an event: {}",
                    self.text.escape_ascii()
                );
                return Received::End;
            }
            let chunk = self.chunk();
            self.ended = chunk.is_empty();
            self.text.extend_from_slice(&chunk);
        }
    }

    /// Reads to the end and returns the last retry hint.
    pub(crate) fn retry_at_end(&mut self) -> Option<Duration> {
        let mut last = None;
        loop {
            match self.next_with_comments() {
                Received::Retry(millis) => last = Some(Duration::from_millis(millis)),
                Received::End => return last,
                _ => {}
            }
        }
    }

    fn chunk(&mut self) -> Vec<u8> {
        let size = self.peer.until(b"\r\n");
        let size = std::str::from_utf8(&size).unwrap().trim();
        let size = usize::from_str_radix(size, 16).unwrap();
        let mut chunk = self.peer.exactly(size + 2);
        assert_eq!(chunk.split_off(size), b"\r\n");
        chunk
    }
}

fn parse_block(block: &str) -> Received {
    let (mut id, mut name, mut data) = (String::new(), "message".to_owned(), Vec::new());
    for line in block.split('\n') {
        match line.split_once(": ") {
            Some(("id", value)) => value.clone_into(&mut id),
            Some(("event", value)) => value.clone_into(&mut name),
            Some(("data", value)) => data.push(value),
            Some(("retry", value)) => return Received::Retry(value.parse().unwrap()),
            _ if line == ":" => return Received::Comment,
            _ => panic!("expected a field, got {line:?}"),
        }
    }
    if data.is_empty() && name == "message" {
        return Received::Position(id);
    }
    Received::Event { id, name, data: data.join("\n") }
}
