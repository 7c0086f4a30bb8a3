//! Requests and replies over TLS: pipelined, split over records, large, and with back-pressure.

use std::{io::Write, thread, time::Duration};

use windlass::Tls;

use super::{TlsServer, client::Client, pair, routes, trusting};
use crate::common::{Peer, base_builder, eventually};

#[test]
fn several_requests_share_one_connection() {
    let served = TlsServer::new();
    let mut client = served.client();
    for _ in 0..3 {
        for path in ["/static", "/inline", "/async"] {
            assert_eq!(client.get(path).text(), path[1..]);
        }
        assert_eq!(client.get("/secure").text(), "true");
        assert_eq!(client.post("/echo", b"body").body, b"body");
        assert_eq!(client.get("/nowhere").status, 404);
    }
    let windlass::Listen::Tcp(plain) = served.server.addresses()[1].clone() else { panic!("no TCP address") };
    assert_eq!(Peer::connect(plain).get("/secure").text(), "false");
}

#[test]
fn pipelined_requests_are_answered_in_order_however_records_split_them() {
    let served = TlsServer::new();
    let paths = ["/static", "/async?ms=5", "/inline", "/static", "/async", "/inline"];
    let all: String = paths
        .iter()
        .cycle()
        .take(60)
        .map(|p| format!("GET {p} HTTP/1.1\r\nHost: localhost\r\n\r\n"))
        .collect();
    for record in [1, 7, 100, all.len()] {
        let mut client = served.client();
        for piece in all.as_bytes().chunks(record) {
            client.tls.writer().write_all(piece).unwrap();
        }
        // All records are sent at once.
        let sealed = client.sealed();
        client.stream.write_all(&sealed).unwrap();
        for path in paths.iter().cycle().take(60) {
            assert_eq!(client.reply().text(), path[1..].split('?').next().unwrap(), "records of {record}");
        }
    }
}

#[test]
fn records_split_anywhere_are_reassembled() {
    let served = TlsServer::new();
    let mut client = served.client();
    let body: Vec<u8> = (0..100_000_u32).map(|n| n as u8).collect();
    let head = format!("POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", body.len());
    client.tls.writer().write_all(&[head.as_bytes(), &body].concat()).unwrap();
    let sealed = client.sealed();
    for piece in sealed.chunks(1009) {
        client.stream.write_all(piece).unwrap();
    }
    assert!(client.reply().body == body);
}

#[test]
fn large_bodies_pass_both_ways() {
    let served = TlsServer::new();
    let mut client = served.client();
    assert!(client.get("/large").body == vec![b'l'; 3 << 20]);
    let body: Vec<u8> = (0..5_000_000_u32).map(|n| (n % 251) as u8).collect();
    assert!(client.post("/echo", &body).body == body);
    assert_eq!(client.post("/count", &body).text(), "5000000");
    assert_eq!(client.get("/stream/2000").body.len(), 2000 * 1024);
    assert_eq!(client.get("/static").text(), "static");
}

#[test]
fn a_client_that_stops_reading_pauses_the_server_and_loses_nothing() {
    let served = TlsServer::new();
    let mut client = served.client();
    socket2::SockRef::from(&client.stream).set_recv_buffer_size(64 * 1024).unwrap();
    for _ in 0..40 {
        client.request("GET", "/large");
    }
    let mut before = 0;
    eventually("the server is blocked by back-pressure", || {
        thread::sleep(Duration::from_millis(100));
        let now = served.server.metrics().sent_bytes;
        std::mem::replace(&mut before, now) == now && now > 0
    });
    // The kernel's buffers on both sides, and a few replies committed ahead.
    assert!(before < 24 << 20, "{before} bytes were sent to a client that does not read");
    assert!(served.server.metrics().requests < 20, "{}", served.server.metrics().requests);
    for _ in 0..40 {
        assert_eq!(client.reply().body.len(), 3 << 20);
    }
}

#[test]
fn a_proxy_preamble_comes_before_the_handshake() {
    let (chain, key) = pair("localhost");
    let tls = Tls::from_pem(chain.as_bytes(), key.as_bytes()).unwrap();
    let server = base_builder().router(routes()).listen_proxied_tls("127.0.0.1:0", tls).start().unwrap();
    let address = crate::common::address(&server);
    let trust = std::sync::Arc::new(trusting(&chain));
    let preamble = b"PROXY TCP4 192.0.2.7 192.0.2.1 4711 443\r\n";
    // The preamble and the ClientHello are sent in one piece, and then byte by byte.
    for piece in [usize::MAX, 1] {
        let mut client = Client::begin(address, &trust);
        let first = [&preamble[..], &client.sealed()].concat();
        for piece in first.chunks(piece) {
            client.stream.write_all(piece).unwrap();
        }
        client.shake().unwrap();
        assert_eq!(client.get("/peer").text(), "Some(192.0.2.7:4711)");
    }
    let mut without_preamble = Client::begin(address, &trust);
    assert!(without_preamble.shake().is_err(), "a connection without a preamble must be refused");
}
