//! Counts allocations on the hot path of `proto`: none for a request and its response on warm buffers.
#![allow(unsafe_code, reason = "a global allocator needs unsafe code")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use windlass::proto::h1::{Body, Exchange, Head, Image, Length, Limits, Search, Step, encode, parse};

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
    let input =
        b"POST /demo?a=b HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nAccept: */*\r\nTransfer-Encoding: chunked\r\n\r\n\
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
