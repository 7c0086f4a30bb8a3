//! One connection under load: queued output, requests in flight and received input.

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

use windlass_cli::client::{
    fault::{Fault, Kind},
    frames,
    response::Response,
    totals::Totals,
};

use crate::template::Template;

/// Initial size of the input buffer. It doubles when a response does not fit.
const INPUT_BYTES: usize = 16 * 1024;
/// Maximum size of the input buffer, and so of a response.
const MAX_INPUT_BYTES: usize = 64 * 1024 * 1024;

/// Request in flight.
#[derive(Clone, Copy, Debug)]
struct Request {
    template: usize,
    serial: u64,
    since: Instant,
}

/// Result of reading from a connection.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Progress {
    /// Number of requests answered.
    pub(crate) answered: usize,
    /// The server has ended the connection with no request in flight.
    pub(crate) ended: bool,
}

/// Connection and its requests in flight.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: Option<TcpStream>,
    connected: bool,
    /// Bytes that open the connection before the first request.
    handshake: Option<Box<[u8]>>,
    /// The connection needs no handshake, or the handshake has been answered.
    opened: bool,
    out: Vec<u8>,
    sent: usize,
    input: Box<[u8]>,
    filled: usize,
    in_flight: VecDeque<Request>,
    next_template: usize,
    /// The server must close the connection after one response.
    one_shot: bool,
    last_answer: Option<Instant>,
    /// The kernel has reported the peer's FIN. Reading continues until the end of the stream.
    peer_ended: bool,
    /// Number of responses checked.
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
            in_flight: VecDeque::new(),
            next_template,
            one_shot,
            last_answer: None,
            peer_ended: false,
            answered: 0,
        }
    }

    /// Starts to connect and returns the stream, which the caller registers.
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

    /// Returns `true` if bytes are queued and there is no socket.
    pub(crate) fn needs_socket(&self) -> bool {
        self.stream.is_none() && !self.out.is_empty()
    }

    /// Returns `true` if the connection is established and can carry requests.
    pub(crate) fn is_open(&self) -> bool {
        self.connected && self.opened
    }

    /// Records that the kernel has reported the peer's FIN or an error.
    pub(crate) fn set_peer_ended(&mut self) {
        self.peer_ended = true;
    }

    /// Queues the next request. Its latency is measured from `since`.
    pub(crate) fn queue_request(&mut self, templates: &[Template], serial: u64, since: Instant) {
        let template = self.next_template;
        self.next_template = (template + 1) % templates.len();
        templates[template].write(serial, &mut self.out);
        self.in_flight.push_back(Request { template, serial, since });
    }

    /// Returns `true` if the oldest request, or the close of a one-shot connection, has exceeded `timeout`.
    pub(crate) fn has_timed_out(&self, now: Instant, timeout: Duration) -> bool {
        let end = self.last_answer.filter(|_| self.one_shot && self.stream.is_some());
        let since = self.in_flight.front().map(|in_flight| in_flight.since).or(end);
        since.is_some_and(|since| now.saturating_duration_since(since) > timeout)
    }

    /// Drops the socket and all buffered bytes. Returns the number of requests that were in flight.
    pub(crate) fn reset(&mut self) -> usize {
        self.stream = None;
        (self.connected, self.peer_ended) = (false, false);
        self.opened = self.handshake.is_none();
        self.out.clear();
        (self.sent, self.filled) = (0, 0);
        self.in_flight.drain(..).count()
    }

    /// Writes queued bytes until the socket would block.
    pub(crate) fn flush(&mut self) -> Result<(), Fault> {
        if !self.establish()? {
            return Ok(());
        }
        let Some(stream) = &mut self.stream else { return Ok(()) };
        while self.sent < self.out.len() {
            match stream.write(&self.out[self.sent..]) {
                Ok(length) => self.sent += length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(Fault::new(Kind::Io, format_args!("write failed: {error}"))),
            }
        }
        self.out.clear();
        self.sent = 0;
        Ok(())
    }

    /// Checks whether connecting has completed. Returns `false` while it is in progress.
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

    /// Reads the available bytes and checks every complete response. `progress` is valid even if this fails.
    pub(crate) fn read(
        &mut self,
        templates: &[Template],
        totals: &mut Totals,
        progress: &mut Progress,
    ) -> Result<(), Fault> {
        while self.connected && !progress.ended {
            self.grow_input()?;
            let Some(stream) = &mut self.stream else { break };
            let room = self.input.len() - self.filled;
            match stream.read(&mut self.input[self.filled..]) {
                Ok(0) => progress.ended = self.check_end()?,
                Ok(length) => {
                    self.filled += length;
                    self.check_responses(templates, totals, progress)?;
                    // A short read has emptied the socket, so the next byte causes another event. A FIN that
                    // follows it does not.
                    if length < room && !self.peer_ended {
                        break;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(Fault::new(Kind::Io, format_args!("read failed: {error}"))),
            }
        }
        Ok(())
    }

    fn check_end(&self) -> Result<bool, Fault> {
        if self.in_flight.is_empty() && self.filled == 0 {
            return Ok(true);
        }
        let detail = format!("server closed the connection with {} responses pending", self.in_flight.len());
        Err(Fault::new(Kind::Closed, detail))
    }

    fn grow_input(&mut self) -> Result<(), Fault> {
        if self.filled < self.input.len() {
            return Ok(());
        }
        if self.input.len() >= MAX_INPUT_BYTES {
            return Err(Fault::new(Kind::Malformed, "response exceeds 64 MiB"));
        }
        let mut larger = vec![0; self.input.len() * 2];
        larger[..self.filled].copy_from_slice(&self.input);
        self.input = larger.into();
        Ok(())
    }

    /// Parses the response to a pending handshake and returns the number of bytes used.
    fn check_handshake(&mut self) -> Result<usize, Fault> {
        if self.opened {
            return Ok(0);
        }
        let used = frames::parse_handshake_response(&self.input[..self.filled])?;
        self.opened = used.is_some();
        Ok(used.unwrap_or(0))
    }

    fn check_responses(
        &mut self,
        templates: &[Template],
        totals: &mut Totals,
        progress: &mut Progress,
    ) -> Result<(), Fault> {
        let now = Instant::now();
        let mut at = self.check_handshake()?;
        while self.opened && at < self.filled {
            // All templates of one connection use the same protocol, so any of them can parse the response.
            let parsed = templates[self.next_template].parse(&self.input[at..self.filled], &mut self.out)?;
            let Some(response) = parsed else { break };
            let in_flight = match_response(&mut self.in_flight, templates, &response)?;
            let latency = now.saturating_duration_since(in_flight.since);
            totals.answered(templates[in_flight.template].is_timed().then_some(latency));
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

/// Checks a response against the oldest request in flight and returns that request.
fn match_response(
    in_flight: &mut VecDeque<Request>,
    templates: &[Template],
    response: &Response<'_>,
) -> Result<Request, Fault> {
    let Some(oldest) = in_flight.front().copied() else {
        return Err(Fault::new(Kind::Unsolicited, "response without a request"));
    };
    templates[oldest.template].check(oldest.serial, response)?;
    in_flight.pop_front();
    if response.closes && !in_flight.is_empty() {
        let detail = format!("server announced close with {} responses pending", in_flight.len());
        return Err(Fault::new(Kind::Closed, detail));
    }
    Ok(oldest)
}
