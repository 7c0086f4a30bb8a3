//! One subscription: chunks or frames in, events checked.

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

use super::{Form, event};
use crate::{
    fault::{Fault, Kind},
    frames, response,
    tally::Tally,
};

/// Room for one read.
const READ_BYTES: usize = 16 * 1024;
/// Most bytes of one event that are believed.
const MAX_EVENT_BYTES: usize = 64 * 1024;

/// A subscriber and how far it is.
pub(crate) struct Subscriber {
    stream: TcpStream,
    form: Form,
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
    pub(crate) fn new(mut stream: TcpStream, form: Form, host: SocketAddr) -> io::Result<Self> {
        stream.write_all(&form.request(host))?;
        let (input, body) = (Vec::new(), Vec::new());
        Ok(Self { stream, form, has_head: false, input, body, next: 0, received: 0 })
    }

    /// Reads what is there and checks every event that is whole.
    pub(crate) fn read(&mut self, epoch: Instant, tally: &mut Tally) -> Result<(), Fault> {
        receive(&self.stream, &mut self.input)?;
        let now = Instant::now().saturating_duration_since(epoch);
        if !self.has_head {
            let Some(taken) = self.form.parse_head(&self.input)? else { return Ok(()) };
            self.has_head = true;
            self.input.drain(..taken);
        }
        match self.form {
            Form::EventStream => self.take_chunks().and_then(|()| self.check_events(now, tally))?,
            Form::WebSocket => self.check_messages(now, tally)?,
        }
        if self.body.len() + self.input.len() > MAX_EVENT_BYTES {
            return Err(Fault::new(Kind::Malformed, "an event of more than 64 KiB"));
        }
        Ok(())
    }

    fn check_messages(&mut self, now: Duration, tally: &mut Tally) -> Result<(), Fault> {
        let (mut at, mut answers) = (0, Vec::new());
        while let Some(frame) = frames::parse(&self.input[at..], &mut answers)? {
            let (number, sent) = event::parse_message(frame.payload)?;
            self.next = in_order(self.next, number, tally);
            self.received += 1;
            tally.answered(Some(now.saturating_sub(sent)));
            at += frame.taken;
        }
        self.input.drain(..at);
        self.stream
            .write_all(&answers)
            .map_err(|error| Fault::new(Kind::Io, format_args!("writing: {error}")))
    }

    fn take_chunks(&mut self) -> Result<(), Fault> {
        let mut at = 0;
        while let Some((taken, data)) = response::parse_chunk(&self.input[at..])? {
            if data.is_empty() {
                return Err(Fault::new(Kind::Closed, "the server ended a stream"));
            }
            self.body.extend_from_slice(data);
            at += taken;
        }
        self.input.drain(..at);
        Ok(())
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
