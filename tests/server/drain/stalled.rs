//! Draining while peers have stalled: they are cut after a time limit of their own.

use std::time::Duration;

use windlass::{Request, Router, Server, get, post};

use crate::common::{Peer, TIMEOUT, builder, connect, endless, eventually};

/// Returns a server whose drains wait only for peers that make progress.
fn server() -> Server {
    let mut timeouts = endless();
    timeouts.drain_stall = Some(Duration::from_millis(300));
    let router = Router::new()
        .route(get("/large", |_: Request| vec![b'x'; 32 << 20]))
        .route(post("/body", |_: Request| "complete"))
        .route(get("/static", |_: Request| "static"));
    builder(router).timeouts(timeouts).start().unwrap()
}

/// Requests a large reply and reads none of it.
fn stall(server: &Server) -> Peer {
    let mut peer = connect(server);
    peer.set_receive_buffer(2048);
    peer.request("GET", "/large");
    peer.until(b"200");
    peer
}

#[test]
fn a_peer_that_has_stopped_reading_is_cut_before_the_grace_is_over() {
    let server = server();
    let mut idle = connect(&server);
    assert_eq!(idle.get("/static").status, 200);
    let mut stalled = [stall(&server), stall(&server)];
    let sent = || server.metrics().sent_bytes;
    let mut before = 0;
    eventually("the peers have stalled", || {
        std::thread::sleep(Duration::from_millis(50));
        std::mem::replace(&mut before, sent()) == sent()
    });
    let report = server.drain(None);
    assert!(report.duration < TIMEOUT, "{report}");
    assert_eq!(report.cut.get("peer_stalled"), Some(&2), "{report}");
    assert_eq!((report.drained, report.cut_total()), (1, 2), "{report}");
    for peer in &mut stalled {
        assert!(peer.try_read_to_end().is_err(), "a cut reply must end with a reset");
    }
}

#[test]
fn a_body_that_has_stopped_is_answered_before_the_grace_is_over() {
    let server = server();
    let mut peer = connect(&server);
    let before = server.metrics().received_bytes;
    let half = "POST /body HTTP/1.1\r\nHost: t\r\nContent-Length: 4\r\n\r\nha";
    peer.send(half);
    eventually("the request is received", || server.metrics().received_bytes == before + half.len() as u64);
    let report = server.drain(None);
    assert!(report.duration < TIMEOUT, "{report}");
    let reply = peer.reply();
    assert!(reply.status == 408 && reply.closes());
}
