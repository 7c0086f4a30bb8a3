//! Protocol detection by the first bytes of a connection.

use std::time::Duration;

use windlass::{Router, Server, static_route};

use super::frames::{END_HEADERS, END_STREAM, HEADERS, PREFACE, Peer, SETTINGS, block, frame, request};
use crate::common::{self, base_builder, builder, connect, endless, start};

fn routes() -> Router {
    Router::new().route(static_route("/", "root"))
}

fn server() -> Server {
    start(routes())
}

/// Returns the preface, SETTINGS and a first request, as a client with prior knowledge sends them.
fn client_opening() -> Vec<u8> {
    let head = frame(HEADERS, END_HEADERS | END_STREAM, 1, block(&request("GET", "/")));
    [PREFACE, &frame(SETTINGS, 0, 0, []), &head].concat()
}

#[test]
fn a_preface_is_detected_however_it_is_split() {
    let server = server();
    let client_opening = client_opening();
    for cut in (1..PREFACE.len() + 12).chain([client_opening.len() - 1]) {
        let mut peer = Peer::silent(&server);
        peer.send(&client_opening[..cut]);
        // The first part must be read separately.
        common::eventually("the first part is read", || server.metrics().received_bytes > 0);
        peer.send(&client_opening[cut..]);
        assert_eq!(peer.reply(1).status(), 200, "cut at {cut}");
        assert_eq!(peer.body(1), b"root", "cut at {cut}");
    }
}

#[test]
fn a_preface_sent_byte_by_byte_is_detected_and_other_bytes_are_http_1() {
    let server = server();
    let mut peer = Peer::silent(&server);
    client_opening().iter().for_each(|byte| peer.send([*byte]));
    assert_eq!(peer.body(1), b"root");
    let mut old = connect(&server);
    assert_eq!(old.get("/").text(), "root");
    old.send(PREFACE);
    assert_eq!(old.reply().status, 505, "a preface after the first request must be refused");
    old.expect_close();
}

#[test]
fn a_preface_after_a_proxy_preamble_is_detected() {
    let server = base_builder().listen_proxied("127.0.0.1:0").router(routes()).start().unwrap();
    for preamble in ["PROXY TCP4 192.0.2.7 192.0.2.1 4711 80\r\n", "PROXY UNKNOWN\r\n"] {
        let mut peer = Peer::silent(&server);
        peer.send([preamble.as_bytes(), &client_opening()].concat());
        assert_eq!(peer.body(1), b"root", "{preamble:?}");
    }
}

#[test]
fn http_2_can_be_disabled() {
    let server = builder(routes()).http2(false).start().unwrap();
    let mut peer = connect(&server);
    peer.send(client_opening());
    let (answer, _) = peer.read_to_close();
    assert!(answer.starts_with(b"HTTP/1.1 505 "), "{}", answer.escape_ascii());
    assert_eq!(connect(&server).get("/").text(), "root");
}

#[test]
fn an_incomplete_preface_is_answered_408() {
    let mut timeouts = endless();
    timeouts.header = Some(Duration::from_millis(200));
    let server = builder(routes()).timeouts(timeouts).start().unwrap();
    for length in [3, 18, 23] {
        let mut peer = connect(&server);
        peer.send(&PREFACE[..length]);
        let (answer, _) = peer.read_to_close();
        assert!(answer.starts_with(b"HTTP/1.1 408 "), "{length}: {}", answer.escape_ascii());
    }
}
