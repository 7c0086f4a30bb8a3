//! One subscription: receives chunks or frames and checks the events.

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

use windlass::proto::h1::chunk::Chunked;

use super::{Transport, event};
use crate::{
    fault::{Fault, Kind},
    frames, response,
    tally::Tally,
};

/// Capacity reserved for one read.
const READ_BYTES: usize = 16 * 1024;
/// Maximum size of buffered input, and so of an event.
const MAX_EVENT_BYTES: usize = 64 * 1024;

/// Subscription and its position in the event sequence.
pub(crate) struct Subscriber {
    stream: TcpStream,
    transport: Transport,
    has_head: bool,
    input: Vec<u8>,
    chunks: Chunked,
    /// Data of chunks that does not complete an event yet.
    body: Vec<u8>,
    /// Number of the next expected event.
    next: u64,
    received: u64,
}

impl Subscriber {
    /// Sends the request that subscribes.
    pub(crate) fn new(mut stream: TcpStream, transport: Transport, host: SocketAddr) -> io::Result<Self> {
        stream.write_all(&transport.request(host))?;
        let (input, chunks, body) = (Vec::new(), response::chunks(), Vec::new());
        Ok(Self { stream, transport, has_head: false, input, chunks, body, next: 0, received: 0 })
    }

    /// Reads the available bytes and checks every complete event.
    pub(crate) fn read(&mut self, epoch: Instant, tally: &mut Tally) -> Result<(), Fault> {
        receive(&self.stream, &mut self.input)?;
        let now = Instant::now().saturating_duration_since(epoch);
        if !self.has_head {
            let Some(used) = self.transport.parse_head(&self.input)? else { return Ok(()) };
            self.has_head = true;
            self.input.drain(..used);
        }
        match self.transport {
            Transport::EventStream => self.decode_chunks().and_then(|()| self.check_events(now, tally))?,
            Transport::WebSocket => self.check_messages(now, tally)?,
        }
        if self.body.len() + self.input.len() > MAX_EVENT_BYTES {
            return Err(Fault::new(Kind::Malformed, "event exceeds 64 KiB"));
        }
        Ok(())
    }

    fn check_messages(&mut self, now: Duration, tally: &mut Tally) -> Result<(), Fault> {
        let (mut at, mut pongs) = (0, Vec::new());
        while let Some(frame) = frames::parse(&self.input[at..], &mut pongs)? {
            let (number, sent) = event::parse_message(frame.payload)?;
            self.next = check_order(self.next, number, tally);
            self.received += 1;
            tally.answered(Some(now.saturating_sub(sent)));
            at += frame.used;
        }
        self.input.drain(..at);
        self.stream
            .write_all(&pongs)
            .map_err(|error| Fault::new(Kind::Io, format_args!("write failed: {error}")))
    }

    fn decode_chunks(&mut self) -> Result<(), Fault> {
        if response::decode_chunks(&mut self.chunks, &self.input, &mut self.body)? {
            return Err(Fault::new(Kind::Closed, "server ended the event stream"));
        }
        self.input.clear();
        Ok(())
    }

    fn check_events(&mut self, now: Duration, tally: &mut Tally) -> Result<(), Fault> {
        let mut at = 0;
        while let Some(length) = event::end(&self.body[at..]) {
            if let Some((number, sent)) = event::parse(&self.body[at..at + length])? {
                self.next = check_order(self.next, number, tally);
                self.received += 1;
                tally.answered(Some(now.saturating_sub(sent)));
            }
            at += length + 2;
        }
        self.body.drain(..at);
        Ok(())
    }

    /// Returns the socket.
    pub(crate) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Returns `true` if the subscription has been answered.
    pub(crate) fn has_head(&self) -> bool {
        self.has_head
    }

    /// Returns the number of the next expected event.
    pub(crate) fn next_expected(&self) -> u64 {
        self.next
    }

    /// Returns the number of received events.
    pub(crate) fn received(&self) -> u64 {
        self.received
    }
}

/// Counts missing and repeated events. Returns the number of the next expected event.
fn check_order(next: u64, number: u64, tally: &mut Tally) -> u64 {
    if number != next {
        let fault = Fault::new(Kind::Body, format_args!("received event {number}, expected {next}"));
        tally.failed(&fault, number.saturating_sub(next));
    }
    next.max(number.saturating_add(1))
}

/// Appends the bytes of one read. Appends nothing if no bytes are available.
pub(crate) fn receive(stream: &TcpStream, input: &mut Vec<u8>) -> Result<(), Fault> {
    input.reserve(READ_BYTES);
    match recv(stream, spare_capacity(input), RecvFlags::DONTWAIT) {
        Ok((0, _)) => Err(Fault::new(Kind::Closed, "server closed the connection")),
        Ok(_) | Err(Errno::AGAIN | Errno::INTR) => Ok(()),
        Err(error) => Err(Fault::new(Kind::Io, format_args!("read failed: {error}"))),
    }
}
