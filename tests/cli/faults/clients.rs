//! Clients that check every byte of complete replies and tolerate broken connections.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
};

use super::{
    dice::Dice,
    wire::{Broken, Reply, Wire},
};

/// One connection of a client, until the client or a fault ends it.
pub(super) type Session = fn(SocketAddr, &mut Dice, &Tally) -> Result<(), Broken>;

/// All kinds of clients except subscribers, by name.
pub(super) const KINDS: &[(&str, Session)] = &[
    ("one request after the other", sequential),
    ("pipelines", pipelined),
    #[cfg(feature = "http2")]
    ("HTTP/2 streams", super::streams::concurrent_streams),
    #[cfg(feature = "ws")]
    ("WebSocket messages", super::sockets::echo_messages),
];

/// Results of one kind of client.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Number of complete and correct replies.
    pub(super) correct: AtomicU64,
    /// Number of connections that broke before a reply was complete.
    pub(super) broken: AtomicU64,
    /// Number of truncated requests that the server refused.
    pub(super) refused: AtomicU64,
}

impl Tally {
    /// Checks a reply. Returns `false` if the server refused a truncated request, after which it closes.
    pub(super) fn check(&self, status: u16, body: &str, expected: &str) -> bool {
        if matches!(status, 400 | 408) {
            self.refused.fetch_add(1, SeqCst);
            return false;
        }
        assert_eq!((status, body), (200, expected));
        self.correct.fetch_add(1, SeqCst);
        true
    }

    fn check_reply(&self, reply: &Reply, expected: &str) -> bool {
        self.check(reply.status, &reply.body, expected)
    }
}

fn sequential(address: SocketAddr, dice: &mut Dice, tally: &Tally) -> Result<(), Broken> {
    let mut wire = Wire::connect(address);
    for _ in 0..=dice.below(12) {
        let body = dice.text(3000);
        let head = format!("POST /demo/echo HTTP/1.1\r\nHost: t\r\nContent-Length: {}\r\n\r\n", body.len());
        wire.send(head + &body)?;
        if !tally.check_reply(&wire.reply()?, &body) {
            break;
        }
    }
    Ok(())
}

/// Mixes inline and slow routes; the replies must be in request order.
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
            if !tally.check_reply(&wire.reply()?, answer) {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Progress of a subscriber over all its connections.
#[derive(Debug, Default)]
pub(super) struct Reader {
    last: Option<String>,
    /// Number of the next expected event.
    next: u64,
}

impl Reader {
    pub(super) fn has(&self, all: u64) -> bool {
        self.next >= all
    }

    /// Subscribes after the last complete event and reads until it has a random number of further events, or
    /// all of them.
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
                self.check(&event, tally);
            }
        }
        Ok(())
    }

    fn check(&mut self, event: &str, tally: &Tally) {
        let field = |name| event.lines().find_map(|line: &str| line.strip_prefix(name));
        let Some(data) = field("data: ") else { return };
        // The history and the mailboxes hold every event, so none may be missing or repeated.
        assert_eq!((field("event: "), data), (None, event_data(self.next).as_str()));
        self.last = Some(field("id: ").expect("every event has an id").to_owned());
        self.next += 1;
        tally.correct.fetch_add(1, SeqCst);
    }
}

/// Returns the data of event `number`.
pub(super) fn event_data(number: u64) -> String {
    format!("{number}.").repeat(1 + number as usize % 40)
}
