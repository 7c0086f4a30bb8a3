//! A server on a connection, which answers by the path.
//!
//! - `/` is an image with the body "root", as is any path that is not listed.
//! - `/bytes/N` is N bytes, sent by turns. `/slow/N` sends its data only after [`Server::let_go`].
//! - `/echo` answers with its body once that has ended. `/early` answers before its body has.
//! - `/hold` is never answered and holds its body. `/ignore` is never answered and its body is released.

use std::{collections::BTreeMap, time::Instant};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use windlass::proto::{
    h2::{
        Connection, Context, End, Event, Fault, Head, Image, Key, Limits, ResetBy,
        encode::{self, Exchange},
        hpack::{Decoder, encode::Strings},
    },
    semantics::{Length, Reject},
};

use super::frames::{DATA, Frame, HEADERS, SETTINGS, frame, preface, read_frames};

const DATE: &[u8; 29] = b"Sun, 06 Nov 1994 08:49:37 GMT";

/// An event, kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    Request {
        id: u32,
        method: String,
        path: String,
        query: Option<String>,
        authority: Option<String>,
        fields: Vec<(Vec<u8>, Vec<u8>)>,
        ends: bool,
    },
    Refused {
        id: u32,
        reject: Reject,
        ends: bool,
    },
    Data {
        id: u32,
        bytes: Vec<u8>,
        ends: bool,
    },
    Trailers {
        id: u32,
        fields: Vec<(Vec<u8>, Vec<u8>)>,
        refused: Option<Reject>,
    },
    Reset {
        id: u32,
        by: ResetBy,
    },
    Malformed(&'static str),
    Over(Option<Fault>),
}

/// A reply that is sent, or will be.
#[derive(Debug, Default)]
struct Reply {
    /// Bytes of the request's body.
    body: Vec<u8>,
    path: String,
    /// Bytes that came and are not released.
    held: usize,
    /// Bytes to send.
    left: usize,
    is_waiting: bool,
}

/// One connection, what was seen on it and what was sent.
pub(crate) struct Server {
    pub(crate) connection: Connection,
    pub(crate) limits: Limits,
    pub(crate) now: Instant,
    pub(crate) seen: Vec<Seen>,
    /// Everything that was sent.
    pub(crate) sent: Vec<u8>,
    /// Most bytes that may wait in the outbox before data is added.
    pub(crate) outbox_bytes: usize,
    /// Whether the peer reads what is sent.
    pub(crate) reads: bool,
    /// Whether data is sent between events: how those are cut must not matter then.
    pub(crate) pumps: bool,
    out: Vec<u8>,
    head: Head,
    image: Image,
    replies: BTreeMap<u32, (Key, Reply)>,
}

impl Server {
    pub(crate) fn new() -> Self {
        Self::with(Limits::default())
    }

    pub(crate) fn with(limits: Limits) -> Self {
        let now = Instant::now();
        let mut out = Vec::new();
        let connection = Connection::new(&limits, now, &mut out);
        let image = Image::new(StatusCode::OK, &HeaderMap::new(), Bytes::from_static(b"root")).unwrap();
        Self {
            connection,
            limits,
            now,
            seen: Vec::new(),
            sent: Vec::new(),
            outbox_bytes: usize::MAX,
            reads: true,
            pumps: true,
            out,
            head: Head::default(),
            image,
            replies: BTreeMap::new(),
        }
    }

    /// Makes a server whose peer has sent these settings and acknowledged its own. What was sent so far is
    /// forgotten.
    pub(crate) fn greeted(limits: Limits, pairs: &[(u16, u32)]) -> Self {
        let mut server = Self::with(limits);
        server.feed(&[preface(pairs), frame(SETTINGS, 1, 0, [])].concat());
        server.sent.clear();
        server
    }

    /// Feeds bytes and answers what comes of them.
    pub(crate) fn feed(&mut self, mut bytes: &[u8]) {
        let mut head = std::mem::take(&mut self.head);
        loop {
            let before = self.out.len();
            let mut cx = Context { limits: &self.limits, now: self.now, head: &mut head, out: &mut self.out };
            let Some(event) = self.connection.next(&mut bytes, &mut cx) else { break };
            assert!(self.out.len() >= before);
            self.take(event, &head);
            if self.pumps {
                self.pump();
            }
        }
        assert!(bytes.is_empty());
        if self.pumps {
            self.pump();
        }
        let mut cx = Context { limits: &self.limits, now: self.now, head: &mut head, out: &mut self.out };
        if let Some(event) = self.connection.next(&mut bytes, &mut cx) {
            self.take(event, &head);
        }
        self.head = head;
        self.flush();
    }

    /// Feeds bytes and returns the frames that were sent for them.
    pub(crate) fn answer(&mut self, bytes: &[u8]) -> Vec<Frame> {
        let before = self.sent.len();
        self.feed(bytes);
        read_frames(&self.sent[before..])
    }

    /// Lets the connection end if it has nothing left, and returns the frames sent so far.
    pub(crate) fn frames(&mut self) -> Vec<Frame> {
        self.feed(&[]);
        read_frames(&self.sent)
    }

    fn flush(&mut self) {
        if self.reads {
            self.connection.sent(self.out.len(), &self.limits);
            self.sent.append(&mut self.out);
        }
    }

    /// Forgets what was seen and sent.
    pub(crate) fn forget(&mut self) {
        self.seen.clear();
        self.sent.clear();
        self.replies.clear();
    }

    /// Returns how many bytes wait for a peer that does not read.
    pub(crate) fn queued(&self) -> usize {
        self.out.len()
    }

    /// Has the peer read what waits.
    pub(crate) fn read(&mut self) {
        self.reads = true;
        self.flush();
        self.feed(&[]);
    }

    fn take(&mut self, event: Event<'_>, head: &Head) {
        let seen = keep(&event, head);
        match (&mut self.seen.last_mut(), &seen) {
            // How data is cut does not matter.
            (Some(Seen::Data { id, bytes, ends: last }), Seen::Data { id: same, bytes: more, ends })
                if id == same && !*last =>
            {
                bytes.extend(more);
                *last = *ends;
            }
            _ => self.seen.push(seen),
        }
        match event {
            Event::Request { stream, ends } => self.request(stream, ends, head),
            Event::Refused { stream, reject, .. } => {
                self.answer_with(stream, reject.status(), b"refused", End::Stream)
            }
            Event::Data { stream, bytes, ends } => self.data(stream, bytes, ends),
            Event::Trailers { stream, .. } => self.ended(stream),
            Event::Reset { stream, .. } => drop(self.replies.remove(&stream.id())),
            Event::Malformed(_) | Event::Over(_) => {}
        }
    }

    fn request(&mut self, stream: Key, ends: bool, head: &Head) {
        let path = String::from_utf8(head.path().to_vec()).unwrap();
        let number = || path.rsplit('/').next().unwrap().parse().unwrap();
        let mut reply = Reply { path: path.clone(), ..Reply::default() };
        match path.as_str() {
            "/echo" | "/hold" | "/ignore" => {}
            "/early" => self.answer_with(stream, StatusCode::OK, b"early", End::Stream),
            path if path.starts_with("/bytes/") => {
                reply.left = number();
                self.begin(stream, reply.left);
            }
            path if path.starts_with("/slow/") => {
                reply.left = number();
                reply.is_waiting = true;
                self.begin_unknown(stream);
            }
            _ => {
                let is_head = head.method() == windlass::proto::semantics::Method::Head;
                if let Some(body) =
                    self.connection.image_out(stream, &self.image, is_head, DATE, &mut self.out)
                {
                    reply.left = body.len();
                    reply.body = body.to_vec();
                    self.connection.want(stream);
                }
            }
        }
        self.replies.insert(stream.id(), (stream, reply));
        if ends {
            self.ended(stream);
        }
    }

    fn begin(&mut self, stream: Key, len: usize) {
        let end = if len == 0 { End::Stream } else { End::Open };
        self.head_out(stream, StatusCode::OK, Length::Known(len as u64), end);
        self.connection.want(stream);
    }

    fn begin_unknown(&mut self, stream: Key) {
        self.head_out(stream, StatusCode::OK, Length::Unknown, End::Open);
    }

    fn head_out(&mut self, stream: Key, status: StatusCode, length: Length, end: End) {
        self.connection.headers_out(stream, end, &mut self.out, |out| {
            encode::head(out, Exchange::default(), status, length, &HeaderMap::new(), DATE, Strings::Plain);
        });
    }

    fn answer_with(&mut self, stream: Key, status: StatusCode, body: &[u8], end: End) {
        self.head_out(stream, status, Length::Known(body.len() as u64), End::Open);
        if self.connection.room(stream) >= body.len() {
            self.connection.data_out(stream, body.len(), end, &mut self.out);
            self.out.extend_from_slice(body);
        }
    }

    fn data(&mut self, stream: Key, bytes: &[u8], ends: bool) {
        if let Some((_, reply)) = self.replies.get_mut(&stream.id()) {
            match reply.path.as_str() {
                "/hold" => reply.held += bytes.len(),
                path => {
                    if path == "/echo" {
                        reply.body.extend_from_slice(bytes);
                    }
                    // In steps that do not depend on how the body was cut.
                    reply.held += bytes.len();
                    while reply.held >= 1000 {
                        reply.held -= 1000;
                        self.connection.release(stream, 1000, &mut self.out);
                    }
                }
            }
        } else {
            self.connection.release(stream, bytes.len(), &mut self.out);
        }
        if ends {
            self.ended(stream);
        }
    }

    /// The request is complete.
    fn ended(&mut self, stream: Key) {
        let Some((_, reply)) = self.replies.get_mut(&stream.id()) else { return };
        if reply.path == "/echo" {
            reply.left = reply.body.len();
            let left = reply.left;
            self.begin(stream, left);
        }
    }

    /// Lets the data of `/slow/N` go.
    pub(crate) fn let_go(&mut self, id: u32) {
        let (stream, reply) = self.replies.get_mut(&id).unwrap();
        reply.is_waiting = false;
        self.connection.want(*stream);
        self.feed(&[]);
    }

    /// Returns the key of a stream that is not answered whole.
    pub(crate) fn key(&self, id: u32) -> Key {
        self.replies[&id].0
    }

    /// Sends data while there is room.
    fn pump(&mut self) {
        while self.out.len() < self.outbox_bytes
            && let Some((stream, room)) = self.connection.next_turn()
        {
            let (_, reply) = self.replies.get_mut(&stream.id()).unwrap();
            let len = reply.left.min(room).min(self.outbox_bytes.saturating_sub(self.out.len()));
            reply.left -= len;
            let end = if reply.left == 0 { End::Stream } else { End::Open };
            self.connection.data_out(stream, len, end, &mut self.out);
            let body = std::mem::take(&mut reply.body);
            let start = body.len().saturating_sub(reply.left + len);
            match body.get(start..start + len) {
                Some(echo) => self.out.extend_from_slice(echo),
                None => self.out.resize(self.out.len() + len, b'x'),
            }
            reply.body = body;
        }
    }
}

fn keep(event: &Event<'_>, head: &Head) -> Seen {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let fields = || head.fields().iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
    match *event {
        Event::Request { stream, ends } => Seen::Request {
            id: stream.id(),
            method: head.http_method().unwrap().to_string(),
            path: text(head.path()),
            query: head.query().map(text),
            authority: head.authority().map(text),
            fields: fields(),
            ends,
        },
        Event::Refused { stream, ends, reject } => Seen::Refused { id: stream.id(), reject, ends },
        Event::Data { stream, bytes, ends } => Seen::Data { id: stream.id(), bytes: bytes.to_vec(), ends },
        Event::Trailers { stream, refused } => Seen::Trailers { id: stream.id(), fields: fields(), refused },
        Event::Reset { stream, by } => Seen::Reset { id: stream.id(), by },
        Event::Malformed(fault) => Seen::Malformed(fault.text),
        Event::Over(fault) => Seen::Over(fault),
    }
}

/// Decodes the block of HEADERS that was sent; no peer of a test has a table.
pub(crate) fn fields(frame: &Frame) -> Vec<(String, String)> {
    assert_eq!(frame.kind, HEADERS);
    let (mut decoder, mut bytes, mut rest, mut fields) =
        (Decoder::default(), Vec::new(), &frame.payload[..], Vec::new());
    decoder.begin();
    while let Some(line) = decoder.next(&mut rest, &mut bytes).unwrap() {
        let text = |range: std::ops::Range<usize>| String::from_utf8(bytes[range].to_vec()).unwrap();
        fields.push((text(line.name..line.value), text(line.value..line.end)));
    }
    assert!(rest.is_empty());
    fields
}

/// Returns the status of HEADERS that was sent.
pub(crate) fn status(frame: &Frame) -> u16 {
    fields(frame)[0].1.parse().unwrap()
}

/// Returns the data that was sent on a stream.
pub(crate) fn body(frames: &[Frame], id: u32) -> Vec<u8> {
    let data = frames.iter().filter(|frame| frame.kind == DATA && frame.stream == id);
    data.flat_map(|frame| frame.payload.clone()).collect()
}
