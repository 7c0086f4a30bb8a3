//! One subscription: chunks in, events checked.

use std::{
    io::{self, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use rustix::{
    buffer::spare_capacity,
    io::Errno,
    net::{RecvFlags, recv},
};

use super::{PATH, event};
use crate::{
    fault::{Fault, Kind},
    response,
    tally::Tally,
};

/// Room for one read.
const READ_BYTES: usize = 16 * 1024;
/// Most bytes of one event that are believed.
const MAX_EVENT_BYTES: usize = 64 * 1024;

/// A subscriber and how far it is.
pub(crate) struct Subscriber {
    stream: TcpStream,
    has_head: bool,
    input: Vec<u8>,
    /// Data of chunks that is no whole event yet.
    body: Vec<u8>,
    /// The number of the event that must come next.
    next: u64,
    received: u64,
}

impl Subscriber {
    /// Sends the request.
    pub(crate) fn new(mut stream: TcpStream, host: SocketAddr) -> io::Result<Self> {
        write!(stream, "GET {PATH} HTTP/1.1\r\nhost: {host}\r\naccept: text/event-stream\r\n\r\n")?;
        let (input, body) = (Vec::new(), Vec::new());
        Ok(Self { stream, has_head: false, input, body, next: 0, received: 0 })
    }

    /// Reads what is there and checks every event that is whole.
    pub(crate) fn read(&mut self, epoch: Instant, tally: &mut Tally) -> Result<(), Fault> {
        receive(&self.stream, &mut self.input)?;
        let now = Instant::now();
        let mut at = 0;
        if !self.has_head {
            let Some(taken) = response::parse_stream_head(&self.input)? else { return Ok(()) };
            self.has_head = true;
            at = taken;
        }
        while let Some((taken, data)) = response::parse_chunk(&self.input[at..])? {
            if data.is_empty() {
                return Err(Fault::new(Kind::Closed, "the server ended a stream"));
            }
            self.body.extend_from_slice(data);
            at += taken;
        }
        self.input.drain(..at);
        self.check_events(now.saturating_duration_since(epoch), tally)
    }

    fn check_events(&mut self, now: Duration, tally: &mut Tally) -> Result<(), Fault> {
        let mut at = 0;
        while let Some(length) = event::end(&self.body[at..]) {
            if let Some((number, sent)) = event::parse(&self.body[at..at + length])? {
                self.next = in_order(self.next, number, tally);
                self.received += 1;
                tally.answered(Some(now.saturating_sub(sent)));
            }
            at += length + 2;
        }
        self.body.drain(..at);
        if self.body.len() + self.input.len() > MAX_EVENT_BYTES {
            return Err(Fault::new(Kind::Malformed, "an event of more than 64 KiB"));
        }
        Ok(())
    }

    /// Returns the socket, to be watched.
    pub(crate) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Says whether the subscription was answered.
    pub(crate) fn has_head(&self) -> bool {
        self.has_head
    }

    /// Returns the number of the event that must come next.
    pub(crate) fn reached(&self) -> u64 {
        self.next
    }

    /// Returns the number of events that came.
    pub(crate) fn received(&self) -> u64 {
        self.received
    }
}

/// Counts what is missing before `number`, or that it came again; returns the number that must come next.
fn in_order(next: u64, number: u64, tally: &mut Tally) -> u64 {
    if number != next {
        let fault = Fault::new(Kind::Body, format_args!("event {number} where {next} must come"));
        tally.failed(&fault, number.saturating_sub(next));
    }
    next.max(number.saturating_add(1))
}

/// Appends what one read gives, which is nothing where there is nothing.
pub(crate) fn receive(stream: &TcpStream, input: &mut Vec<u8>) -> Result<(), Fault> {
    input.reserve(READ_BYTES);
    match recv(stream, spare_capacity(input), RecvFlags::DONTWAIT) {
        Ok((0, _)) => Err(Fault::new(Kind::Closed, "the server closed a connection")),
        Ok(_) | Err(Errno::AGAIN | Errno::INTR) => Ok(()),
        Err(error) => Err(Fault::new(Kind::Io, format_args!("reading: {error}"))),
    }
}
