//! HTTP/2 behind ALPN: agreed on, spoken, drained; and not offered where it is off.

use std::{io::Write, sync::Arc, thread, time::Duration};

use windlass::{Limits, Timeouts};

use super::{Served, client::Client};
use crate::common::{eventually, listens};

const HEADERS: u8 = 1;
const GOAWAY: u8 = 7;

/// An empty SETTINGS frame.
const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];

/// A client's preface and first frames: SETTINGS, then a GET on stream 1 (`:path` literal, the rest from the table).
fn first_request(path: &str) -> Vec<u8> {
    let mut block = vec![0x82, 0x87, 0x04, path.len() as u8];
    block.extend_from_slice(path.as_bytes());
    block.extend_from_slice(&[0x41, 4]);
    block.extend_from_slice(b"test");
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
    bytes.extend_from_slice(&[0, 0, block.len() as u8, 1, 0x05, 0, 0, 0, 1]);
    bytes.extend(block);
    bytes
}

fn asking(served: &Served, protocols: &[&str]) -> Client {
    let mut config = (*served.trust).clone();
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    Client::connect(served.address(), &Arc::new(config))
}

#[test]
fn a_client_that_can_do_both_gets_http2() {
    let served = Served::new();
    let mut client = asking(&served, &["http/1.1", "h2"]);
    assert_eq!(client.tls.alpn_protocol(), Some(&b"h2"[..]));
    client.send(first_request("/secure"));
    client.until(b"true");
    client.close();
    client.read_to_end();
    assert!(client.is_told_the_end());
    let session = "windlass_tls_sessions_total{version=\"1.3\",protocol=\"h2\",resumed=\"no\"}";
    assert_eq!(served.metric(session), 1.0);
}

#[test]
fn a_large_reply_on_a_stream_comes_whole_as_windows_allow() {
    let served = Served::new();
    let mut client = asking(&served, &["h2"]);
    let mut bytes = first_request("/large");
    // A window of 16 MiB more for the stream and for the connection.
    for stream in [0, 1] {
        bytes.extend_from_slice(&[0, 0, 4, 8, 0, 0, 0, 0, stream, 1, 0, 0, 0]);
    }
    client.send(bytes);
    let mut data = 0;
    while data < 3 << 20 {
        let frame = client.frame();
        data += if frame.0 == 0 { frame.1 } else { 0 };
    }
    assert_eq!(data, 3 << 20);
}

#[test]
fn where_http2_is_off_it_is_not_offered() {
    let served = Served::with(|builder| builder.http2(false));
    let mut client = asking(&served, &["h2", "http/1.1"]);
    assert_eq!(client.tls.alpn_protocol(), Some(&b"http/1.1"[..]));
    assert_eq!(client.get("/secure").text(), "true");
    let mut config = (*served.trust).clone();
    config.alpn_protocols = vec![b"h2".to_vec()];
    assert!(Client::begin(served.address(), &Arc::new(config)).shake().is_err());
}

#[test]
fn a_drain_says_goodbye_before_close_notify() {
    let served = Served::new();
    let mut client = asking(&served, &["h2"]);
    client.send(first_request("/static"));
    client.until(b"static");
    let report = std::thread::scope(|scope| {
        let drain = scope.spawn(|| served.server.drain(None));
        let goaway = loop {
            let (kind, _) = client.frame();
            if kind == GOAWAY {
                break kind;
            }
        };
        assert_eq!(goaway, GOAWAY);
        client.read_to_end();
        assert!(client.is_told_the_end());
        client.close();
        drop(client);
        drain.join().unwrap()
    });
    assert_eq!(report.cut_total(), 0, "{report}");
}

#[test]
fn who_agreed_on_http2_and_greets_only_while_the_server_drains_is_told_goodbye() {
    let mut timeouts = Timeouts::default();
    timeouts.drain_idle = Duration::from_secs(5);
    let served = Served::with(|builder| builder.timeouts(timeouts));
    let mut client = asking(&served, &["h2"]);
    thread::scope(|scope| {
        let drain = scope.spawn(|| served.server.drain(None));
        eventually("every shard drains", || !listens(&served.address()));
        client.send(first_request("/async?ms=500"));
        let first = loop {
            let (kind, _) = client.frame();
            if matches!(kind, HEADERS | GOAWAY) {
                break kind;
            }
        };
        assert_eq!(first, GOAWAY, "the reply came before any goodbye");
        client.until(b"async");
        drop(client);
        assert_eq!(drain.join().unwrap().cut_total(), 0);
    });
}

#[test]
fn who_never_greets_is_told_nothing_and_no_goodbye_is_counted() {
    let mut timeouts = Timeouts::default();
    timeouts.header = Some(Duration::from_millis(200));
    let served = Served::with(|builder| builder.timeouts(timeouts));
    let mut client = asking(&served, &["h2"]);
    client.read_to_end();
    assert!(client.is_told_the_end());
    assert_eq!(served.metric("windlass_timeouts_total{timer=\"header\"}"), 1.0);
    assert_eq!(served.metric("windlass_http2_goaways_total{cause=\"header\"}"), 0.0);
}

#[test]
fn a_flood_in_many_records_is_one_flood() {
    let mut limits = Limits::default();
    // Half of it is written ahead: the large reply fills that, so that the connection cannot end at once.
    limits.http2.outbound_bytes = 64 * 1024;
    let served = Served::with(|builder| builder.limits(limits));
    let mut client = asking(&served, &["h2"]);
    let mut bytes = Vec::new();
    for plain in [first_request("/large"), SETTINGS.repeat(45), SETTINGS.repeat(5), SETTINGS.repeat(5)] {
        client.tls.writer().write_all(&plain).unwrap();
        bytes.extend(client.sealed());
    }
    client.stream.write_all(&bytes).unwrap();
    while client.frame().0 != GOAWAY {}
    client.read_to_end();
    assert!(client.is_told_the_end());
    assert_eq!(served.metric("windlass_protocol_errors_total{cause=\"h2_settings_flood\"}"), 1.0);
    assert_eq!(served.metric("windlass_http2_goaways_total{cause=\"h2_settings_flood\"}"), 1.0);
}
