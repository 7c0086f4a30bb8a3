//! Clients that check every byte of what arrives whole, and take it well when something does not.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
};

use super::{
    dice::Dice,
    wire::{Broken, Reply, Wire},
};

/// One connection of a client: from connecting to its end, or to somebody's who cut it.
pub(super) type Session = fn(SocketAddr, &mut Dice, &Tally) -> Result<(), Broken>;

/// Every kind of client but the subscribers, by what it is called.
pub(super) const KINDS: &[(&str, Session)] = &[
    ("one request after the other", one_by_one),
    ("pipelines", pipelined),
    #[cfg(feature = "http2")]
    ("HTTP/2 streams", super::streams::side_by_side),
    #[cfg(feature = "ws")]
    ("WebSocket messages", super::sockets::back_and_forth),
];

/// What came of one kind of client.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Answers that arrived whole and were right.
    pub(super) right: AtomicU64,
    /// Connections that ended before an answer did.
    pub(super) broken: AtomicU64,
    /// Requests that arrived cut, and were answered so.
    pub(super) refused: AtomicU64,
}

impl Tally {
    /// Checks an answer; false when the server says that it did not get the whole request, and ends the connection.
    pub(super) fn take(&self, status: u16, body: &str, expected: &str) -> bool {
        if matches!(status, 400 | 408) {
            self.refused.fetch_add(1, SeqCst);
            return false;
        }
        assert_eq!((status, body), (200, expected));
        self.right.fetch_add(1, SeqCst);
        true
    }

    fn take_reply(&self, reply: &Reply, expected: &str) -> bool {
        self.take(reply.status, &reply.body, expected)
    }
}

fn one_by_one(address: SocketAddr, dice: &mut Dice, tally: &Tally) -> Result<(), Broken> {
    let mut wire = Wire::connect(address);
    for _ in 0..=dice.below(12) {
        let body = dice.text(3000);
        let head = format!("POST /demo/echo HTTP/1.1\r\nHost: t\r\nContent-Length: {}\r\n\r\n", body.len());
        wire.send(head + &body)?;
        if !tally.take_reply(&wire.reply()?, &body) {
            break;
        }
    }
    Ok(())
}

/// Inline routes and slow ones, which must be answered in order all the same.
fn pipelined(address: SocketAddr, dice: &mut Dice, tally: &Tally) -> Result<(), Broken> {
    let mut wire = Wire::connect(address);
    for _ in 0..=dice.below(4) {
        let mut expected = Vec::new();
        let mut requests = String::new();
        for _ in 0..=dice.below(16) {
            let (path, answer) = if dice.below(3) == 0 {
                let ms = dice.below(5);
                (format!("work?ms={ms}"), format!("worked for {ms} ms\n"))
            } else {
                let name = dice.text(40);
                (format!("hello/{name}"), format!("Hello, {name}!\n"))
            };
            requests += &format!("GET /demo/{path} HTTP/1.1\r\nHost: t\r\n\r\n");
            expected.push(answer);
        }
        wire.send(requests)?;
        for answer in &expected {
            if !tally.take_reply(&wire.reply()?, answer) {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// How far a subscriber is, over all its connections.
#[derive(Debug, Default)]
pub(super) struct Reader {
    last: Option<String>,
    /// Number of the event that must come next.
    next: u64,
}

impl Reader {
    pub(super) fn has(&self, all: u64) -> bool {
        self.next >= all
    }

    /// Subscribes behind the last event that came whole, and reads until all were published and it has them, or as many
    /// as it likes.
    pub(super) fn read_on(
        &mut self,
        address: SocketAddr,
        (published, ended): (&AtomicU64, &AtomicBool),
        dice: &mut Dice,
        tally: &Tally,
    ) -> Result<(), Broken> {
        let leave_at = self.next + 1 + dice.below(60) as u64;
        let mut wire = Wire::connect(address);
        let last = self.last.as_deref().unwrap_or("earliest");
        wire.send(format!("GET /topics/faults HTTP/1.1\r\nHost: t\r\nLast-Event-ID: {last}\r\n\r\n"))?;
        let head = wire.until(b"\r\n\r\n")?;
        if head.starts_with("HTTP/1.1 400") || head.starts_with("HTTP/1.1 408") {
            tally.refused.fetch_add(1, SeqCst);
            return Ok(());
        }
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        let mut text = String::new();
        while !self.has(leave_at) && (!ended.load(SeqCst) || !self.has(published.load(SeqCst))) {
            let chunk = wire.chunk()?;
            if chunk.is_empty() {
                return Err(Broken);
            }
            text += &chunk;
            while let Some(at) = text.find("\n\n") {
                let event: String = text.drain(..at + 2).collect();
                self.take(&event, tally);
            }
        }
        Ok(())
    }

    fn take(&mut self, event: &str, tally: &Tally) {
        let field = |name| event.lines().find_map(|line: &str| line.strip_prefix(name));
        let Some(data) = field("data: ") else { return };
        // The history and the mailboxes hold all there is: nothing may be missing, nothing may come twice.
        assert_eq!((field("event: "), data), (None, event_data(self.next).as_str()));
        self.last = Some(field("id: ").expect("an id").to_owned());
        self.next += 1;
        tally.right.fetch_add(1, SeqCst);
    }
}

/// The data of the n-th event.
pub(super) fn event_data(number: u64) -> String {
    format!("{number}.").repeat(1 + number as usize % 40)
}
