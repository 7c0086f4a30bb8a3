//! Request bodies over HTTP/2: buffered, streamed, refused and unread; trailers, and flow control.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Method};
use tokio::sync::Semaphore;
use windlass::{Hooks, Limits, Request, Router, Server, Timeouts, actors::Cores, http, post};

use super::{
    client::{Client, read, request},
    frames::{
        self, ACK, CANCEL, DATA, END_STREAM, HEADERS, NO_ERROR, PING, Peer, RST_STREAM, WINDOW_UPDATE, frame,
    },
};
use crate::common::{
    bodies::{ALL, STREAMED, body_routes, describe_body},
    builder, connect, endless, eventually, metric, start,
};

fn routes() -> Router {
    body_routes().route(post("/early", |_: Request| "early").streamed())
}

#[test]
fn bodies_of_every_size_reach_their_handler() {
    let server = start(routes());
    let mut client = Client::connect(&server);
    for path in ALL {
        for size in [0, 1, 16_384, 16_385, 65_535, 65_536, 200_000, 1024 * 1024] {
            let reply = client.call(Method::POST, path, vec![b'x'; size]);
            assert_eq!((reply.status, reply.text()), (200, size.to_string().as_str()), "{path}");
        }
    }
    let reply = client.call(Method::POST, "/streamed", vec![b'x'; 20 << 20]);
    assert_eq!(reply.text(), (20 << 20).to_string(), "a streamed body must have no limit");
}

#[test]
fn a_body_over_the_limit_is_answered_413() {
    let server = start(routes());
    let mut client = Client::connect(&server);
    assert_eq!(client.call(Method::POST, "/limited", "0123456789").text(), "10");
    assert_eq!(client.call(Method::POST, "/limited", "0123456789a").status, 413);
    let mut declared = request(Method::POST, "/limited");
    declared.headers_mut().insert("content-length", "1000000".parse().unwrap());
    let (response, _body) = client.open(declared);
    assert_eq!(
        client.wait(read(response)).unwrap().status,
        413,
        "a declared length over the limit must be refused before any data"
    );
    assert_eq!(client.call(Method::POST, "/whole", vec![0; 1024 * 1024 + 1]).status, 413);
    assert_eq!(client.get("/small").text(), "small", "the connection must stay open");
}

#[test]
fn a_streaming_handler_starts_before_the_body_and_receives_its_trailers() {
    let begun = Arc::new(Semaphore::new(0));
    let started = begun.clone();
    let starts = move |request: Request| {
        started.add_permits(1);
        describe_body(request)
    };
    let server = start(Router::new().route(post("/starts", starts).streamed()));
    let mut client = Client::connect(&server);
    let (response, mut body) = client.open(request(Method::POST, "/starts"));
    client.wait(begun.acquire()).unwrap().forget();
    body.send_data(Bytes::from_static(b"abc"), false).unwrap();
    body.send_data(Bytes::from_static(b"de"), false).unwrap();
    let trailers = [("x-sum", "7"), ("content-length", "9"), ("authorization", "none")];
    let trailers: HeaderMap =
        trailers.map(|(n, v)| (n.parse().unwrap(), v.parse().unwrap())).into_iter().collect();
    body.send_trailers(trailers).unwrap();
    assert_eq!(client.wait(read(response)).unwrap().text(), "5 x-sum=7");
}

#[test]
fn a_handler_that_does_not_read_blocks_its_stream_and_no_other() {
    let gate = Arc::new(Semaphore::new(0));
    let opened = gate.clone();
    let waits = move |mut request: Request| {
        let gate = opened.clone();
        async move {
            gate.acquire().await.unwrap().forget();
            request.take_body().collect(usize::MAX).await.unwrap().len().to_string()
        }
    };
    let router = routes().route(post("/waits", waits).streamed().run_async());
    let server = start(router);
    let mut client = Client::connect(&server);
    let (response, mut body) = client.open(request(Method::POST, "/waits"));
    let size = 1_000_000;
    body.send_data(vec![b'x'; size].into(), true).unwrap();
    let taken = || server.metrics().received_bytes;
    // The peer gets credit for what the handler takes, so no more than the stream's window is received.
    eventually("the server has received about as much as the window allows", || taken() >= 64 * 1024);
    assert_eq!(client.get("/small").text(), "small", "other streams must not be blocked");
    assert_eq!(client.call(Method::POST, "/whole", vec![b'x'; 300_000]).text(), "300000");
    assert!(taken() < 64 * 1024 + 300_000 + 20_000, "{} bytes were received", taken());
    gate.add_permits(1);
    assert_eq!(client.wait(read(response)).unwrap().text(), size.to_string());
}

#[test]
fn an_early_reply_is_complete_and_its_stream_is_reset_over_the_discard_limit() {
    let mut limits = Limits::default();
    limits.discard_bytes = 10;
    let server = builder(routes()).limits(limits).start().unwrap();
    let mut peer = Peer::connect(&server);
    for (stream, path) in [(1, "/early"), (3, "/missing")] {
        peer.headers(stream, &frames::request("POST", path), false);
        peer.send(frame(DATA, 0, stream, b"some"));
        peer.reply(stream);
        assert!(!peer.body(stream).is_empty(), "{path}");
        // First an amount within the discard limit, then one that exceeds it.
        peer.send(frame(DATA, 0, stream, b"more"));
        peer.send(frame(DATA, 0, stream, b"too many"));
        assert_eq!(peer.reset(stream), NO_ERROR, "{path}");
        // DATA that was in flight when the stream was reset must do no harm.
        peer.send(frame(DATA, END_STREAM, stream, b"more"));
    }
    for (stream, path) in [(5, "/early"), (7, "/missing")] {
        peer.headers(stream, &frames::request("POST", path), false);
        assert!(!peer.body(stream).is_empty(), "{path}");
        peer.send(frame(DATA, END_STREAM, stream, b"short"));
    }
    peer.get(9, "/small");
    let mut frames = Vec::new();
    while !frames.last().is_some_and(|frame: &frames::Frame| frame.stream == 9 && frame.ends_stream()) {
        frames.push(peer.next().unwrap());
    }
    assert!(
        frames.iter().all(|frame| frame.kind != RST_STREAM),
        "a body within the discard limit must not be reset: {frames:?}"
    );
}

#[test]
fn a_pending_reply_is_sent_before_its_stream_is_reset() {
    let started: Arc<Mutex<Vec<String>>> = Arc::default();
    let ends = started.clone();
    let hooks = Hooks::default().on_end(move |end| {
        ends.lock().unwrap().push(format!("{} {} {:?}", end.path, end.body_bytes, end.error));
    });
    let mut limits = Limits::default();
    limits.discard_bytes = 10;
    let server = builder(routes()).limits(limits).hooks(hooks).start().unwrap();
    // A stream window of 3 bytes delays the replies.
    let mut peer = Peer::connect_with(&server, &[(4, 3)]);
    for (stream, method, path, length) in [(1, "POST", "/missing", 31), (3, "GET", "/static", 6)] {
        peer.headers(stream, &frames::request(method, path), false);
        peer.reply(stream);
        peer.send(frame(DATA, 0, stream, b"more than is discarded.."));
        peer.send(frame(PING, 0, 0, [0; 8]));
        peer.wait(|frame| frame.kind == PING && frame.flags & ACK != 0);
        peer.send(frame(WINDOW_UPDATE, 0, stream, 100_u32.to_be_bytes()));
        assert_eq!(peer.body(stream).len(), length - 3, "{path}");
        assert_eq!(peer.reset(stream), NO_ERROR, "{path}");
    }
    assert_eq!(*started.lock().unwrap(), ["/missing 31 None", "/static 6 None"]);
}

#[test]
fn a_body_followed_by_a_fin_reaches_a_handler_that_reads_later() {
    let gate = Arc::new(Semaphore::new(0));
    let opened = gate.clone();
    let waits = move |request: Request| {
        let gate = opened.clone();
        async move {
            gate.acquire().await.unwrap().forget();
            describe_body(request).await
        }
    };
    let mut limits = Limits::default();
    limits.body_window_bytes = 1;
    let router = routes().route(post("/waits", waits).streamed().run_async());
    let server = builder(router).cores(Cores::Unpinned(1)).limits(limits).start().unwrap();
    let mut peer = Peer::connect(&server);
    peer.headers(1, &frames::request("POST", "/waits"), false);
    peer.send(frame(DATA, 0, 1, b"abc").repeat(20));
    peer.send(frame(DATA, END_STREAM, 1, b"d"));
    peer.headers(3, &frames::request("POST", "/waits"), false);
    peer.send(frame(DATA, 0, 3, b"abc").repeat(20));
    peer.finish();
    assert_eq!(connect(&server).get("/small").text(), "small", "the only shard has processed the FIN");
    gate.add_permits(2);
    let (mut whole, mut reset) = (Vec::new(), None);
    while let Some(frame) = peer.next() {
        match (frame.kind, frame.stream) {
            (DATA, 1) => whole.extend(frame.payload),
            (RST_STREAM, 3) => reset = Some(frame.code()),
            _ => assert!(frame.stream == 0 || frame.kind == HEADERS && frame.stream == 1, "{frame:?}"),
        }
    }
    assert_eq!(
        (whole.as_slice(), reset),
        (&b"61"[..], Some(CANCEL)),
        "the complete body must be answered, the incomplete one reset"
    );
}

#[test]
fn trailers_over_their_limits_are_an_error() {
    let server = start(routes());
    let mut peer = Peer::connect(&server);
    let long = "x".repeat(5000);
    let names: Vec<String> = (0..101).map(|index| format!("x-{index}")).collect();
    let many: Vec<_> = names.iter().map(|name| (name.as_str(), "")).collect();
    let cases = [(vec![("x-long", long.as_str())], "too long"), (many, "too many header fields")];
    for (round, (trailers, cause)) in (0..).zip(&cases) {
        for (index, path) in (0..).zip(ALL) {
            let stream = 1 + 2 * (round * 4 + index);
            peer.headers(stream, &frames::request("POST", path), false);
            peer.send(frame(DATA, 0, stream, b"abc"));
            peer.headers(stream, trailers, true);
            let reply = peer.reply(stream).status();
            let text = String::from_utf8(peer.body(stream)).unwrap();
            assert_eq!(reply, if STREAMED.contains(&path) { 200 } else { 431 }, "{path}: {text}");
            assert!(text.contains(cause), "{path}: {text}");
        }
    }
    for cause in ["trailers_too_long", "too_many_headers"] {
        assert_eq!(metric(&server, &format!("windlass_protocol_errors_total{{cause=\"{cause}\"}}")), 4.0);
    }
}

#[test]
fn discarded_data_returns_its_flow_control_credit() {
    let server = start(routes());
    let mut peer = Peer::connect(&server);
    // The connection's window is 1 MiB. If discarded data returned no credit, the later bodies could not be
    // sent.
    let piece = vec![0; 16_000];
    for stream in (1..200).step_by(2) {
        peer.headers(stream, &frames::request("POST", "/missing"), false);
        peer.send(frame(DATA, 0, stream, &piece));
        peer.send(frame(DATA, END_STREAM, stream, &piece));
        peer.reply(stream);
    }
    peer.headers(201, &frames::request("POST", "/whole"), false);
    peer.send(frame(DATA, END_STREAM, 201, b"12345"));
    assert_eq!(peer.body(201), b"5");
}

#[test]
fn a_client_that_expects_100_continue_receives_it() {
    let server = start(routes());
    let mut peer = Peer::connect(&server);
    for (stream, path) in [(1, "/whole"), (3, "/streamed")] {
        let mut fields = frames::request("POST", path);
        fields.push(("expect", "100-continue"));
        peer.headers(stream, &fields, false);
        assert_eq!(peer.reply(stream).status(), 100);
        peer.send(frame(DATA, END_STREAM, stream, b"abc"));
        assert_eq!(peer.reply(stream).status(), 200);
        assert_eq!(peer.body(stream), b"3");
    }
    let mut fields = frames::request("POST", "/limited");
    fields.extend([("expect", "100-continue"), ("content-length", "11")]);
    peer.headers(5, &fields, false);
    assert_eq!(peer.reply(5).status(), 413, "a refusal must not be preceded by 100 Continue");
    let mut fields = frames::request("POST", "/whole");
    fields.push(("expect", "miracles"));
    peer.headers(7, &fields, false);
    assert_eq!(peer.reply(7).status(), 417);
}

#[test]
fn a_body_that_differs_from_its_declared_length_resets_its_stream() {
    let server = start(routes());
    let mut peer = Peer::connect(&server);
    for (stream, path, sent) in
        [(1, "/whole", "abcd"), (3, "/whole", "ab"), (5, "/streamed", "abcd"), (7, "/streamed", "ab")]
    {
        let mut fields = frames::request("POST", path);
        fields.push(("content-length", "3"));
        peer.headers(stream, &fields, false);
        peer.send(frame(DATA, END_STREAM, stream, sent));
        assert_eq!(peer.reset(stream), frames::PROTOCOL_ERROR, "{path} {sent}");
    }
    peer.get(9, "/small");
    assert_eq!(peer.body(9), b"small");
}

fn server_with_timeouts(set: impl FnOnce(&mut Timeouts)) -> Server {
    let mut timeouts = endless();
    set(&mut timeouts);
    builder(routes()).timeouts(timeouts).start().unwrap()
}

#[test]
fn an_idle_body_is_answered_408_and_other_streams_continue() {
    let short = Duration::from_millis(200);
    let server = server_with_timeouts(|t| t.body_idle = Some(short));
    let mut peer = Peer::connect(&server);
    peer.headers(1, &frames::request("POST", "/whole"), false);
    peer.send(frame(DATA, 0, 1, b"abc"));
    peer.headers(3, &frames::request("POST", "/whole-async"), false);
    assert_eq!(peer.reply(1).status(), 408);
    assert_eq!(peer.reset(1), NO_ERROR);
    for (stream, path) in [(5, STREAMED[0]), (7, STREAMED[1])] {
        peer.headers(stream, &frames::request("POST", path), false);
        peer.send(frame(DATA, 0, stream, b"abc"));
        assert_eq!(peer.reply(stream).status(), 200);
        let started = String::from_utf8(peer.body(stream)).unwrap();
        assert!(started.contains("too slowly"), "{path}: {started}");
    }
    peer.get(9, "/small");
    assert_eq!(peer.body(9), b"small");
    eventually("all four timeouts are counted", || {
        metric(&server, "windlass_timeouts_total{timer=\"body\"}") == 4.0
    });
}

#[test]
fn a_body_below_the_minimum_rate_is_answered_408() {
    let server = server_with_timeouts(|t| (t.body_rate, t.body_grace) = (1000, Duration::from_millis(200)));
    let mut peer = Peer::connect(&server);
    peer.headers(1, &frames::request("POST", "/whole"), false);
    let stop = Arc::new(AtomicUsize::new(0));
    // One byte every 20 ms is 50 bytes a second.
    while stop.fetch_add(1, Ordering::Relaxed) < 15 {
        peer.send(frame(DATA, 0, 1, b"x"));
        std::thread::sleep(Duration::from_millis(20));
    }
    let reply = peer.wait(|frame| frame.kind == HEADERS || frame.kind == RST_STREAM);
    assert_eq!(reply.status(), 408);
}
