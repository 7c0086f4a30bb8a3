//! Request bodies over HTTP/1.1: buffered, streamed, refused, skipped and truncated; `Expect` and trailers.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use tokio::sync::Semaphore;
use windlass::{Limits, Request, Response, Router, Server, get, http::StatusCode, post, put};

use crate::common::{
    End,
    bodies::{ALL, STREAMED, body_routes, describe_body},
    builder, connect, eventually, metric, start,
};

const CHUNKED: &str = "Host: t\r\nTransfer-Encoding: chunked\r\n\r\n";

fn body_router() -> Router {
    body_routes().route(
        get("/slow", async |_: Request| tokio::time::sleep(Duration::from_millis(50)).await).run_async(),
    )
}

fn chunks(body: &[u8], size: usize) -> Vec<u8> {
    let mut coded = Vec::new();
    for chunk in body.chunks(size) {
        coded.extend(format!("{:x};a=b\r\n", chunk.len()).bytes());
        coded.extend_from_slice(chunk);
        coded.extend_from_slice(b"\r\n");
    }
    coded
}

#[test]
fn bodies_of_every_size_reach_their_handler() {
    let server = start(body_router());
    for path in ALL {
        let mut peer = connect(&server);
        for size in [0, 1, 4095, 4096, 4097, 16 * 1024 + 1, 70_000, 1024 * 1024] {
            let body = vec![b'x'; size];
            assert_eq!(peer.post(path, &body).text(), size.to_string(), "{path}");
            peer.send(format!("POST {path} HTTP/1.1\r\n{CHUNKED}"));
            // Extensions are limited per body, so the body has few chunks.
            peer.send([&chunks(&body, size.div_ceil(8).max(1))[..], b"0\r\n\r\n"].concat());
            assert_eq!(peer.reply().text(), size.to_string(), "{path} chunked");
        }
    }
}

#[test]
fn a_streaming_handler_receives_trailers() {
    let server = start(body_router());
    for path in STREAMED {
        let mut peer = connect(&server);
        peer.send(format!(
            "POST {path} HTTP/1.1\r\n{CHUNKED}2\r\nab\r\n0\r\nX-Sum: 7\r\nHost: evil\r\nX-Two: 8\r\n\r\n"
        ));
        assert_eq!(peer.reply().text(), "2 x-sum=7 x-two=8", "{path}");
        assert_eq!(peer.get("/small").text(), "small");
    }
}

#[test]
fn a_body_declared_too_large_is_refused_before_it_is_read() {
    let server = start(body_router());
    for (path, length) in [("/whole", 1024 * 1024 + 1), ("/whole-async", u64::MAX), ("/limited", 11)] {
        let mut peer = connect(&server);
        peer.send(format!("POST {path} HTTP/1.1\r\nHost: t\r\nContent-Length: {length}\r\n\r\n"));
        let reply = peer.reply();
        assert_eq!((reply.status, reply.closes()), (413, true), "{path}");
        peer.expect_close();
    }
    assert_eq!(connect(&server).post("/limited", "0123456789").text(), "10");
}

#[test]
fn a_chunked_body_is_refused_once_it_exceeds_the_limit() {
    let server = start(body_router());
    let mut peer = connect(&server);
    peer.send(format!("POST /limited HTTP/1.1\r\n{CHUNKED}"));
    peer.send("a\r\n0123456789\r\n");
    assert_eq!(connect(&server).get("/small").status, 200);
    peer.send("1\r\nx\r\n");
    let reply = peer.reply();
    assert_eq!((reply.status, reply.closes()), (413, true));
    peer.expect_close();
}

#[test]
fn a_413_reaches_a_client_that_is_still_writing() {
    let server = start(body_router());
    let body = vec![b'x'; 32 << 20];
    let heads = [
        format!("POST /whole HTTP/1.1\r\nHost: t\r\nContent-Length: {}\r\n\r\n", body.len()),
        format!("POST /whole HTTP/1.1\r\n{CHUNKED}{:x}\r\n", body.len()),
    ];
    for head in heads {
        let mut peer = connect(&server);
        peer.send(&head);
        // The client starts reading only after its writes.
        assert!(peer.try_send(&body), "the server must go on reading");
        let reply = peer.reply();
        assert_eq!((reply.status, reply.closes()), (413, true), "{head}");
    }
}

#[test]
fn a_short_refused_body_is_read_and_the_connection_ends_with_a_fin() {
    let server = start(body_router());
    for _ in 0..20 {
        let mut peer = connect(&server);
        peer.send("POST /limited HTTP/1.1\r\nHost: t\r\nContent-Length: 200000\r\n\r\n");
        peer.send(vec![b'x'; 200_000]);
        assert_eq!(peer.reply().status, 413);
        assert_eq!(peer.read_to_close(), (Vec::new(), End::Fin));
    }
}

#[test]
fn a_client_that_expects_100_continue_receives_it() {
    let server = start(body_router());
    for path in ALL {
        let mut peer = connect(&server);
        peer.send(format!(
            "POST {path} HTTP/1.1\r\nHost: t\r\nExpect: 100-Continue\r\nContent-Length: 3\r\n\r\n"
        ));
        assert_eq!(peer.until(b"\r\n\r\n"), b"HTTP/1.1 100 Continue\r\n\r\n", "{path}");
        peer.send("abc");
        assert_eq!(peer.reply().text(), "3");
        assert_eq!(peer.get("/small").text(), "small");
    }
}

#[test]
fn a_refused_expectation_is_answered_with_the_final_status_only() {
    let server = start(body_router());
    for (path, length, status) in [("/whole", 2_000_000, 413), ("/nowhere", 3, 404), ("/small", 3, 405)] {
        let mut peer = connect(&server);
        peer.send(format!(
            "POST {path} HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\nContent-Length: {length}\r\n\r\n"
        ));
        let reply = peer.reply();
        assert_eq!((reply.status, reply.closes()), (status, true), "{path}");
        peer.expect_close();
    }
}

#[test]
fn no_100_is_sent_for_an_empty_body_or_http_1_0() {
    let server = start(body_router());
    let mut peer = connect(&server);
    peer.send("POST /whole HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(peer.reply().text(), "0");
    peer.send("POST /whole HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nab");
    assert_eq!(peer.reply().text(), "2");
}

#[test]
fn a_100_does_not_overtake_the_replies_before_it() {
    let server = start(body_router());
    for path in ALL {
        let mut peer = connect(&server);
        peer.send(format!(
            "GET /slow HTTP/1.1\r\nHost: t\r\n\r\nGET /small HTTP/1.1\r\nHost: t\r\n\r\n\
             POST {path} HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"
        ));
        assert_eq!(peer.reply().status, 200);
        assert_eq!(peer.reply().text(), "small");
        assert_eq!(peer.until(b"\r\n\r\n"), b"HTTP/1.1 100 Continue\r\n\r\n", "{path}");
        peer.send("abc");
        assert_eq!(peer.reply().text(), "3");
    }
}

#[test]
fn an_unread_body_is_skipped_and_the_connection_stays_open() {
    let server = start(body_router());
    let mut peer = connect(&server);
    for (method, path, status) in
        [("POST", "/nowhere", 404), ("POST", "/small", 405), ("GET", "/static", 200)]
    {
        // 256 KiB is the longest body that is skipped.
        for body in [vec![b'x'; 100], vec![b'G'; 256 * 1024]] {
            peer.send(format!(
                "{method} {path} HTTP/1.1\r\nHost: t\r\nContent-Length: {}\r\n\r\n",
                body.len()
            ));
            peer.send(&body);
            let reply = peer.reply();
            assert_eq!((reply.status, reply.closes()), (status, false), "{path} {}", body.len());
        }
        peer.send(format!("{method} {path} HTTP/1.1\r\n{CHUNKED}3\r\nabc\r\n0\r\nX: y\r\n\r\n"));
        assert_eq!(peer.reply().status, status, "{path}");
        assert_eq!(peer.get("/small").text(), "small", "{path}");
    }
}

#[test]
fn an_unread_body_that_is_too_long_to_skip_closes_the_connection() {
    let server = start(body_router());
    for (method, path, status) in [("POST", "/nowhere", 404), ("GET", "/static", 200)] {
        let mut peer = connect(&server);
        peer.send(format!(
            "{method} {path} HTTP/1.1\r\nHost: t\r\nContent-Length: {}\r\n\r\n",
            256 * 1024 + 1
        ));
        let reply = peer.reply();
        assert_eq!((reply.status, reply.closes()), (status, true), "{path}");
        peer.expect_close();
        let mut peer = connect(&server);
        peer.send(format!("{method} {path} HTTP/1.1\r\n{CHUNKED}"));
        assert_eq!(peer.reply().status, status, "{path}");
        // 1.5 times the amount that is skipped.
        peer.try_send([&b"60000\r\n"[..], &[b'x'; 0x60000], b"\r\n0\r\n\r\n"].concat());
        assert!(peer.read_to_close().0.is_empty(), "{path}");
    }
}

#[test]
fn a_handler_that_does_not_read_blocks_its_client_until_it_reads() {
    const WINDOW: usize = 64 * 1024;
    let body = vec![b'x'; 24 << 20];
    for run_async in [false, true] {
        let gate = Arc::new(Semaphore::new(0));
        let held = gate.clone();
        let route = post("/", move |request: Request| {
            let gate = held.clone();
            async move {
                let _ = gate.acquire().await.unwrap();
                describe_body(request).await
            }
        });
        let route = if run_async { route.run_async() } else { route.run_inline() };
        let server = start(Router::new().route(route.streamed()).route(get("/small", |_: Request| "small")));
        let mut peer = connect(&server);
        peer.send(format!("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: {}\r\n\r\n", body.len()));
        let sent = peer.send_until_stuck(&body, Duration::from_millis(400));
        assert!(sent < body.len(), "the client must be blocked by back-pressure");
        // Received are the window, undecoded bytes, and what was in flight when reading stopped.
        let received = server.metrics().received_bytes as usize;
        assert!((WINDOW..WINDOW + (1 << 20)).contains(&received), "the server received {received} bytes");
        assert_eq!(connect(&server).get("/small").text(), "small");
        gate.add_permits(1);
        peer.send(&body[sent..]);
        assert_eq!(peer.reply().text(), body.len().to_string());
        assert_eq!(peer.get("/small").text(), "small");
    }
}

#[test]
fn the_window_bounds_a_flood_of_one_byte_chunks() {
    let gate = Arc::new(Semaphore::new(0));
    let held = gate.clone();
    let route = post("/", move |request: Request| {
        let gate = held.clone();
        async move {
            let _ = gate.acquire().await.unwrap();
            describe_body(request).await
        }
    });
    let mut limits = Limits::default();
    limits.body_window_bytes = 1 << 20;
    let server = builder(Router::new().route(route.streamed().run_async())).limits(limits).start().unwrap();
    let mut peer = connect(&server);
    let chunks = 4_000_000;
    peer.send(format!("POST / HTTP/1.1\r\n{CHUNKED}"));
    let flood = b"1\r\nx\r\n".repeat(chunks);
    let sent = peer.send_until_stuck(&flood, Duration::from_millis(400));
    assert!(sent < flood.len());
    // Each waiting piece counts for more than its one byte. Without that, 6 MiB would be received.
    let received = server.metrics().received_bytes;
    assert!(received < 2 << 20, "the server received {received} bytes");
    gate.add_permits(1);
    peer.send(&flood[sent..]);
    peer.send("0\r\n\r\n");
    assert_eq!(peer.reply().text(), chunks.to_string());
}

#[test]
fn a_handler_may_answer_without_reading_the_body() {
    let router = Router::new()
        .route(put("/inline", |_: Request| "unread").streamed())
        .route(put("/async", async |_: Request| "unread").streamed().run_async())
        .route(get("/small", |_: Request| "small"));
    let server = start(router);
    for path in ["/inline", "/async"] {
        let mut peer = connect(&server);
        peer.send(format!("PUT {path} HTTP/1.1\r\nHost: t\r\nContent-Length: 100000\r\n\r\n"));
        assert_eq!(peer.reply().text(), "unread", "the reply must come before the body");
        peer.send(vec![b'x'; 100_000]);
        assert_eq!(peer.get("/small").text(), "small", "{path}: the body must be skipped");
        let mut peer = connect(&server);
        peer.send(format!("PUT {path} HTTP/1.1\r\nHost: t\r\nContent-Length: {}\r\n\r\n", 64 << 20));
        let reply = peer.reply();
        assert!(reply.closes(), "{path}: the reply must announce the close");
        assert_eq!(reply.text(), "unread");
        assert!(peer.try_send(vec![b'x'; 64 << 20]), "{path}: the server must go on reading");
        peer.request("GET", "/small");
        peer.expect_close();
    }
}

#[test]
fn a_body_may_be_echoed_while_it_arrives() {
    let pass_on = |mut request: Request| request.take_body();
    let router = Router::new()
        .route(post("/inline", pass_on).streamed())
        .route(post("/blocking", pass_on).streamed().run_async())
        .route(post("/async", async |mut request: Request| request.take_body()).streamed().run_async());
    let server = start(router);
    let body: Vec<u8> = (0..24_u32 << 20).map(|n| (n % 251) as u8).collect();
    for path in ["/inline", "/blocking", "/async"] {
        let mut peer = connect(&server);
        peer.send(format!("POST {path} HTTP/1.1\r\nHost: t\r\nContent-Length: {}\r\n\r\n", body.len()));
        // A client that does not read its reply is blocked, and continues once it reads.
        let sent = peer.send_until_stuck(&body, Duration::from_millis(400));
        assert!(sent < body.len(), "{path}: the client must be blocked by back-pressure");
        let mut reader = peer.reader();
        let reading = thread::spawn(move || reader.reply());
        peer.send(&body[sent..]);
        assert!(reading.join().unwrap().body == body, "{path}");
    }
}

#[test]
fn a_fin_inside_a_body_is_an_error_for_the_handler_which_may_still_answer() {
    let server = start(body_router());
    for path in STREAMED {
        let mut peer = connect(&server);
        peer.send(format!("POST {path} HTTP/1.1\r\nHost: t\r\nContent-Length: 10\r\n\r\nabc"));
        peer.finish();
        assert_eq!(peer.reply().text(), "aborted after 3", "{path}");
        peer.expect_close();
        let mut peer = connect(&server);
        peer.send(format!("POST {path} HTTP/1.1\r\n{CHUNKED}3\r\nabc\r\n0\r\n"));
        peer.finish();
        assert_eq!(peer.reply().text(), "aborted after 3", "{path} chunked");
        peer.expect_close();
    }
    for path in ["/whole", "/whole-async"] {
        let mut peer = connect(&server);
        peer.send(format!("POST {path} HTTP/1.1\r\nHost: t\r\nContent-Length: 10\r\n\r\nabc"));
        peer.finish();
        peer.expect_close();
    }
}

#[test]
fn malformed_chunks_are_an_error_for_the_streaming_handler() {
    let server = start(body_router());
    for path in STREAMED {
        let mut peer = connect(&server);
        peer.send(format!("POST {path} HTTP/1.1\r\n{CHUNKED}3\r\nabc\r\nx\r\n"));
        let text = peer.reply().text();
        assert!(text.contains("chunk size is not a hexadecimal number after 3"), "{path}: {text}");
        peer.expect_close();
    }
    assert_eq!(metric(&server, "windlass_protocol_errors_total{cause=\"chunk_size\"}"), 2.0);
}

/// Increments a counter when its handler ends.
struct Ended(Arc<AtomicUsize>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_reset_inside_a_body_ends_the_handler() {
    for run_async in [false, true] {
        let (begun, ended) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (begins, ends) = (begun.clone(), ended.clone());
        let route = post("/", move |request: Request| {
            begins.fetch_add(1, Ordering::SeqCst);
            let ended = Ended(ends.clone());
            async move {
                let text = describe_body(request).await;
                drop(ended);
                text
            }
        });
        let route = if run_async { route.run_async() } else { route.run_inline() };
        let server = start(Router::new().route(route.streamed()));
        let mut peer = connect(&server);
        peer.send("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 10\r\n\r\nabc");
        eventually("the handler runs", || begun.load(Ordering::SeqCst) == 1);
        peer.reset();
        eventually("the handler ends", || ended.load(Ordering::SeqCst) == 1);
        eventually("the connection is closed", || server.metrics().connections == 0);
    }
}

/// Serves `/` on the pool with a body window of one byte.
fn narrow_window() -> Server {
    let mut limits = Limits::default();
    limits.body_window_bytes = 1;
    builder(Router::new().route(post("/", describe_body).streamed().run_async()))
        .limits(limits)
        .start()
        .unwrap()
}

#[test]
fn a_body_followed_by_a_fin_reaches_the_handler_whole() {
    // The handler takes bytes on another core while the connection checks its window; many rounds make the
    // race likely.
    let server = narrow_window();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..100 {
                    let mut peer = connect(&server);
                    let mut bytes = format!("POST / HTTP/1.1\r\n{CHUNKED}").into_bytes();
                    bytes.extend(b"1\r\nx\r\n".repeat(300));
                    peer.send([&bytes[..], b"0\r\n\r\n"].concat());
                    peer.finish();
                    assert_eq!(peer.reply().text(), "300");
                }
            });
        }
    });
}

#[test]
fn a_body_in_many_pieces_never_stalls() {
    let server = narrow_window();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut peer = connect(&server);
                let body = [&b"1\r\nx\r\n".repeat(300)[..], b"0\r\n\r\n"].concat();
                for _ in 0..100 {
                    peer.send([format!("POST / HTTP/1.1\r\n{CHUNKED}").as_bytes(), &body].concat());
                    assert_eq!(peer.reply().text(), "300");
                }
            });
        }
    });
}

#[test]
fn a_declared_length_is_known_before_the_first_byte() {
    let length =
        |r: Request| Response::text(format!("{:?}", r.body().len())).with_status(StatusCode::ACCEPTED);
    let server = start(Router::new().route(post("/", length).streamed()));
    let mut peer = connect(&server);
    peer.send("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 7\r\n\r\n");
    assert_eq!(peer.reply().text(), "Some(7)");
    peer.send(format!("1234567POST / HTTP/1.1\r\n{CHUNKED}"));
    assert_eq!(peer.reply().text(), "None");
}
