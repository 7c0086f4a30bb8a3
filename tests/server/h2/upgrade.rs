//! `Upgrade: h2c`, and listeners for HTTP/2 only.

use std::time::Duration;

use windlass::{Body, Request, Response, Router, Server, get, post, static_route};

use super::frames::{DATA, HEADERS, PREFACE, Peer, SETTINGS, block, frame, request};
use crate::common::{self, base_builder, builder, metric};

/// The settings of curl: 100 streams, a window of 32 MiB, no pushes.
const SETTINGS_FIELD: &str = "AAMAAABkAAQCAAAAAAIAAAAA";

fn routes() -> Router {
    let describe = |request: Request| {
        let hop =
            ["connection", "upgrade", "http2-settings"].iter().any(|name| request.header(name).is_some());
        let host = request.host().unwrap_or_default().to_owned();
        format!("{:?} {} {host} hop={hop}", request.version(), request.path())
    };
    let echo = |mut request: Request| async move { request.take_body().collect(usize::MAX).await.unwrap() };
    Router::new()
        .route(static_route("/", "root"))
        .route(get("/describe", describe))
        .route(get("/later", describe).run_async())
        .route(post("/echo", echo))
        .route(post("/small", echo).body_limit(10))
        .route(post("/streamed", echo).streamed().run_async())
        .route(get("/pieces", |_: Request| async {
            let (mut sender, body) = Body::channel(1000);
            sender.send("piece".into()).await.unwrap();
            sender.finish();
            Response::new().with_body(body)
        }))
}

fn server() -> Server {
    builder(routes()).h2c_upgrade(true).start().unwrap()
}

fn asking(method: &str, path: &str, more: &str) -> String {
    format!(
        "{method} {path} HTTP/1.1\r\nHost: test\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\
         HTTP2-Settings: {SETTINGS_FIELD}\r\n{more}\r\n"
    )
}

/// The client's half of the switch: its preface.
fn preface() -> Vec<u8> {
    [PREFACE, &frame(SETTINGS, 0, 0, super::frames::settings(&[(1, 0)]))].concat()
}

#[track_caller]
fn switch(peer: &mut Peer) {
    let head = peer.http1_head();
    assert_eq!(head, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n");
    let first = peer.next().unwrap();
    assert_eq!((first.kind, first.flags), (SETTINGS, 0), "the server's preface follows the 101");
}

#[test]
fn a_request_that_asks_for_http_2_is_answered_on_stream_1() {
    let server = server();
    let cases = [
        ("/", "root"),
        ("/describe", "HTTP/2.0 /describe test hop=false"),
        ("/later", "HTTP/2.0 /later test hop=false"),
        ("/pieces", "piece"),
    ];
    for (path, body) in cases {
        let mut peer = Peer::silent(&server);
        peer.send(asking("GET", path, ""));
        switch(&mut peer);
        peer.send(preface());
        assert_eq!(peer.reply(1).status(), 200, "{path}");
        assert_eq!(String::from_utf8(peer.body(1)).unwrap(), body, "{path}");
        peer.get(3, "/describe");
        assert_eq!(peer.body(3), b"HTTP/2.0 /describe test hop=false");
    }
    common::eventually("the connections are counted and gone", || {
        metric(&server, "windlass_http2_connections{shard=\"0\"}") == 0.0
    });
}

#[test]
fn the_body_of_the_request_comes_before_http_2() {
    let server = server();
    let more = "Content-Length: 10\r\nExpect: 100-continue\r\n";
    let mut peer = Peer::silent(&server);
    peer.send(asking("POST", "/echo", more));
    assert_eq!(peer.http1_head(), "HTTP/1.1 100 Continue\r\n\r\n");
    peer.send("01234");
    peer.send("56789");
    switch(&mut peer);
    peer.send(preface());
    assert_eq!(peer.body(1), b"0123456789");
    let mut chunked = Peer::silent(&server);
    chunked.send(asking("POST", "/echo", "Transfer-Encoding: chunked\r\n") + "3\r\nabc\r\n0\r\n\r\n");
    switch(&mut chunked);
    chunked.send(preface());
    assert_eq!(chunked.body(1), b"abc");
}

#[test]
fn bytes_behind_the_request_are_kept() {
    let server = server();
    let head = frame(
        HEADERS,
        super::frames::END_HEADERS | super::frames::END_STREAM,
        3,
        block(&request("GET", "/")),
    );
    let all = [asking("GET", "/describe", "").as_bytes(), &preface(), &head].concat();
    for cut in [all.len(), all.len() - 5, all.len() - head.len(), all.len() - head.len() - 20] {
        let mut peer = Peer::silent(&server);
        peer.send(&all[..cut]);
        switch(&mut peer);
        peer.send(&all[cut..]);
        assert_eq!(peer.body(1), b"HTTP/2.0 /describe test hop=false", "cut at {cut}");
        assert_eq!(peer.body(3), b"root", "cut at {cut}");
    }
}

#[test]
fn head_is_answered_without_a_body() {
    let server = server();
    let mut peer = Peer::silent(&server);
    peer.send(asking("HEAD", "/", ""));
    switch(&mut peer);
    peer.send(preface());
    let reply = peer.reply(1);
    assert!(reply.ends_stream() && reply.status() == 200, "{reply:?}");
}

#[test]
fn an_offer_that_cannot_be_accepted_is_answered_over_http_1() {
    let server = server();
    let valid = asking("GET", "/describe", "");
    let cases = [
        ("no settings", valid.replace("HTTP2-Settings: ", "X: ")),
        ("two settings", valid.replace("\r\n\r\n", "\r\nHTTP2-Settings: \r\n\r\n")),
        ("settings that are not base64url", valid.replace(SETTINGS_FIELD, "AAMAAAB+")),
        ("settings of the wrong length", valid.replace(SETTINGS_FIELD, "AAMAAA")),
        ("a setting that is not valid", valid.replace(SETTINGS_FIELD, "AAIAAAAC")),
        ("settings that Connection does not name", valid.replace("Upgrade, HTTP2-Settings", "Upgrade")),
        (
            "an upgrade that Connection does not name",
            valid.replace("Upgrade, HTTP2-Settings", "HTTP2-Settings"),
        ),
        ("another protocol", valid.replace("Upgrade: h2c", "Upgrade: h2")),
        ("a connection to be closed", valid.replace("Connection: ", "Connection: close, ")),
        ("HTTP/1.0", valid.replace("HTTP/1.1", "HTTP/1.0")),
    ];
    for (what, bytes) in cases {
        let mut peer = common::connect(&server);
        peer.send(bytes);
        let reply = peer.reply();
        assert_eq!((reply.status, reply.text().split(' ').nth(1)), (200, Some("/describe")), "{what}");
    }
    let mut peer = common::connect(&server);
    peer.send(asking("POST", "/streamed", "Content-Length: 3\r\n") + "abc");
    assert_eq!(peer.reply().text(), "abc", "a body that is streamed");
    peer.send(asking("POST", "/small", "Content-Length: 11\r\n") + "01234567890");
    assert_eq!(peer.reply().status, 413, "a body over its limit");
    let mut peer = common::connect(&server);
    peer.send(asking("GET", "/missing", ""));
    assert_eq!(peer.reply().status, 404, "no route");
    assert_eq!(peer.get("/").text(), "root", "the connection goes on");
}

#[test]
fn a_request_that_has_to_wait_for_earlier_replies_stays_on_http_1() {
    let server = server();
    let mut peer = common::connect(&server);
    peer.send("GET /later HTTP/1.1\r\nHost: x\r\n\r\n".to_owned() + &asking("GET", "/describe", ""));
    assert_eq!(peer.reply().text(), "HTTP/1.1 /later x hop=false");
    assert_eq!(peer.reply().text(), "HTTP/1.1 /describe test hop=true");
}

#[test]
fn the_upgrade_is_off_by_default() {
    let server = common::start(routes());
    let mut peer = common::connect(&server);
    peer.send(asking("GET", "/describe", ""));
    assert_eq!(peer.reply().text(), "HTTP/1.1 /describe test hop=true");
}

#[test]
fn a_client_that_goes_on_in_http_1_is_told_so_in_http_2() {
    let server = server();
    let mut peer = Peer::silent(&server);
    peer.send(asking("GET", "/", "") + "GET / HTTP/1.1\r\nHost: test\r\n\r\n");
    switch(&mut peer);
    assert_eq!(peer.goaway(), super::frames::PROTOCOL_ERROR);
}

#[test]
fn a_listener_may_be_for_http_2_only() {
    let only = || "127.0.0.1:0";
    let server = base_builder().listen_http2(only()).router(routes()).http2(false).start().unwrap();
    let mut peer = Peer::connect(&server);
    peer.get(1, "/");
    assert_eq!(peer.body(1), b"root");
    let mut old = Peer::silent(&server);
    old.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
    assert_eq!(old.goaway(), super::frames::PROTOCOL_ERROR);
    let mut waiting = Peer::silent(&server);
    assert_eq!(waiting.next().unwrap().kind, SETTINGS, "the server's preface comes first");

    let proxied = base_builder().listen_proxied_http2(only()).router(routes()).start().unwrap();
    let mut peer = Peer::silent(&proxied);
    peer.send("PROXY TCP4 192.0.2.7 192.0.2.1 4711 80\r\n");
    peer.send(preface());
    peer.get(1, "/");
    assert_eq!(peer.body(1), b"root");
    let mut old = Peer::silent(&proxied);
    old.send("PROXY TCP4 192.0.2.7 192.0.2.1 4711 80\r\nGET / HTTP/1.1\r\n\r\n");
    assert_eq!(old.goaway(), super::frames::PROTOCOL_ERROR);
}

#[test]
fn a_client_without_a_preface_is_cut_after_the_header_timeout() {
    let mut timeouts = common::endless();
    timeouts.header = Some(Duration::from_millis(200));
    let server = builder(routes()).h2c_upgrade(true).timeouts(timeouts).start().unwrap();
    let mut peer = Peer::silent(&server);
    peer.send(asking("GET", "/", ""));
    switch(&mut peer);
    assert_eq!(peer.wait(|frame| frame.kind == DATA).stream, 1);
    peer.goaway();
}
