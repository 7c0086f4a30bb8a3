//! Server on one HTTP/2 connection, for fuzz targets.
//!
//! `/echo` sends its response when the request body has ended. `/hold` reads no body. `/bytes` sends 70,000
//! bytes within the flow-control windows. Other paths send a short response at once.

use std::{collections::BTreeMap, time::Instant};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use windlass::proto::{
    h2::{
        Connection, Context, End, Event, Head, Image, Key, Limits,
        encode::{self, Exchange},
        hpack::encode::Strings,
    },
    semantics::Length,
};

pub const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const DATE: &[u8; 29] = b"Sun, 06 Nov 1994 08:49:37 GMT";

/// Maximum bytes that a connection holds with these limits.
const HELD_BYTES_MAX: usize = 64 * 1024;

fn limits() -> Limits {
    Limits {
        streams: 4,
        stream_window_bytes: 65_535,
        connection_window_bytes: 65_535,
        header_list_bytes: 1024,
        headers: 8,
        ..Limits::default()
    }
}

#[derive(Default)]
struct Reply {
    left: usize,
    is_echo: bool,
    holds: bool,
}

/// Recorded event.
#[derive(Debug, PartialEq)]
pub enum Seen {
    Data { id: u32, bytes: Vec<u8>, ends: bool },
    Other(String),
}

/// Runs a connection on the pieces of its input. Returns the events and the sent bytes.
pub fn run(pieces: &[&[u8]]) -> (Vec<Seen>, Vec<u8>) {
    let (limits, now, mut out, mut head) = (limits(), Instant::now(), Vec::new(), Head::default());
    let mut connection = Connection::new(&limits, now, &mut out);
    let image = Image::new(StatusCode::OK, &HeaderMap::new(), Bytes::from_static(b"root"))
        .expect("body should be short enough for an image");
    let mut replies: BTreeMap<u32, (Key, Reply)> = BTreeMap::new();
    let mut seen = Vec::new();
    for piece in pieces {
        let mut input = *piece;
        loop {
            let mut cx = Context { limits: &limits, now, head: &mut head, out: &mut out };
            let Some(event) = connection.next(&mut input, &mut cx) else { break };
            record(&mut seen, &event, &head);
            // The number of data events depends on the pieces. Sending data only at the end of a body keeps
            // the output independent of them.
            let is_part = matches!(event, Event::Data { ends: false, .. });
            match event {
                Event::Request { stream, ends } => {
                    let mut reply = Reply::default();
                    match head.path() {
                        b"/echo" => reply.is_echo = true,
                        b"/hold" => reply.holds = true,
                        b"/bytes" => reply.left = 70_000,
                        _ => {
                            let rest = connection.image_out(stream, &image, false, DATE, &mut out);
                            reply.left = rest.map_or(0, |rest| rest.len());
                        }
                    }
                    if head.path() == b"/bytes" || reply.is_echo && ends {
                        respond(&mut connection, stream, reply.left, &mut out);
                    } else if reply.left > 0 {
                        connection.want(stream);
                    }
                    replies.insert(stream.id(), (stream, reply));
                }
                Event::Refused { stream, .. } => respond(&mut connection, stream, 0, &mut out),
                Event::Data { stream, bytes, ends } => {
                    if !replies.get(&stream.id()).is_some_and(|(_, reply)| reply.holds) {
                        // Released byte by byte, so that the steps do not depend on the pieces.
                        bytes.iter().for_each(|_| connection.release(stream, 1, &mut out));
                    }
                    if ends && replies.get(&stream.id()).is_some_and(|(_, reply)| reply.is_echo) {
                        respond(&mut connection, stream, 0, &mut out);
                    }
                }
                Event::Reset { stream, .. } => drop(replies.remove(&stream.id())),
                Event::Trailers { .. } | Event::Malformed(_) | Event::Over(_) => {}
            }
            while !is_part 
                && let Some((stream, room)) = connection.next_turn()
            {
                let (_, reply) = replies.get_mut(&stream.id()).expect("stream should have a response");
                let len = reply.left.min(room);
                reply.left -= len;
                let end = if reply.left == 0 { End::Stream } else { End::Open };
                connection.data_out(stream, len, end, &mut out);
                out.resize(out.len() + len, b'x');
            }
        }
        assert!(input.is_empty() && connection.held_bytes() <= HELD_BYTES_MAX);
    }
    check(&out);
    (seen, out)
}

fn respond(connection: &mut Connection, stream: Key, len: usize, out: &mut Vec<u8>) {
    let end = if len == 0 { End::Stream } else { End::Open };
    connection.headers_out(stream, end, out, |out| {
        let length = Length::Known(len as u64);
        let fields = HeaderMap::new();
        encode::head(out, Exchange::default(), StatusCode::OK, length, &fields, DATE, Strings::Plain);
    });
    connection.want(stream);
}

/// Records an event. Consecutive data of a stream is joined, because the pieces may cut it anywhere.
fn record(seen: &mut Vec<Seen>, event: &Event<'_>, head: &Head) {
    let fields = || {
        let fields = head.fields().iter();
        fields.map(|(name, value)| (name.to_vec(), value.to_vec())).collect::<Vec<_>>()
    };
    let entry = match *event {
        Event::Data { stream, bytes, ends } => {
            if let Some(Seen::Data { id, bytes: recorded, ends: last @ false }) = seen.last_mut()
                && *id == stream.id()
            {
                recorded.extend_from_slice(bytes);
                *last = ends;
                return;
            }
            Seen::Data { id: stream.id(), bytes: bytes.to_vec(), ends }
        }
        Event::Request { .. } | Event::Trailers { .. } => {
            assert!(fields().len() <= 8);
            Seen::Other(format!("{} {} {:?}", text(event), head.path().escape_ascii(), fields()))
        }
        _ => Seen::Other(text(event)),
    };
    seen.push(entry);
}

/// Describes an event without the slot of its stream, which depends on the end of other streams.
fn text(event: &Event<'_>) -> String {
    match *event {
        Event::Request { stream, ends } => format!("request {} {ends}", stream.id()),
        Event::Refused { stream, ends, reject } => format!("refused {} {ends} {reject}", stream.id()),
        Event::Trailers { stream, refused } => format!("trailers {} {refused:?}", stream.id()),
        Event::Reset { stream, by } => format!("reset {} {by:?}", stream.id()),
        other => format!("{other:?}"),
    }
}

/// Asserts that the sent bytes are complete frames.
fn check(mut sent: &[u8]) {
    while let [l0, l1, l2, ..] = sent {
        let len = 9 + u32::from_be_bytes([0, *l0, *l1, *l2]) as usize;
        assert!(len <= 9 + 16_384);
        sent = sent.get(len..).expect("sent frame should be complete");
    }
}
