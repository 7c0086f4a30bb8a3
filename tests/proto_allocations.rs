//! Counts allocations on the hot path of `proto`: none for a request and its response on warm buffers.
#![allow(unsafe_code, reason = "a global allocator needs unsafe code")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use windlass::proto::{
    h1::{Body, Exchange, Head, Image, Length, Limits, Search, Step, encode, parse},
    h2,
};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call goes unchanged to the system allocator. The counter is a const-initialized thread-local
// without a destructor, so counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller upholds the contract of `GlobalAlloc`, which is that of the system allocator.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: see `alloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn allocations(run: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.get();
    run();
    ALLOCATIONS.get() - before
}

const DATE: &encode::Date = b"Sun, 06 Nov 1994 08:49:37 GMT";

#[test]
fn each_allocation_is_counted_once() {
    assert_eq!(allocations(|| drop(std::hint::black_box(Box::new([0_u8; 64])))), 1);
}

#[test]
fn a_request_and_its_response_allocate_nothing_on_warm_buffers() {
    let input = b"POST /demo?a=b HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nAccept: */*\r\n\
          Transfer-Encoding: chunked\r\n\r\n\
                  5\r\nhello\r\n5;x\r\nworld\r\n0\r\n\r\n";
    let (mut search, mut head, limits) = (Search::default(), Head::default(), Limits::default());
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    let image = Image::new(StatusCode::OK, &headers, Bytes::from_static(b"Hello, World!"));
    let mut out = Vec::new();
    let mut serve = || {
        out.clear();
        let mut at = parse(input, &mut search, &limits, &mut head).unwrap().unwrap();
        let mut body = Body::new(head.framing(), &limits);
        while let Step::Data { consumed, .. } = body.decode(&input[at..]).unwrap() {
            at += consumed;
        }
        assert!(body.is_done());
        let exchange = Exchange::new(&head);
        assert!(image.write(&mut out, exchange, DATE).is_none());
        encode::head(&mut out, exchange, StatusCode::OK, Length::Known(13), &headers, DATE);
        encode::head(&mut out, exchange, StatusCode::OK, Length::Unknown, &headers, DATE);
        encode::chunk(&mut out, b"Hello, World!");
    };
    serve();
    assert_eq!(allocations(|| (0..100).for_each(|_| serve())), 0);
}

#[test]
fn a_rejected_request_allocates_nothing() {
    let (mut search, mut head, limits) = (Search::default(), Head::default(), Limits::default());
    let fine = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(parse(fine, &mut search, &limits, &mut head), Ok(Some(fine.len())));
    let refused = b"GET / HTTP/1.1\r\nHost : a\r\n\r\n";
    assert_eq!(allocations(|| assert!(parse(refused, &mut search, &limits, &mut head).is_err())), 0);
}

/// An HTTP/2 connection whose requests are answered at once: one that ends with an image, one with a body
/// with as many bytes.
struct Http2 {
    connection: h2::Connection,
    limits: h2::Limits,
    now: std::time::Instant,
    head: h2::Head,
    out: Vec<u8>,
    image: h2::Image,
    headers: HeaderMap,
}

impl Http2 {
    fn new() -> Self {
        let text = HeaderValue::from_static("text/plain; charset=utf-8");
        let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, text)]);
        let image = h2::Image::new(StatusCode::OK, &headers, Bytes::from_static(b"Hello, World!"))
            .expect("it is short");
        let (limits, now, mut out) =
            (h2::Limits::default(), std::time::Instant::now(), Vec::with_capacity(64 * 1024));
        let connection = h2::Connection::new(&limits, now, &mut out);
        let mut server = Self { connection, limits, now, head: h2::Head::default(), out, image, headers };
        server.serve(&[&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &frame(4, 0, 0, &[])].concat());
        server
    }

    fn serve(&mut self, mut input: &[u8]) {
        let mut left = 0;
        self.out.clear();
        loop {
            let Self { connection, limits, now, head, out, image, headers } = self;
            let mut cx = h2::Context { limits, now: *now, head, out };
            match connection.next(&mut input, &mut cx) {
                None => break,
                Some(h2::Event::Request { stream, ends: true }) => {
                    assert!(connection.image_out(stream, image, false, DATE, out).is_none());
                }
                Some(h2::Event::Data { stream, bytes, ends }) => {
                    left += bytes.len();
                    connection.release(stream, bytes.len(), out);
                    if ends {
                        connection.headers_out(stream, h2::End::Open, out, |out| {
                            let (exchange, length) =
                                (h2::encode::Exchange::default(), Length::Known(left as u64));
                            let plain = h2::hpack::encode::Strings::Plain;
                            h2::encode::head(out, exchange, StatusCode::OK, length, &*headers, DATE, plain);
                        });
                        connection.want(stream);
                    }
                }
                Some(_) => {}
            }
        }
        while let Some((stream, room)) = self.connection.next_turn() {
            let len = room.min(left);
            left -= len;
            let end = if left == 0 { h2::End::Stream } else { h2::End::Open };
            self.connection.data_out(stream, len, end, &mut self.out);
            self.out.resize(self.out.len() + len, b'x');
        }
        self.connection.sent(self.out.len(), &self.limits);
    }

    /// Serves the first half of these to get warm, then counts the allocations for the second.
    fn allocations(&mut self, rounds: &[Vec<u8>]) -> u64 {
        let (warm, measured) = rounds.split_at(rounds.len() / 2);
        warm.iter().for_each(|round| self.serve(round));
        allocations(|| measured.iter().for_each(|round| self.serve(round)))
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend(stream.to_be_bytes());
    [&bytes, payload].concat()
}

#[test]
fn an_http_2_request_and_its_reply_allocate_nothing_once_warm() {
    let mut server = Http2::new();
    // A request whose fields go into the table, one that names them, one with a body, a window for the
    // replies.
    let literals = b"\x82\x86\x44\x05/path\x41\x04host\x40\x0auser-agent\x03one\x40\x06x-next\x03two";
    let indexed = b"\x82\x86\xc1\xc0\xbf\xbe";
    let round = |first| {
        let body =
            [frame(1, 4, first + 4, b"\x83\x86\x84\xc0"), frame(0, 1, first + 4, &[b'x'; 5000])].concat();
        let window = frame(8, 0, 0, &5026_u32.to_be_bytes());
        [frame(1, 5, first, literals), frame(1, 5, first + 2, indexed), body, window].concat()
    };
    let rounds: Vec<_> = (0..200).map(|number| round(6 * number + 1)).collect();
    assert_eq!(server.allocations(&rounds), 0);
    // The same, cut in the middle of frames.
    let frames: Vec<u8> = (200..400).flat_map(|number| frame(1, 5, 6 * number + 1, indexed)).collect();
    let pieces: Vec<_> = frames.chunks(100).map(<[u8]>::to_vec).collect();
    assert_eq!(server.allocations(&pieces), 0);
}

#[cfg(feature = "ws")]
#[test]
fn echoes_allocate_nothing_on_warm_buffers_plain_or_compressed() {
    use windlass::proto::ws::{
        Event, Limits, Outgoing, Role, Scratch, Session,
        deflate::{Context, Direction, Params, Settings},
        frame::{Header, Opcode},
    };
    let direction = Direction { context: Context::Fresh, window_bits: 15 };
    let params = Params { server: direction, client: direction };
    let frame = |opcode, rsv1, payload: &[u8]| {
        let mut wire = Vec::new();
        Header { rsv1, key: Some([1, 2, 3, 4]), ..Header::new(opcode, payload.len()) }
            .append_frame(&mut wire, payload);
        wire
    };
    let input = [
        frame(Opcode::Text, false, &[b'a'; 5000]),
        frame(Opcode::Ping, false, b"here?"),
        frame(Opcode::Text, true, &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]),
    ]
    .concat();
    let mut session =
        Session::new(Role::Server, Limits::default()).with_deflate(params, &Settings::default());
    let (mut scratch, mut out) = (Scratch::default(), Vec::new());
    let mut serve = || {
        out.clear();
        let mut rest = &input[..];
        while let Some(event) = session.receive(&mut rest, &mut scratch).unwrap() {
            if let Event::Text(text) = event {
                let text = std::mem::take(text);
                session.send(&mut out, Outgoing::Text(&text), &mut scratch).unwrap();
                scratch.recycle(text.into_bytes());
            } else {
                session.reply(&mut out);
            }
        }
        assert!(out.ends_with(b"\x81\x05Hello") && out.len() < 100);
    };
    (0..3).for_each(|_| serve());
    assert_eq!(allocations(|| (0..100).for_each(|_| serve())), 0);
}
