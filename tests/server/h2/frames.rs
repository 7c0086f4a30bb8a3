//! A client that sends exactly the frames it is given, and reads frame by frame.
#![allow(dead_code, reason = "not every test uses every helper")]

use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use socket2::SockRef;
use windlass::Server;

use crate::common::{TIMEOUT, address, eventually};

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;
pub(crate) const PRIORITY_UPDATE: u8 = 16;

/// Bytes of a frame's header.
pub(crate) const FRAME_HEADER_BYTES: usize = 9;

/// Flags. END_STREAM belongs to DATA and HEADERS, ACK to SETTINGS and PING.
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const ACK: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

/// Error codes (RFC 9113 §7).
pub(crate) const NO_ERROR: u32 = 0;
pub(crate) const PROTOCOL_ERROR: u32 = 1;
pub(crate) const FLOW_CONTROL_ERROR: u32 = 3;
pub(crate) const REFUSED_STREAM: u32 = 7;
pub(crate) const CANCEL: u32 = 8;
pub(crate) const ENHANCE_YOUR_CALM: u32 = 11;

/// A frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    /// Returns the error code of an RST_STREAM or GOAWAY.
    #[track_caller]
    pub(crate) fn code(&self) -> u32 {
        let at = match self.kind {
            RST_STREAM => 0,
            GOAWAY => 4,
            _ => panic!("{self:?} has no error code"),
        };
        u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap())
    }

    /// Returns the last stream id of a GOAWAY.
    pub(crate) fn last_stream(&self) -> u32 {
        assert_eq!(self.kind, GOAWAY);
        u32::from_be_bytes(self.payload[..4].try_into().unwrap())
    }

    /// Returns the status of a response's HEADERS, which is indexed, three digits, or Huffman-coded digits.
    #[track_caller]
    pub(crate) fn status(&self) -> u16 {
        assert_eq!(self.kind, HEADERS);
        let first = self.payload.iter().position(|byte| byte & 0xe0 != 0x20).unwrap();
        match &self.payload[first..] {
            [index @ 0x88..=0x8e, ..] => [200, 204, 206, 304, 400, 404, 500][usize::from(index - 0x88)],
            [0x08 | 0x48, 3, rest @ ..] => {
                rest[..3].iter().fold(0, |n, digit| n * 10 + u16::from(digit - b'0'))
            }
            [0x08 | 0x48, length, rest @ ..] if length & 0x80 != 0 => {
                digits(&rest[..usize::from(length & 0x7f)])
            }
            other => panic!("no status in front of {}", other.escape_ascii()),
        }
    }

    pub(crate) fn ends_stream(&self) -> bool {
        matches!(self.kind, DATA | HEADERS) && self.flags & END_STREAM != 0
    }
}

/// Decodes three Huffman-coded digits: 0, 1 and 2 have five bits, the others six (RFC 7541, appendix B).
fn digits(coded: &[u8]) -> u16 {
    let bits: Vec<u8> = coded.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1)).collect();
    let take =
        |at: usize, count: usize| bits[at..at + count].iter().fold(0, |n, bit| n << 1 | u16::from(*bit));
    let (mut at, mut number) = (0, 0);
    for _ in 0..3 {
        let (digit, length) = match take(at, 5) {
            digit @ 0..=2 => (digit, 5),
            _ => (take(at, 6) - 0b01_1001 + 3, 6),
        };
        number = number * 10 + digit;
        at += length;
    }
    number
}

/// Encodes a frame.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: impl AsRef<[u8]>) -> Vec<u8> {
    let payload = payload.as_ref();
    let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// Encodes header fields as literals that are never indexed and not Huffman-coded.
pub(crate) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in fields {
        bytes.push(0x10);
        string(&mut bytes, name);
        string(&mut bytes, value);
    }
    bytes
}

fn string(bytes: &mut Vec<u8>, text: &str) {
    let mut rest = text.len();
    if rest < 127 {
        bytes.push(rest as u8);
    } else {
        bytes.push(127);
        rest -= 127;
        while rest >= 128 {
            bytes.push(0x80 | (rest & 0x7f) as u8);
            rest >>= 7;
        }
        bytes.push(rest as u8);
    }
    bytes.extend(text.as_bytes());
}

/// Returns the pseudo-header fields of a request.
pub(crate) fn request<'a>(method: &'a str, path: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![(":method", method), (":scheme", "http"), (":path", path), (":authority", "test")]
}

/// Encodes settings from pairs of identifier and value.
pub(crate) fn settings(pairs: &[(u16, u32)]) -> Vec<u8> {
    pairs.iter().flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat()).collect()
}

/// A client connection.
pub(crate) struct Peer {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Peer {
    /// Connects and sends the preface and empty settings.
    pub(crate) fn connect(server: &Server) -> Self {
        Self::connect_with(server, &[])
    }

    /// Connects, sends the preface and these settings, and exchanges SETTINGS acknowledgements. The header
    /// table size is 0, so that each status can be decoded alone.
    pub(crate) fn connect_with(server: &Server, pairs: &[(u16, u32)]) -> Self {
        let mut peer = Self::silent(server);
        peer.send(
            [PREFACE, &frame(SETTINGS, 0, 0, [settings(&[(1, 0)]), settings(pairs)].concat())].concat(),
        );
        let theirs = peer.wait(|frame| frame.kind == SETTINGS);
        assert_eq!(theirs.flags & ACK, 0, "the server's settings must come before its acknowledgement");
        peer.send(frame(SETTINGS, ACK, 0, []));
        peer.wait(|frame| frame.kind == SETTINGS && frame.flags & ACK != 0);
        peer
    }

    /// Connects and sends nothing.
    pub(crate) fn silent(server: &Server) -> Self {
        let stream = TcpStream::connect_timeout(&address(server), TIMEOUT).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        stream.set_write_timeout(Some(TIMEOUT)).unwrap();
        Self { stream, received: Vec::new() }
    }

    #[track_caller]
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
    }

    /// Sends these bytes. Returns `false` if the server has closed the connection.
    pub(crate) fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).is_ok()
    }

    /// Sends a request without a body.
    pub(crate) fn get(&mut self, stream: u32, path: &str) {
        self.headers(stream, &request("GET", path), true);
    }

    /// Sends the head of a request.
    pub(crate) fn headers(&mut self, stream: u32, fields: &[(&str, &str)], end: bool) {
        let flags = END_HEADERS | if end { END_STREAM } else { 0 };
        self.send(frame(HEADERS, flags, stream, block(fields)));
    }

    /// Reads the head of an HTTP/1.1 response.
    #[track_caller]
    pub(crate) fn http1_head(&mut self) -> String {
        loop {
            if let Some(end) = self.received.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                return String::from_utf8(self.received.drain(..end + 4).collect()).unwrap();
            }
            let mut buffer = [0; 64 * 1024];
            let count = self.stream.read(&mut buffer).unwrap();
            assert!(count > 0, "the server closed after {}", self.received.escape_ascii());
            self.received.extend_from_slice(&buffer[..count]);
        }
    }

    /// Reads the next frame; `None` at the end of the connection.
    pub(crate) fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.parse() {
                return Some(frame);
            }
            let mut buffer = [0; 64 * 1024];
            match self.stream.read(&mut buffer) {
                Ok(0) => return None,
                Ok(count) => self.received.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("reading failed: {error}"),
            }
        }
    }

    fn parse(&mut self) -> Option<Frame> {
        let head = self.received.get(..9)?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let (kind, flags) = (head[3], head[4]);
        let stream = u32::from_be_bytes(head[5..9].try_into().unwrap());
        let payload = self.received.get(9..9 + length)?.to_vec();
        self.received.drain(..9 + length);
        Some(Frame { kind, flags, stream, payload })
    }

    /// Reads until a matching frame arrives and discards all before it.
    #[track_caller]
    pub(crate) fn wait(&mut self, wanted: impl Fn(&Frame) -> bool) -> Frame {
        let until = Instant::now() + TIMEOUT;
        let mut discarded = Vec::new();
        loop {
            assert!(Instant::now() < until, "the expected frame did not arrive; got {discarded:?}");
            match self.next() {
                Some(frame) if wanted(&frame) => return frame,
                Some(frame) => discarded.push((frame.kind, frame.flags, frame.stream)),
                None => panic!("the server closed after {discarded:?}"),
            }
        }
    }

    /// Reads the HEADERS of the reply on a stream.
    #[track_caller]
    pub(crate) fn reply(&mut self, stream: u32) -> Frame {
        self.wait(|frame| frame.kind == HEADERS && frame.stream == stream)
    }

    /// Reads until the stream ends and returns its body.
    #[track_caller]
    pub(crate) fn body(&mut self, stream: u32) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let frame = self.wait(|frame| frame.stream == stream && matches!(frame.kind, DATA | HEADERS));
            if frame.kind == DATA {
                body.extend_from_slice(&frame.payload);
            }
            if frame.ends_stream() {
                return body;
            }
        }
    }

    /// Waits for the stream's RST_STREAM and returns its error code.
    #[track_caller]
    pub(crate) fn reset(&mut self, stream: u32) -> u32 {
        self.wait(|frame| frame.kind == RST_STREAM && frame.stream == stream).code()
    }

    /// Waits for GOAWAY and the end of the connection. Returns the error code.
    #[track_caller]
    pub(crate) fn goaway(&mut self) -> u32 {
        let goaway = self.wait(|frame| frame.kind == GOAWAY);
        while let Some(frame) = self.next() {
            assert!(frame.kind != HEADERS, "no reply may follow GOAWAY: {frame:?}");
        }
        goaway.code()
    }

    /// Sends a PING and reads until its answer, which comes behind that to all earlier frames.
    #[track_caller]
    pub(crate) fn ping(&mut self) {
        self.send(frame(PING, 0, 0, [7; 8]));
        self.wait(|frame| frame.kind == PING && frame.flags & ACK != 0);
    }

    /// Waits for bytes for at most this time. Returns `true` if there are some.
    pub(crate) fn is_readable(&mut self, within: Duration) -> bool {
        if !self.received.is_empty() {
            return true;
        }
        self.stream.set_read_timeout(Some(within)).unwrap();
        let found = self.stream.peek(&mut [0]).is_ok();
        self.stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        found
    }

    /// Returns how many bytes the server has handed to the kernel and this client has not parsed. Exact while
    /// neither side sends.
    pub(crate) fn unread_bytes(&self) -> usize {
        let (mut before, mut queued) = (None, None);
        // The kernel lists sockets in several steps, between which others open: a list may lack one.
        eventually("two lists have both sockets, with the same queues", || {
            before = std::mem::replace(&mut queued, self.queued_bytes());
            queued.is_some() && queued == before
        });
        self.received.len() + queued.unwrap()
    }

    /// Returns the sum of the server's send queue and this client's receive queue; `None` if the list of
    /// sockets lacks one of the two.
    fn queued_bytes(&self) -> Option<usize> {
        let (own, server) = (self.stream.local_addr().unwrap(), self.stream.peer_addr().unwrap());
        let sockets = std::fs::read_to_string("/proc/net/tcp").unwrap();
        let queue = |local: u16, remote: u16, which: usize| {
            let line =
                sockets.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).find(|line| {
                    line[1].ends_with(&format!(":{local:04X}"))
                        && line[2].ends_with(&format!(":{remote:04X}"))
                })?;
            usize::from_str_radix(line[4].split(':').nth(which).unwrap(), 16).ok()
        };
        Some(queue(server.port(), own.port(), 0)? + queue(own.port(), server.port(), 1)?)
    }

    /// Closes the connection with a reset.
    pub(crate) fn reset_connection(self) {
        SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).unwrap();
    }

    /// Sends a FIN; reading continues.
    pub(crate) fn finish(&mut self) {
        self.stream.shutdown(std::net::Shutdown::Write).unwrap();
    }

    /// Asserts that nothing arrives during this time.
    #[track_caller]
    pub(crate) fn expect_silence(&mut self, during: Duration) {
        assert!(self.received.is_empty(), "{:?}", self.parse());
        self.stream.set_read_timeout(Some(during)).unwrap();
        let mut byte = [0];
        match self.stream.read(&mut byte) {
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            other => panic!("expected silence, got {other:?} {byte:?}"),
        }
        self.stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    }
}
