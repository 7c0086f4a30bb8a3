//! The same frames to this implementation and to the crate `h2`: the same requests are seen, the same
//! streams and connections end, with the same codes.
//!
//! Scripts are fed frame by frame, and what comes of each frame is compared. Where the two differ the
//! difference must be one of [`EXPLAINED`], each argued from the RFC; behind it a script is not followed,
//! as the two have parted.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context as TaskContext, Poll, Waker},
};

use ::h2::{
    RecvStream,
    server::{Builder, Connection as Reference, Handshake},
};
use bytes::Bytes;
use proptest::prelude::*;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use windlass::proto::{
    h2::{
        Connection, Context, End, Event, Head, Limits,
        encode::{self, Exchange},
        hpack::encode::Strings,
    },
    semantics::Length,
};

use crate::{
    common::{
        frames::{
            ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, Frame, GOAWAY, HEADERS, PING, PREFACE,
            PRIORITY, PRIORITY_UPDATE, PUSH_PROMISE, RST_STREAM, SETTINGS, WINDOW_UPDATE, frame, headers,
            read_frames, request, settings,
        },
        server::fields,
    },
    properties::any_frame,
};

const BODY: &[u8] = b"ok";

/// Effects of one frame.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Step {
    /// By stream: what was seen of its request, and what was sent on it.
    streams: BTreeMap<u32, Stream>,
    /// Payloads of PINGs that were answered.
    pongs: Vec<Vec<u8>>,
    /// SETTINGS that were acknowledged.
    settings: usize,
    /// The code of the GOAWAY that ended the connection.
    goaway: Option<u32>,
}

impl Step {
    fn of(&mut self, stream: u32) -> &mut Stream {
        self.streams.entry(stream).or_default()
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Stream {
    request: Option<Request>,
    body: Vec<u8>,
    ends: bool,
    trailers: Vec<(String, Vec<u8>)>,
    /// Whether its user was told of a reset.
    gone: bool,
    status: Option<u16>,
    sent: usize,
    sent_end: bool,
    reset: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Request {
    method: String,
    path: String,
    fields: Vec<(String, Vec<u8>)>,
}

/// Takes note of frames that were sent.
fn note_sent(step: &mut Step, sent: &[u8]) {
    for frame in read_frames(sent) {
        match frame.kind {
            HEADERS => {
                step.of(frame.stream).status = fields(&frame)[0].1.parse().ok();
                step.of(frame.stream).sent_end |= frame.has(END_STREAM);
            }
            DATA => {
                step.of(frame.stream).sent += frame.payload.len();
                step.of(frame.stream).sent_end |= frame.has(END_STREAM);
            }
            RST_STREAM => step.of(frame.stream).reset = Some(frame.code()),
            PING if frame.has(ACK) => step.pongs.push(frame.payload),
            SETTINGS if frame.has(ACK) => step.settings += 1,
            GOAWAY => step.goaway = Some(frame.code()),
            _ => {}
        }
    }
}

fn limits() -> Limits {
    Limits { streams: 4, stream_window_bytes: 65_535, connection_window_bytes: 65_535, ..Limits::default() }
}

/// This implementation.
struct Ours {
    connection: Connection,
    limits: Limits,
    now: std::time::Instant,
    head: Head,
    is_over: bool,
}

impl Ours {
    fn new() -> Self {
        let (limits, now) = (limits(), std::time::Instant::now());
        let connection = Connection::new(&limits, now, &mut Vec::new());
        Self { connection, limits, now, head: Head::default(), is_over: false }
    }

    fn step(&mut self, mut bytes: &[u8]) -> Step {
        let (mut step, mut out) = (Step::default(), Vec::new());
        loop {
            let mut cx = Context { limits: &self.limits, now: self.now, head: &mut self.head, out: &mut out };
            let Some(event) = self.connection.next(&mut bytes, &mut cx) else { break };
            match event {
                Event::Request { stream, ends } => {
                    step.of(stream.id()).request = Some(Request {
                        method: self.head.http_method().unwrap().to_string(),
                        path: String::from_utf8(self.head.path().to_vec()).unwrap(),
                        fields: sorted(self.head.fields().iter()),
                    });
                    step.of(stream.id()).ends = ends;
                    self.answer(stream, 200, &mut out);
                }
                Event::Refused { stream, reject, .. } => {
                    self.answer(stream, reject.status().as_u16(), &mut out)
                }
                Event::Data { stream, bytes, ends } => {
                    step.of(stream.id()).body.extend_from_slice(bytes);
                    step.of(stream.id()).ends |= ends;
                    self.connection.release(stream, bytes.len(), &mut out);
                }
                Event::Trailers { stream, .. } => {
                    step.of(stream.id()).trailers = sorted(self.head.fields().iter());
                    step.of(stream.id()).ends = true;
                }
                Event::Reset { stream, .. } => step.of(stream.id()).gone = true,
                Event::Malformed(_) => {}
                Event::Over(_) => self.is_over = true,
            }
        }
        note_sent(&mut step, &out);
        step
    }

    fn answer(&mut self, stream: windlass::proto::h2::Key, status: u16, out: &mut Vec<u8>) {
        let status = http::StatusCode::from_u16(status).unwrap();
        self.connection.headers_out(stream, End::Open, out, |out| {
            let date = b"Sun, 06 Nov 1994 08:49:37 GMT";
            let length = Length::Known(BODY.len() as u64);
            encode::head(
                out,
                Exchange::default(),
                status,
                length,
                &http::HeaderMap::new(),
                date,
                Strings::Plain,
            );
        });
        self.connection.data_out(stream, BODY.len(), End::Stream, out);
        out.extend_from_slice(BODY);
    }
}

fn sorted<'a>(fields: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Vec<(String, Vec<u8>)> {
    let mut fields: Vec<_> =
        fields.map(|(name, value)| (String::from_utf8(name.to_vec()).unwrap(), value.to_vec())).collect();
    fields.sort();
    fields
}

/// A socket of two buffers.
#[derive(Clone, Default)]
struct Pipe(Rc<RefCell<(Vec<u8>, Vec<u8>)>>);

impl AsyncRead for Pipe {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut TaskContext<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let input = &mut self.0.borrow_mut().0;
        if input.is_empty() {
            return Poll::Pending;
        }
        let len = input.len().min(into.remaining());
        into.put_slice(&input[..len]);
        input.drain(..len);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(self: Pin<&mut Self>, _: &mut TaskContext<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.borrow_mut().1.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

enum Phase {
    Greeting(Handshake<Pipe, Bytes>),
    Open(Reference<Pipe, Bytes>),
    Over,
}

/// The crate.
struct Theirs {
    pipe: Pipe,
    phase: Phase,
    bodies: Vec<(u32, RecvStream)>,
}

impl Theirs {
    fn new() -> Self {
        let limits = limits();
        let pipe = Pipe::default();
        let mut builder = Builder::new();
        builder
            .max_concurrent_streams(limits.streams)
            .initial_window_size(limits.stream_window_bytes)
            .initial_connection_window_size(limits.connection_window_bytes)
            .max_header_list_size(limits.header_list_bytes as u32)
            .max_local_error_reset_streams(None)
            .max_concurrent_reset_streams(1000);
        Self { phase: Phase::Greeting(builder.handshake(pipe.clone())), pipe, bodies: Vec::new() }
    }

    fn step(&mut self, bytes: &[u8]) -> Step {
        self.pipe.0.borrow_mut().0.extend_from_slice(bytes);
        let mut step = Step::default();
        let mut cx = TaskContext::from_waker(Waker::noop());
        // What is read makes more to write, and the other way round.
        for _ in 0..4 {
            if let Phase::Greeting(handshake) = &mut self.phase {
                match Pin::new(handshake).poll(&mut cx) {
                    Poll::Ready(Ok(connection)) => self.phase = Phase::Open(connection),
                    Poll::Ready(Err(_)) => self.phase = Phase::Over,
                    Poll::Pending => {}
                }
            }
            let mut is_over = false;
            if let Phase::Open(connection) = &mut self.phase {
                loop {
                    match connection.poll_accept(&mut cx) {
                        Poll::Pending => break,
                        Poll::Ready(Some(Ok((request, mut respond)))) => {
                            let id = respond.stream_id().as_u32();
                            let (parts, body) = request.into_parts();
                            let stream = step.of(id);
                            stream.request = Some(Request {
                                method: parts.method.to_string(),
                                path: parts.uri.path().to_owned(),
                                fields: sorted(
                                    parts.headers.iter().map(|(n, v)| (n.as_str().as_bytes(), v.as_bytes())),
                                ),
                            });
                            stream.ends = body.is_end_stream();
                            if let Ok(mut send) = respond.send_response(http::Response::new(()), false) {
                                let _ = send.send_data(Bytes::from_static(BODY), true);
                            }
                            self.bodies.push((id, body));
                        }
                        Poll::Ready(_) => {
                            is_over = true;
                            break;
                        }
                    }
                }
            }
            self.bodies.retain_mut(|(id, body)| read_body(&mut step, *id, body, &mut cx));
            if is_over {
                self.phase = Phase::Over;
            }
        }
        let sent = std::mem::take(&mut self.pipe.0.borrow_mut().1);
        note_sent(&mut step, sent.strip_prefix(PREFACE).unwrap_or(&sent));
        step
    }
}

/// Reads what is there of a body; says whether more may come.
fn read_body(step: &mut Step, id: u32, body: &mut RecvStream, cx: &mut TaskContext<'_>) -> bool {
    loop {
        let polled = body.poll_data(cx);
        match polled {
            Poll::Pending => return true,
            Poll::Ready(Some(Ok(data))) => {
                let stream = step.of(id);
                stream.body.extend_from_slice(&data);
                stream.ends |= body.is_end_stream();
                let _ = body.flow_control().release_capacity(data.len());
            }
            Poll::Ready(Some(Err(_))) => {
                step.of(id).gone = true;
                return false;
            }
            Poll::Ready(None) => {
                let stream = step.of(id);
                match body.poll_trailers(cx) {
                    Poll::Ready(Ok(trailers)) => {
                        stream.ends = true;
                        let trailers = trailers.unwrap_or_default();
                        stream.trailers =
                            sorted(trailers.iter().map(|(n, v)| (n.as_str().as_bytes(), v.as_bytes())));
                    }
                    Poll::Ready(Err(_)) => stream.gone = true,
                    Poll::Pending => return true,
                }
                return false;
            }
        }
    }
}

/// Frames, each fed by itself.
type Script = Vec<Vec<u8>>;

/// Feeds both and returns the first difference.
fn difference(script: &Script) -> Option<Case> {
    let (mut ours, mut theirs) = (Ours::new(), Theirs::new());
    let preface =
        [PREFACE, &frame(SETTINGS, 0, 0, settings(&[(1, 0)])), &frame(SETTINGS, ACK, 0, [])].concat();
    assert_eq!(strip(ours.step(&preface)), strip(theirs.step(&preface)), "the greeting");
    for bytes in script {
        let (ours, theirs) = (strip(ours.step(bytes)), strip(theirs.step(bytes)));
        if ours != theirs {
            return Some(Case { frame: read_frames(bytes).swap_remove(0), ours, theirs });
        }
        if ours.goaway.is_some() {
            return None;
        }
    }
    None
}

/// Leaves out streams of which nothing came, and what streams are told as the connection ends: that is the
/// same for all.
fn strip(mut step: Step) -> Step {
    if step.goaway.is_some() {
        step.streams.values_mut().for_each(|stream| (stream.gone, stream.reset) = (false, None));
    }
    step.streams.retain(|_, stream| *stream != Stream::default());
    step
}

/// A frame of which different things came.
#[derive(Debug)]
struct Case {
    frame: Frame,
    ours: Step,
    theirs: Step,
}

impl Case {
    fn codes(&self) -> (Option<u32>, Option<u32>) {
        (self.ours.goaway, self.theirs.goaway)
    }

    /// The code of the stream error that is all that came of the frame here.
    fn our_reset(&self) -> Option<u32> {
        self.ours.streams.get(&self.frame.stream)?.reset.filter(|_| self.ours.goaway.is_none())
    }
}

/// A difference that is right.
struct Explained {
    /// The rule that requires it.
    because: &'static str,
    is: fn(&Case) -> bool,
    /// Frames that show it.
    example: fn() -> Script,
}

const PROTOCOL_ERROR: u32 = 1;
const FLOW_CONTROL_ERROR: u32 = 3;
const STREAM_CLOSED: u32 = 5;
const FRAME_SIZE_ERROR: u32 = 6;
const COMPRESSION_ERROR: u32 = 9;

const EXPLAINED: &[Explained] = &[
    Explained {
        because: "RFC 9113 §8.2.1: a field value must not start or end with white space; the crate lets it pass",
        is: |case| {
            let theirs =
                case.theirs.streams.get(&case.frame.stream).and_then(|stream| stream.request.as_ref());
            let has_space =
                |request: &Request| request.fields.iter().any(|(_, value)| value.trim_ascii() != value);
            let ours = case.ours.streams.get(&case.frame.stream);
            theirs.is_some_and(has_space) && ours.is_some_and(|stream| stream.status == Some(400))
        },
        example: || vec![headers(1, &[request("GET", "/"), vec![("a", " b")]].concat(), true)],
    },
    Explained {
        because: "RFC 9113 §8.1: trailers must not hold pseudo-header fields, or are malformed; the crate drops the fields",
        is: |case| {
            case.frame.kind == HEADERS
                && case.our_reset() == Some(PROTOCOL_ERROR)
                && case.theirs.goaway.is_none()
        },
        example: || vec![headers(1, &request("POST", "/"), false), headers(1, &[(":path", "/")], true)],
    },
    Explained {
        because: "RFC 9113 §4.2, §6: a wrong length is FRAME_SIZE_ERROR; the crate says PROTOCOL_ERROR",
        is: |case| case.codes() == (Some(FRAME_SIZE_ERROR), Some(PROTOCOL_ERROR)),
        example: || vec![frame(WINDOW_UPDATE, 0, 0, [0; 3])],
    },
    Explained {
        because: "RFC 9113 §6.3: a PRIORITY of a wrong length is an error of its stream; the crate ends the connection",
        is: |case| case.frame.kind == PRIORITY && case.our_reset() == Some(FRAME_SIZE_ERROR),
        example: || vec![headers(1, &request("GET", "/"), true), frame(PRIORITY, 0, 1, [0; 4])],
    },
    Explained {
        because: "RFC 9113 §5.1: HEADERS on a closed stream is STREAM_CLOSED; the crate says PROTOCOL_ERROR",
        is: |case| case.frame.kind == HEADERS && case.codes() == (Some(STREAM_CLOSED), Some(PROTOCOL_ERROR)),
        example: || vec![headers(1, &request("GET", "/"), true), headers(1, &request("GET", "/"), true)],
    },
    Explained {
        because: "RFC 9113 §5.1.1: HEADERS on a stream that was passed over ends the connection, whatever its block; the crate \
            first decodes that, and resets the stream if the block is malformed",
        is: |case| {
            case.frame.kind == HEADERS && matches!(case.codes(), (Some(PROTOCOL_ERROR | STREAM_CLOSED), None))
        },
        example: || vec![headers(5, &request("GET", "/"), true), headers(3, &[("te", "x")], true)],
    },
    Explained {
        because: "RFC 9113 §6.9.1: a window beyond the largest ends its stream, also when the response has been sent; the crate \
            looks at windows of streams only while it sends",
        is: |case| case.frame.kind == WINDOW_UPDATE && case.our_reset() == Some(FLOW_CONTROL_ERROR),
        example: || {
            let open = headers(1, &request("POST", "/"), false);
            vec![open, frame(WINDOW_UPDATE, 0, 1, [0x7f, 0xff, 0xff, 0xff])]
        },
    },
    Explained {
        because: "RFC 9218 §2.1, RFC 8441 §3: settings 8 and 9 are 0 or 1, and 9 does not change; the crate knows neither",
        is: |case| case.frame.kind == SETTINGS && case.codes() == (Some(PROTOCOL_ERROR), None),
        example: || vec![frame(SETTINGS, 0, 0, settings(&[(9, 1)]))],
    },
    Explained {
        because: "RFC 9113 §6.5.2: a window beyond the largest is FLOW_CONTROL_ERROR; the crate says PROTOCOL_ERROR",
        is: |case| {
            case.frame.kind == SETTINGS && case.codes() == (Some(FLOW_CONTROL_ERROR), Some(PROTOCOL_ERROR))
        },
        example: || vec![frame(SETTINGS, 0, 0, settings(&[(4, 1 << 31)]))],
    },
    Explained {
        because: "RFC 9113 §4.3: a block that is not HPACK is COMPRESSION_ERROR; the crate may say PROTOCOL_ERROR",
        is: |case| {
            matches!(case.frame.kind, HEADERS | CONTINUATION)
                && case.codes() == (Some(COMPRESSION_ERROR), Some(PROTOCOL_ERROR))
        },
        example: || vec![frame(HEADERS, END_HEADERS, 1, [0x00, 0x05, b'a'])],
    },
    Explained {
        because: "RFC 9113 §8.1.1, §8.2.1: a request with an invalid field name is malformed, which is an error of its stream; the \
            crate ends the connection",
        is: |case| case.our_reset() == Some(PROTOCOL_ERROR) && case.theirs.goaway == Some(PROTOCOL_ERROR),
        example: || vec![headers(1, &[request("GET", "/"), vec![("X", "1")]].concat(), true)],
    },
    Explained {
        because: "RFC 9113 §8.1.1: a message is judged as a whole; the crate judges the parts of a block as they come",
        is: |case| {
            let theirs = case.theirs.streams.get(&case.frame.stream).and_then(|stream| stream.reset);
            let is_begun = matches!(case.frame.kind, HEADERS | CONTINUATION) && !case.frame.has(END_HEADERS);
            is_begun && case.ours == Step::default() && theirs.or(case.theirs.goaway) == Some(PROTOCOL_ERROR)
        },
        example: || vec![frame(HEADERS, 0, 1, [0xb9])],
    },
    Explained {
        because: "RFC 9113 §8.4: a client must not push, and its PUSH_PROMISE is PROTOCOL_ERROR; the crate ignores some",
        is: |case| case.frame.kind == PUSH_PROMISE && case.codes() == (Some(PROTOCOL_ERROR), None),
        example: || {
            vec![headers(1, &request("POST", "/"), false), frame(PUSH_PROMISE, 0, 1, [0, 0, 0, 2, 0x82])]
        },
    },
    Explained {
        because: "RFC 9218 §7.1: PRIORITY_UPDATE has rules of its own; the crate does not know it",
        is: |case| case.frame.kind == PRIORITY_UPDATE && case.ours.goaway.is_some(),
        example: || vec![frame(PRIORITY_UPDATE, 0, 0, [0; 3])],
    },
    Explained {
        because: "RFC 9113 §6.8: who ended the connection with an error reads nothing more; the crate answers with GOAWAY",
        is: |case| case.frame.kind == GOAWAY && case.codes() == (None, Some(0)),
        example: || vec![frame(GOAWAY, 0, 0, [0, 0, 0, 0, 0, 0, 0, 1])],
    },
];

#[test]
fn each_difference_that_is_explained_is_there() {
    for explained in EXPLAINED {
        let case = difference(&(explained.example)());
        assert!(case.as_ref().is_some_and(explained.is), "{}: {case:?}", explained.because);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn both_see_and_send_the_same(script in prop::collection::vec(any_frame(), 0..40)) {
        if let Some(case) = difference(&script) {
            prop_assert!(EXPLAINED.iter().any(|explained| (explained.is)(&case)), "{case:?}");
        }
    }
}
