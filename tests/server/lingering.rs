//! Early responses reach clients that send their whole body before they read.

use std::{
    thread,
    time::{Duration, Instant},
};

use windlass::{
    Limits, Next, Request, Response, Router, Server, Timeouts, get, http::StatusCode, post, static_route,
};

use crate::common::{ENDLESS, Peer, TIMEOUT, builder, connect, endless, eventually, metric, start};

/// Size of the body that the clients send, four times the limit of a body.
const BODY_BYTES: usize = 4 * 1024 * 1024;

/// Requests and the status of each. None reads its body.
pub(crate) const EARLY: &[(&str, &str, u16)] = &[
    ("POST", "/inline", 413),
    ("POST", "/async", 413),
    ("POST", "/blocking", 413),
    ("POST", "/layered", 413),
    ("POST", "/streamed", 403),
    ("POST", "/streamed-async", 403),
    ("POST", "/nowhere", 404),
    ("POST", "/static", 405),
    ("GET", "/static", 200),
];

async fn refuse(_: Request) -> StatusCode {
    StatusCode::FORBIDDEN
}

pub(crate) fn routes() -> Router {
    let through = |request, next: Next| async move { next.run(request).await };
    let read = async |mut request: Request| Response::new().with_body(request.take_body());
    Router::new()
        .route(static_route("/static", "static"))
        .route(get("/alive", |_: Request| "alive"))
        .route(post("/inline", |_: Request| "read"))
        .route(post("/async", read).run_async())
        .route(post("/blocking", |_: Request| "read").run_async())
        .route(post("/layered", read).run_async().with(through))
        .route(post("/streamed", refuse).streamed())
        .route(post("/streamed-async", refuse).streamed().run_async())
}

/// Returns a request whose body has a declared length or comes in chunks.
pub(crate) fn request(method: &str, path: &str, chunked: bool) -> Vec<u8> {
    let start = format!("{method} {path} HTTP/1.1\r\nHost: t\r\n");
    let body = vec![b'x'; BODY_BYTES];
    match chunked {
        false => [format!("{start}Content-Length: {BODY_BYTES}\r\n\r\n").as_bytes(), &body].concat(),
        true => {
            let mut bytes = format!("{start}Transfer-Encoding: chunked\r\n\r\n").into_bytes();
            for chunk in body.chunks(16 * 1024) {
                bytes.extend_from_slice(b"4000\r\n");
                bytes.extend_from_slice(chunk);
                bytes.extend_from_slice(b"\r\n");
            }
            bytes.extend_from_slice(b"0\r\n\r\n");
            bytes
        }
    }
}

/// Sends a whole request before it reads, and checks the response.
#[track_caller]
fn expect_early(server: &Server, method: &str, path: &str, status: u16, chunked: bool) {
    let mut peer = connect(server);
    let what = format!("{method} {path}, chunked: {chunked}");
    assert!(peer.try_send(request(method, path, chunked)), "{what}: the body must be taken");
    let reply = peer.reply();
    assert_eq!((reply.status, reply.closes()), (status, true), "{what}");
    peer.expect_close();
}

#[test]
fn a_client_that_sends_its_whole_body_first_gets_the_early_response() {
    let server = start(routes());
    for (method, path, status) in EARLY {
        for chunked in [false, true] {
            expect_early(&server, method, path, *status, chunked);
        }
    }
}

/// Time limits that never end a test by themselves.
fn patient() -> Timeouts {
    let mut timeouts = endless();
    (timeouts.linger, timeouts.linger_max) = (ENDLESS, ENDLESS);
    (timeouts.body_rate, timeouts.body_grace) = (0, ENDLESS);
    timeouts
}

/// Connects and gets the reply to a request whose body goes on for ever.
fn begin_endless_body(server: &Server) -> Peer {
    let mut peer = connect(server);
    peer.send("POST /inline HTTP/1.1\r\nHost: t\r\nContent-Length: 1000000000000\r\n\r\n");
    assert_eq!(peer.reply().status, 413);
    peer
}

/// Sends pieces until the server closes the connection. Returns the time that this took.
fn send_until_cut(peer: &mut Peer, piece: &[u8]) -> Duration {
    let began = Instant::now();
    while peer.try_send(piece) {
        assert!(began.elapsed() < TIMEOUT, "the connection was not closed");
        thread::sleep(Duration::from_millis(5));
    }
    began.elapsed()
}

fn expired(server: &Server) -> f64 {
    metric(server, "windlass_timeouts_total{timer=\"linger\"}")
}

#[test]
fn a_peer_that_never_stops_sending_is_cut_after_the_longest_time() {
    let mut timeouts = patient();
    timeouts.linger_max = Duration::from_millis(300);
    let server = builder(routes()).timeouts(timeouts).start().unwrap();
    let mut peer = begin_endless_body(&server);
    assert!(send_until_cut(&mut peer, &[b'x'; 16 * 1024]) >= Duration::from_millis(250));
    eventually("the cut is counted", || expired(&server) == 1.0);
    assert_eq!(connect(&server).get("/alive").status, 200);
}

#[test]
fn a_peer_that_sends_too_slowly_is_cut() {
    let mut timeouts = patient();
    (timeouts.body_rate, timeouts.body_grace) = (1_000_000, Duration::from_millis(200));
    let server = builder(routes()).timeouts(timeouts).start().unwrap();
    let mut peer = begin_endless_body(&server);
    assert!(send_until_cut(&mut peer, b"x") >= Duration::from_millis(150));
    eventually("the cut is counted", || expired(&server) == 1.0);
}

#[test]
fn a_peer_that_is_silent_is_cut() {
    let mut timeouts = patient();
    timeouts.linger = Duration::from_millis(200);
    let server = builder(routes()).timeouts(timeouts).start().unwrap();
    let mut peer = begin_endless_body(&server);
    // Bytes in time extend the wait.
    for _ in 0..50 {
        peer.send("x");
        thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(expired(&server), 0.0);
    eventually("the silent peer is cut", || expired(&server) == 1.0);
}

#[test]
fn the_connections_that_discard_more_are_limited() {
    let mut limits = Limits::default();
    limits.lingering_connections = 1;
    let server = builder(routes())
        .cores(windlass::actors::Cores::Unpinned(1))
        .timeouts(patient())
        .limits(limits)
        .start()
        .unwrap();
    let mut holder = begin_endless_body(&server);
    holder.send(vec![b'x'; BODY_BYTES]);
    let received = || metric(&server, "windlass_received_bytes_total{shard=\"0\"}") as usize;
    eventually("the holder's bytes are discarded", || received() > BODY_BYTES);
    let mut refused = begin_endless_body(&server);
    send_until_cut(&mut refused, &[b'x'; 64 * 1024]);
    let lingered = || metric(&server, "windlass_connections_closed_total{shard=\"0\",cause=\"lingered\"}");
    eventually("the second connection is closed at the limit of bytes", || lingered() == 1.0);
    drop(holder);
    eventually("the place is free", || {
        let mut peer = connect(&server);
        peer.try_send(request("POST", "/inline", false)) && peer.reply().status == 413
    });
}

#[test]
fn a_drain_does_not_wait_for_a_peer_that_keeps_sending() {
    let mut timeouts = patient();
    timeouts.linger = Duration::from_millis(200);
    let server = builder(routes()).timeouts(timeouts).start().unwrap();
    let mut peer = begin_endless_body(&server);
    peer.send(vec![b'x'; BODY_BYTES]);
    let sender = thread::spawn(move || send_until_cut(&mut peer, &[b'x'; 1024]));
    let began = Instant::now();
    server.drain(None);
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    sender.join().unwrap();
}
