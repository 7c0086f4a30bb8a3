//! One connection under load: what is queued to go out, what is owed, what came in.

use std::{
    collections::VecDeque,
    io::{self, ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use rustix::{
    io::Errno,
    net::{AddressFamily, SocketFlags, SocketType, connect, socket_with, sockopt::set_tcp_nodelay},
};

use crate::{
    fault::{Fault, Kind},
    frames,
    response::Response,
    tally::Tally,
    template::Template,
};

/// First size of the input buffer; it doubles as a response needs.
const INPUT_BYTES: usize = 16 * 1024;
/// Largest response that is believed.
const MAX_INPUT_BYTES: usize = 64 * 1024 * 1024;

/// A request that is not answered yet.
#[derive(Clone, Copy, Debug)]
struct Owed {
    template: usize,
    serial: u64,
    since: Instant,
}

/// What came of a look at the socket.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Progress {
    /// Requests answered.
    pub(crate) answered: usize,
    /// The server ended the connection in order.
    pub(crate) ended: bool,
}

/// A connection and its requests in flight.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: Option<TcpStream>,
    connected: bool,
    /// What opens it before the first request, and whether it was answered, or there is nothing to answer.
    handshake: Option<Box<[u8]>>,
    opened: bool,
    out: Vec<u8>,
    sent: usize,
    input: Box<[u8]>,
    filled: usize,
    owed: VecDeque<Owed>,
    next_template: usize,
    /// The server must end the connection after one response.
    one_shot: bool,
    last_answer: Option<Instant>,
    /// The kernel reported the peer's FIN: read until it is reached.
    peer_ended: bool,
    /// Responses checked so far.
    pub(crate) answered: u64,
}

impl Connection {
    pub(crate) fn new(next_template: usize, one_shot: bool, handshake: Option<&[u8]>) -> Self {
        Self {
            stream: None,
            connected: false,
            handshake: handshake.map(Into::into),
            opened: handshake.is_none(),
            out: Vec::new(),
            sent: 0,
            input: vec![0; INPUT_BYTES].into(),
            filled: 0,
            owed: VecDeque::new(),
            next_template,
            one_shot,
            last_answer: None,
            peer_ended: false,
            answered: 0,
        }
    }

    /// Starts to connect; the caller registers the stream.
    pub(crate) fn open(&mut self, target: SocketAddr) -> io::Result<&TcpStream> {
        self.out.splice(..0, self.handshake.iter().flatten().copied());
        let family = if target.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = socket_with(family, SocketType::STREAM, flags, None)?;
        set_tcp_nodelay(&socket, true)?;
        match connect(&socket, &target) {
            Ok(()) | Err(Errno::INPROGRESS) => Ok(self.stream.insert(socket.into())),
            Err(error) => Err(error.into()),
        }
    }

    /// Says whether there is something to send and no socket to send it on.
    pub(crate) fn wants_socket(&self) -> bool {
        self.stream.is_none() && !self.out.is_empty()
    }

    /// Says whether the connection is established and may carry requests.
    pub(crate) fn is_open(&self) -> bool {
        self.connected && self.opened
    }

    /// Is told that the peer's FIN, or worse, is there.
    pub(crate) fn note_end(&mut self) {
        self.peer_ended = true;
    }

    /// Queues the next request; its latency runs from `since`.
    pub(crate) fn ask(&mut self, templates: &[Template], serial: u64, since: Instant) {
        let template = self.next_template;
        self.next_template = (template + 1) % templates.len();
        templates[template].write(serial, &mut self.out);
        self.owed.push_back(Owed { template, serial, since });
    }

    /// Says whether the oldest request, or the end of a one-shot connection, is awaited longer than `timeout`.
    pub(crate) fn is_overdue(&self, now: Instant, timeout: Duration) -> bool {
        let end = self.last_answer.filter(|_| self.one_shot && self.stream.is_some());
        let since = self.owed.front().map(|owed| owed.since).or(end);
        since.is_some_and(|since| now.saturating_duration_since(since) > timeout)
    }

    /// Forgets the socket and everything on its way; returns how many requests stay unanswered.
    pub(crate) fn reset(&mut self) -> usize {
        self.stream = None;
        (self.connected, self.peer_ended) = (false, false);
        self.opened = self.handshake.is_none();
        self.out.clear();
        (self.sent, self.filled) = (0, 0);
        self.owed.drain(..).count()
    }

    /// Writes what is queued as far as the kernel takes it.
    pub(crate) fn flush(&mut self) -> Result<(), Fault> {
        if !self.establish()? {
            return Ok(());
        }
        let Some(stream) = &mut self.stream else { return Ok(()) };
        while self.sent < self.out.len() {
            match stream.write(&self.out[self.sent..]) {
                Ok(length) => self.sent += length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(Fault::new(Kind::Io, format_args!("writing: {error}"))),
            }
        }
        self.out.clear();
        self.sent = 0;
        Ok(())
    }

    /// Notices the end of connecting; false while it goes on.
    fn establish(&mut self) -> Result<bool, Fault> {
        if self.connected {
            return Ok(true);
        }
        let Some(stream) = &self.stream else { return Ok(false) };
        match stream.take_error() {
            Ok(None) => self.connected = stream.peer_addr().is_ok(),
            Ok(Some(error)) | Err(error) => return Err(Fault::new(Kind::Connect, error)),
        }
        Ok(self.connected)
    }

    /// Reads what is there and checks every response that is whole; `progress` holds also when this fails.
    pub(crate) fn read(
        &mut self,
        templates: &[Template],
        tally: &mut Tally,
        progress: &mut Progress,
    ) -> Result<(), Fault> {
        while self.connected && !progress.ended {
            self.make_room()?;
            let Some(stream) = &mut self.stream else { break };
            let room = self.input.len() - self.filled;
            match stream.read(&mut self.input[self.filled..]) {
                Ok(0) => progress.ended = self.end_in_order()?,
                Ok(length) => {
                    self.filled += length;
                    self.check_whole(templates, tally, progress)?;
                    // A short read emptied the socket, the next byte is a new event; but a FIN behind it is not.
                    if length < room && !self.peer_ended {
                        break;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(Fault::new(Kind::Io, format_args!("reading: {error}"))),
            }
        }
        Ok(())
    }

    fn end_in_order(&self) -> Result<bool, Fault> {
        if self.owed.is_empty() && self.filled == 0 {
            return Ok(true);
        }
        let detail = format!("the server ended a connection and owed {} responses", self.owed.len());
        Err(Fault::new(Kind::Closed, detail))
    }

    fn make_room(&mut self) -> Result<(), Fault> {
        if self.filled < self.input.len() {
            return Ok(());
        }
        if self.input.len() >= MAX_INPUT_BYTES {
            return Err(Fault::new(Kind::Malformed, "a response of more than 64 MiB"));
        }
        let mut larger = vec![0; self.input.len() * 2];
        larger[..self.filled].copy_from_slice(&self.input);
        self.input = larger.into();
        Ok(())
    }

    /// Looks for the answer to the handshake where one is awaited; returns the bytes it took.
    fn check_opened(&mut self) -> Result<usize, Fault> {
        if self.opened {
            return Ok(0);
        }
        let taken = frames::parse_opened(&self.input[..self.filled])?;
        self.opened = taken.is_some();
        Ok(taken.unwrap_or(0))
    }

    fn check_whole(
        &mut self,
        templates: &[Template],
        tally: &mut Tally,
        progress: &mut Progress,
    ) -> Result<(), Fault> {
        let now = Instant::now();
        let mut at = self.check_opened()?;
        while self.opened && at < self.filled {
            // Those of one connection differ in what they ask for, not in how they are answered.
            let parsed = templates[self.next_template].parse(&self.input[at..self.filled], &mut self.out)?;
            let Some(response) = parsed else { break };
            let owed = settle(&mut self.owed, templates, &response)?;
            let latency = now.saturating_duration_since(owed.since);
            tally.answered(templates[owed.template].is_timed().then_some(latency));
            at += response.len;
            progress.answered += 1;
            self.answered += 1;
            self.last_answer = Some(now);
        }
        self.input.copy_within(at..self.filled, 0);
        self.filled -= at;
        Ok(())
    }
}

/// Checks a response against the oldest request and returns that one.
fn settle(owed: &mut VecDeque<Owed>, templates: &[Template], response: &Response<'_>) -> Result<Owed, Fault> {
    let Some(oldest) = owed.front().copied() else {
        return Err(Fault::new(Kind::Unsolicited, "a response to no request"));
    };
    templates[oldest.template].check(oldest.serial, response)?;
    owed.pop_front();
    if response.closes && !owed.is_empty() {
        let detail = format!("the server says it closes and owes {} responses", owed.len());
        return Err(Fault::new(Kind::Closed, detail));
    }
    Ok(oldest)
}
