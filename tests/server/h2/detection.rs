//! Which protocol a connection speaks is told by its first bytes.

use std::time::Duration;

use windlass::{Router, Server, Timeouts, static_route};

use super::frames::{END_HEADERS, END_STREAM, HEADERS, PREFACE, Peer, SETTINGS, block, frame, request};
use crate::common::{self, base_builder, builder, connect, start};

fn routes() -> Router {
    Router::new().route(static_route("/", "root"))
}

fn server() -> Server {
    start(routes())
}

/// What a client that knows may send at once.
fn hello() -> Vec<u8> {
    let head = frame(HEADERS, END_HEADERS | END_STREAM, 1, block(&request("GET", "/")));
    [PREFACE, &frame(SETTINGS, 0, 0, []), &head].concat()
}

#[test]
fn a_preface_is_known_however_it_is_cut() {
    let server = server();
    let hello = hello();
    for cut in (1..PREFACE.len() + 12).chain([hello.len() - 1]) {
        let mut peer = Peer::silent(&server);
        peer.send(&hello[..cut]);
        // What is there has to be read by itself.
        common::eventually("it is read", || server.metrics().received_bytes > 0);
        peer.send(&hello[cut..]);
        assert_eq!(peer.reply(1).status(), 200, "cut at {cut}");
        assert_eq!(peer.body(1), b"root", "cut at {cut}");
    }
}

#[test]
fn a_preface_byte_by_byte_is_one_and_other_bytes_are_http_1() {
    let server = server();
    let mut peer = Peer::silent(&server);
    hello().iter().for_each(|byte| peer.send([*byte]));
    assert_eq!(peer.body(1), b"root");
    let mut old = connect(&server);
    assert_eq!(old.get("/").text(), "root");
    old.send(PREFACE);
    assert_eq!(old.reply().status, 505, "only a connection's first bytes may be the preface");
    old.expect_close();
}

#[test]
fn a_preface_behind_a_proxy_preamble_is_known() {
    let server =
        base_builder().listen_proxied("127.0.0.1:0".parse().unwrap()).router(routes()).start().unwrap();
    for preamble in ["PROXY TCP4 192.0.2.7 192.0.2.1 4711 80\r\n", "PROXY UNKNOWN\r\n"] {
        let mut peer = Peer::silent(&server);
        peer.send([preamble.as_bytes(), &hello()].concat());
        assert_eq!(peer.body(1), b"root", "{preamble:?}");
    }
}

#[test]
fn a_server_that_is_told_to_speaks_no_http_2() {
    let server = builder(routes()).http2(false).start().unwrap();
    let mut peer = connect(&server);
    peer.send(hello());
    let (answer, _) = peer.read_to_close();
    assert!(answer.starts_with(b"HTTP/1.1 505 "), "{}", answer.escape_ascii());
    assert_eq!(connect(&server).get("/").text(), "root");
}

#[test]
fn a_preface_that_is_never_complete_is_answered_408() {
    let mut timeouts = Timeouts::default();
    timeouts.header = Some(Duration::from_millis(200));
    let server = builder(routes()).timeouts(timeouts).start().unwrap();
    for length in [3, 18, 23] {
        let mut peer = connect(&server);
        peer.send(&PREFACE[..length]);
        let (answer, _) = peer.read_to_close();
        assert!(answer.starts_with(b"HTTP/1.1 408 "), "{length}: {}", answer.escape_ascii());
    }
}
