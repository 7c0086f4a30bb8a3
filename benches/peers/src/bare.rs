//! Minimal HTTP/1.1 for the bare servers. It measures the cost of a server without a framework.

use std::time::{Duration, Instant, SystemTime};

use windlass::proto::ws::{
    Mask,
    frame::{Header, Opcode},
    handshake::accept_key,
};

use crate::{items, workload};

/// Maximum header fields of a request.
const MAX_HEADERS: usize = 32;

/// Head of the response to a subscription by server-sent events.
const STREAM_HEAD: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";

/// Head of the response to a WebSocket handshake, up to the value of `sec-websocket-accept`.
const SOCKET_HEAD: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
          sec-websocket-accept: ";

/// Encoding of the events of a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Chunks from [`stream_event`].
    Chunks,
    /// Frames from [`message_event`].
    Frames,
}

/// Next action of the server after the requests it has processed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Read more bytes.
    Read,
    /// Wait for this duration, write [`Exchange::after_work`], then process the remaining bytes.
    Work(Duration),
    /// Send the queued bytes, then send every event published later.
    Subscribe(Encoding),
    /// Send the queued bytes, then answer messages with [`echo_messages`].
    Echo,
    /// Deliver an event to every subscriber, then process the remaining bytes.
    Publish {
        /// Start of the event in the input.
        start: usize,
        /// End of the event in the input.
        end: usize,
    },
    /// Send the queued bytes and close the connection.
    Close,
}

impl Action {
    /// Returns the action for an input with `bytes` more bytes before it.
    fn offset_by(self, bytes: usize) -> Self {
        match self {
            Self::Publish { start, end } => Self::Publish { start: bytes + start, end: bytes + end },
            then => then,
        }
    }
}

/// Returns an event as a chunk (RFC 9112 §7.1) that holds one server-sent event (WHATWG HTML §9.2.6).
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

/// Echoes the complete messages of `input`, each in one frame, and returns the number of bytes used.
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

/// HTTP/1.1 requests in, responses out. A server has one.
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
    /// Creates an exchange with the current date.
    pub fn new() -> Self {
        Self { date: date(), dated: Instant::now() }
    }

    /// Updates the date if it is at least a second old. Called once for each batch of requests.
    pub fn tick(&mut self) {
        if self.dated.elapsed() >= Duration::from_secs(1) {
            *self = Self::new();
        }
    }

    /// Answers the complete requests of `input`. Returns the number of bytes used and the next action.
    pub fn serve(&self, input: &[u8], out: &mut Vec<u8>) -> (usize, Action) {
        let mut used = 0;
        while used < input.len() {
            let (taken, then) = self.serve_one(&input[used..], out);
            let then = then.offset_by(used);
            used += taken;
            if taken == 0 || then != Action::Read {
                return (used, then);
            }
        }
        (used, Action::Read)
    }

    /// Writes the response to the request that returned [`Action::Work`].
    pub fn after_work(&self, out: &mut Vec<u8>) {
        self.ok(out, workload::TEXT, workload::WORKED.as_bytes(), false);
    }

    fn serve_one(&self, input: &[u8], out: &mut Vec<u8>) -> (usize, Action) {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut request = httparse::Request::new(&mut headers);
        let head = match request.parse(input) {
            Ok(httparse::Status::Complete(head)) => head,
            Ok(httparse::Status::Partial) => return (0, Action::Read),
            Err(_) => return self.refuse(out, "400 Bad Request"),
        };
        let Some(framing) = Framing::of(request.headers) else {
            return self.refuse(out, "501 Not Implemented");
        };
        let end = head + framing.length;
        let Some(body) = input.get(head..end) else {
            return (0, Action::Read);
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
            ("GET", "/demo/work") => return (end, Action::Work(workload::work_time(query))),
            ("GET", workload::WS_ECHO) => {
                return (end, if open(request.headers, out) { Action::Echo } else { Action::Close });
            }
            ("GET", workload::TOPIC) => {
                return (end, subscribe(request.headers, out));
            }
            ("POST", workload::TOPIC) => {
                self.empty(out, "202 Accepted", close);
                return (end, Action::Publish { start: head, end });
            }
            _ => self.empty(out, "404 Not Found", close),
        }
        (end, if close { Action::Close } else { Action::Read })
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

    fn refuse(&self, out: &mut Vec<u8>, status: &str) -> (usize, Action) {
        self.empty(out, status, true);
        (0, Action::Close)
    }

    fn end_head(&self, out: &mut Vec<u8>, close: bool) {
        out.extend_from_slice(b"\r\ndate: ");
        out.extend_from_slice(self.date.as_bytes());
        // Without this field a client may mistake the end of the connection for a failure.
        out.extend_from_slice(if close { b"\r\nconnection: close\r\n\r\n" } else { b"\r\n\r\n" });
    }
}

/// Writes the head of the response to a subscription.
fn subscribe(headers: &[httparse::Header<'_>], out: &mut Vec<u8>) -> Action {
    if open(headers, out) {
        return Action::Subscribe(Encoding::Frames);
    }
    out.extend_from_slice(STREAM_HEAD);
    Action::Subscribe(Encoding::Chunks)
}

/// Writes the response to a WebSocket handshake. Returns `false` if the request is no handshake.
fn open(headers: &[httparse::Header<'_>], out: &mut Vec<u8>) -> bool {
    let key = headers.iter().find(|header| header.name.eq_ignore_ascii_case("sec-websocket-key"));
    let Some(accept) = key.and_then(|key| accept_key(key.value)) else { return false };
    out.extend_from_slice(SOCKET_HEAD);
    out.extend_from_slice(accept.as_bytes());
    out.extend_from_slice(b"\r\n\r\n");
    true
}

/// Body length and connection option of a request.
struct Framing {
    length: usize,
    close: bool,
}

impl Framing {
    /// Parses the header fields. Returns `None` if the request has a Transfer-Encoding or an invalid
    /// Content-Length.
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
    fn two_pipelined_requests_are_answered_and_a_partial_third_is_kept() {
        let mut out = Vec::new();
        let input = [GET, GET, &GET[..10]].concat();
        assert_eq!(Exchange::new().serve(&input, &mut out), (2 * GET.len(), Action::Read));
        assert_eq!(out.windows(13).filter(|w| w == b"Hello, World!").count(), 2);
    }

    #[test]
    fn a_body_is_echoed_once_it_is_complete() {
        let mut out = Vec::new();
        let input = b"POST /demo/echo HTTP/1.1\r\ncontent-length: 10\r\n\r\n0123456789";
        assert_eq!(Exchange::new().serve(&input[..input.len() - 1], &mut out), (0, Action::Read));
        assert!(out.is_empty());
        assert_eq!(Exchange::new().serve(input, &mut out), (input.len(), Action::Read));
        assert!(out.ends_with(b"\r\n\r\n0123456789"));
    }

    #[test]
    fn work_interrupts_the_pipeline_and_close_ends_it() {
        let mut out = Vec::new();
        let work = b"GET /demo/work?ms=7 HTTP/1.1\r\n\r\n";
        let input = [work.as_slice(), GET].concat();
        let expected = (work.len(), Action::Work(Duration::from_millis(7)));
        assert_eq!(Exchange::new().serve(&input, &mut out), expected);
        assert!(out.is_empty());
        let close = b"GET /demo/json HTTP/1.1\r\nconnection: close\r\n\r\n";
        assert_eq!(Exchange::new().serve(close, &mut out), (close.len(), Action::Close));
        assert!(String::from_utf8(out).unwrap().contains("\r\nconnection: close\r\n"));
    }

    #[test]
    fn an_event_and_a_subscription_interrupt_the_pipeline() {
        let mut out = Vec::new();
        let input =
            b"POST /topics/bench HTTP/1.1\r\ncontent-length: 4\r\n\r\nnewsGET /topics/bench HTTP/1.1\r\n\r\n";
        let input = [GET, input].concat();
        let (used, Action::Publish { start, end }) = Exchange::new().serve(&input, &mut out) else {
            panic!("expected an event to publish")
        };
        assert_eq!((&input[start..end], used), (b"news".as_slice(), end));
        assert_eq!(
            Exchange::new().serve(&input[used..], &mut out),
            (input.len() - used, Action::Subscribe(Encoding::Chunks))
        );
        assert!(out.ends_with(STREAM_HEAD));
        assert_eq!(stream_event(7, b"news"), b"12\r\nid: 7\ndata: news\n\n\r\n");
    }

    #[test]
    fn a_subscription_with_a_websocket_key_is_upgraded() {
        let (input, mut out) = (
            b"GET /topics/bench HTTP/1.1\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            Vec::new(),
        );
        let expected = (input.len(), Action::Subscribe(Encoding::Frames));
        assert_eq!(Exchange::new().serve(input, &mut out), expected);
        assert!(out.ends_with(b"\r\nsec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"));
        assert_eq!(message_event(b"news"), b"\x81\x04news");
    }

    #[test]
    fn complete_messages_are_echoed_unmasked_and_a_partial_one_is_kept() {
        let (mut input, mut out) = (Vec::new(), Vec::new());
        for payload in [b"one", b"two"] {
            let header = Header { key: Some([1, 2, 3, 4]), ..Header::new(Opcode::Text, payload.len()) };
            header.append_frame(&mut input, payload);
        }
        assert_eq!(echo_messages(&input[..input.len() - 1], &mut out), input.len() / 2);
        assert_eq!(out, b"\x81\x03one");
    }

    #[test]
    fn content_lengths_are_written_in_decimal() {
        for number in [0, 7, 10, 4096, usize::MAX] {
            let mut out = Vec::new();
            push_decimal(&mut out, number);
            assert_eq!(out, number.to_string().into_bytes());
        }
    }
}
