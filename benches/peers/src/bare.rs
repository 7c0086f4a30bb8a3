//! Just enough HTTP/1.1 for the bare servers: what a server costs with no framework on top.

use std::time::{Duration, Instant, SystemTime};

use windlass::proto::ws::{
    Mask,
    frame::{Header, Opcode},
    handshake::accept_key,
};

use crate::{items, workload};

/// Headers a request may carry.
const MAX_HEADERS: usize = 32;

/// Begins the answer to a subscription.
const STREAM_HEAD: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";

/// Begins the answer to a WebSocket's handshake, up to the answer to its key.
const SOCKET_HEAD: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-accept: ";

/// How events come to a subscriber.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// As [`stream_event`] makes them.
    Chunks,
    /// As [`message_event`] makes them.
    Frames,
}

/// What the server has to do after the bytes it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// Read more.
    Read,
    /// Wait this long, then send [`Exchange::after_work`] and go on with the bytes left.
    Work(Duration),
    /// Send what is queued, then every event that is published from here on.
    Subscribe(Carrier),
    /// Send what is queued; from here on [`echo_messages`] answers.
    Echo,
    /// Hand an event to every subscriber and go on with the bytes left.
    Publish {
        /// Where it begins in the input.
        start: usize,
        /// Where it ends.
        end: usize,
    },
    /// Send what is queued and close.
    Close,
}

impl Then {
    /// Returns the same for an input that begins `bytes` earlier.
    fn behind(self, bytes: usize) -> Self {
        match self {
            Self::Publish { start, end } => Self::Publish { start: bytes + start, end: bytes + end },
            then => then,
        }
    }
}

/// Returns an event as a subscriber gets it: a chunk (RFC 9112 §7.1) with one event (WHATWG HTML §9.2.6) in it.
pub fn stream_event(id: u64, data: &[u8]) -> Vec<u8> {
    let event = [format!("id: {id}\ndata: ").as_bytes(), data, b"\n\n"].concat();
    [format!("{:x}\r\n", event.len()).as_bytes(), &event, b"\r\n"].concat()
}

/// Returns an event as a text message of a WebSocket.
pub fn message_event(data: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    Header::new(Opcode::Text, data.len()).append_frame(&mut frame, data);
    frame
}

/// Sends the messages that `input` holds whole back, each in one frame; returns the bytes used.
pub fn echo_messages(input: &[u8], out: &mut Vec<u8>) -> usize {
    let mut used = 0;
    while let Ok(Some((header, length))) = Header::parse(&input[used..]) {
        let start = used + length;
        let Some(payload) = input.get(start..start + header.len as usize) else { break };
        Header::new(header.opcode, payload.len()).append_to(out);
        Mask::new(header.key.unwrap_or_default()).append(out, payload);
        used = start + payload.len();
    }
    used
}

/// Turns request bytes into response bytes; one a server.
#[derive(Debug)]
pub struct Exchange {
    date: String,
    dated: Instant,
}

impl Default for Exchange {
    fn default() -> Self {
        Self::new()
    }
}

impl Exchange {
    /// Makes one with the current date.
    pub fn new() -> Self {
        Self { date: date(), dated: Instant::now() }
    }

    /// Renews the date when its second is over. Call once a batch.
    pub fn tick(&mut self) {
        if self.dated.elapsed() >= Duration::from_secs(1) {
            *self = Self::new();
        }
    }

    /// Answers the requests that `input` holds whole; returns the bytes used and what to do next.
    pub fn serve(&self, input: &[u8], out: &mut Vec<u8>) -> (usize, Then) {
        let mut used = 0;
        while used < input.len() {
            let (taken, then) = self.one(&input[used..], out);
            let then = then.behind(used);
            used += taken;
            if taken == 0 || then != Then::Read {
                return (used, then);
            }
        }
        (used, Then::Read)
    }

    /// Writes the response that [`Then::Work`] postponed.
    pub fn after_work(&self, out: &mut Vec<u8>) {
        self.ok(out, workload::TEXT, workload::WORKED.as_bytes(), false);
    }

    fn one(&self, input: &[u8], out: &mut Vec<u8>) -> (usize, Then) {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut request = httparse::Request::new(&mut headers);
        let head = match request.parse(input) {
            Ok(httparse::Status::Complete(head)) => head,
            Ok(httparse::Status::Partial) => return (0, Then::Read),
            Err(_) => return self.refuse(out, "400 Bad Request"),
        };
        let Some(framing) = Framing::of(request.headers) else {
            return self.refuse(out, "501 Not Implemented");
        };
        let end = head + framing.length;
        let Some(body) = input.get(head..end) else {
            return (0, Then::Read);
        };
        let target = request.path.unwrap_or("");
        let (path, query) =
            target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
        let close = framing.close;
        match (request.method.unwrap_or(""), path) {
            ("GET", "/demo/plaintext") => self.ok(out, workload::TEXT, workload::HELLO.as_bytes(), close),
            ("GET", "/demo/json") => self.ok(out, workload::JSON, &workload::message_bytes(), close),
            ("GET", "/demo/items") => self.ok(out, workload::JSON, &items::bytes(), close),
            ("POST", "/demo/echo") => self.ok(out, "application/octet-stream", body, close),
            ("GET", "/demo/work") => return (end, Then::Work(workload::work_time(query))),
            ("GET", workload::WS_ECHO) => {
                return (end, if open(request.headers, out) { Then::Echo } else { Then::Close });
            }
            ("GET", workload::TOPIC) => {
                return (end, subscribe(request.headers, out));
            }
            ("POST", workload::TOPIC) => {
                self.empty(out, "202 Accepted", close);
                return (end, Then::Publish { start: head, end });
            }
            _ => self.empty(out, "404 Not Found", close),
        }
        (end, if close { Then::Close } else { Then::Read })
    }

    fn ok(&self, out: &mut Vec<u8>, content_type: &str, body: &[u8], close: bool) {
        out.extend_from_slice(b"HTTP/1.1 200 OK\r\ncontent-type: ");
        out.extend_from_slice(content_type.as_bytes());
        out.extend_from_slice(b"\r\ncontent-length: ");
        push_decimal(out, body.len());
        self.end_head(out, close);
        out.extend_from_slice(body);
    }

    fn empty(&self, out: &mut Vec<u8>, status: &str, close: bool) {
        out.extend_from_slice(b"HTTP/1.1 ");
        out.extend_from_slice(status.as_bytes());
        out.extend_from_slice(b"\r\ncontent-length: 0");
        self.end_head(out, close);
    }

    fn refuse(&self, out: &mut Vec<u8>, status: &str) -> (usize, Then) {
        self.empty(out, status, true);
        (0, Then::Close)
    }

    fn end_head(&self, out: &mut Vec<u8>, close: bool) {
        out.extend_from_slice(b"\r\ndate: ");
        out.extend_from_slice(self.date.as_bytes());
        // Without it a client may take the end of the connection for a failure.
        out.extend_from_slice(if close { b"\r\nconnection: close\r\n\r\n" } else { b"\r\n\r\n" });
    }
}

/// Begins the answer to a subscription.
fn subscribe(headers: &[httparse::Header<'_>], out: &mut Vec<u8>) -> Then {
    if open(headers, out) {
        return Then::Subscribe(Carrier::Frames);
    }
    out.extend_from_slice(STREAM_HEAD);
    Then::Subscribe(Carrier::Chunks)
}

/// Answers a WebSocket's handshake; false if this is none.
fn open(headers: &[httparse::Header<'_>], out: &mut Vec<u8>) -> bool {
    let key = headers.iter().find(|header| header.name.eq_ignore_ascii_case("sec-websocket-key"));
    let Some(accept) = key.and_then(|key| accept_key(key.value)) else { return false };
    out.extend_from_slice(SOCKET_HEAD);
    out.extend_from_slice(accept.as_bytes());
    out.extend_from_slice(b"\r\n\r\n");
    true
}

/// What a request's headers say about its body and its connection.
struct Framing {
    length: usize,
    close: bool,
}

impl Framing {
    /// Reads the headers; `None` when the body is not framed by a Content-Length.
    fn of(headers: &[httparse::Header<'_>]) -> Option<Self> {
        let mut framing = Self { length: 0, close: false };
        for header in headers {
            if header.name.eq_ignore_ascii_case("content-length") {
                framing.length = std::str::from_utf8(header.value).ok()?.parse().ok()?;
            } else if header.name.eq_ignore_ascii_case("connection") {
                framing.close = header.value.eq_ignore_ascii_case(b"close");
            } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
                return None;
            }
        }
        Some(framing)
    }
}

fn date() -> String {
    httpdate::fmt_http_date(SystemTime::now())
}

fn push_decimal(out: &mut Vec<u8>, mut number: usize) {
    let mut digits = [0; 20];
    let mut first = digits.len();
    loop {
        first -= 1;
        digits[first] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[first..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    const GET: &[u8] = b"GET /demo/plaintext HTTP/1.1\r\nhost: x\r\n\r\n";

    #[test]
    fn two_pipelined_requests_and_a_part_get_two_answers_and_leave_the_part() {
        let mut out = Vec::new();
        let input = [GET, GET, &GET[..10]].concat();
        assert_eq!(Exchange::new().serve(&input, &mut out), (2 * GET.len(), Then::Read));
        assert_eq!(out.windows(13).filter(|w| w == b"Hello, World!").count(), 2);
    }

    #[test]
    fn a_body_is_echoed_once_it_is_whole() {
        let mut out = Vec::new();
        let input = b"POST /demo/echo HTTP/1.1\r\ncontent-length: 10\r\n\r\n0123456789";
        assert_eq!(Exchange::new().serve(&input[..input.len() - 1], &mut out), (0, Then::Read));
        assert!(out.is_empty());
        assert_eq!(Exchange::new().serve(input, &mut out), (input.len(), Then::Read));
        assert!(out.ends_with(b"\r\n\r\n0123456789"));
    }

    #[test]
    fn work_stops_the_pipeline_and_close_ends_it() {
        let mut out = Vec::new();
        let work = b"GET /demo/work?ms=7 HTTP/1.1\r\n\r\n";
        let input = [work.as_slice(), GET].concat();
        let expected = (work.len(), Then::Work(Duration::from_millis(7)));
        assert_eq!(Exchange::new().serve(&input, &mut out), expected);
        assert!(out.is_empty());
        let close = b"GET /demo/json HTTP/1.1\r\nconnection: close\r\n\r\n";
        assert_eq!(Exchange::new().serve(close, &mut out), (close.len(), Then::Close));
        assert!(String::from_utf8(out).unwrap().contains("\r\nconnection: close\r\n"));
    }

    #[test]
    fn a_subscription_and_an_event_stop_the_pipeline_and_the_event_is_found() {
        let mut out = Vec::new();
        let input =
            b"POST /topics/bench HTTP/1.1\r\ncontent-length: 4\r\n\r\nnewsGET /topics/bench HTTP/1.1\r\n\r\n";
        let input = [GET, input].concat();
        let (used, Then::Publish { start, end }) = Exchange::new().serve(&input, &mut out) else { panic!() };
        assert_eq!((&input[start..end], used), (b"news".as_slice(), end));
        assert_eq!(
            Exchange::new().serve(&input[used..], &mut out),
            (input.len() - used, Then::Subscribe(Carrier::Chunks))
        );
        assert!(out.ends_with(STREAM_HEAD));
        assert_eq!(stream_event(7, b"news"), b"12\r\nid: 7\ndata: news\n\n\r\n");
    }

    #[test]
    fn a_subscription_with_a_key_is_a_websocket() {
        let (input, mut out) = (
            b"GET /topics/bench HTTP/1.1\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            Vec::new(),
        );
        let expected = (input.len(), Then::Subscribe(Carrier::Frames));
        assert_eq!(Exchange::new().serve(input, &mut out), expected);
        assert!(out.ends_with(b"\r\nsec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"));
        assert_eq!(message_event(b"news"), b"\x81\x04news");
    }

    #[test]
    fn whole_messages_are_echoed_unmasked_and_a_part_is_left() {
        let (mut input, mut out) = (Vec::new(), Vec::new());
        for payload in [b"one", b"two"] {
            let header = Header { key: Some([1, 2, 3, 4]), ..Header::new(Opcode::Text, payload.len()) };
            header.append_frame(&mut input, payload);
        }
        assert_eq!(echo_messages(&input[..input.len() - 1], &mut out), input.len() / 2);
        assert_eq!(out, b"\x81\x03one");
    }

    #[test]
    fn numbers_are_written_in_decimal() {
        for number in [0, 7, 10, 4096, usize::MAX] {
            let mut out = Vec::new();
            push_decimal(&mut out, number);
            assert_eq!(out, number.to_string().into_bytes());
        }
    }
}
