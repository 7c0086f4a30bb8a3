//! HTTP/2 over TLS: ALPN negotiation, requests, drains and floods.

use std::{io::Write, sync::Arc, thread, time::Duration};

use windlass::Limits;

use super::{TlsServer, client::Client};
use crate::common::{endless, eventually, listens};

const HEADERS: u8 = 1;
const GOAWAY: u8 = 7;

/// An empty SETTINGS frame.
const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];

/// Encodes the client preface, SETTINGS, and a GET on stream 1. `:path` and `:authority` are literals, the
/// other fields are indexed.
pub(super) fn first_request(path: &str) -> Vec<u8> {
    let mut block = vec![0x82, 0x87, 0x04, path.len() as u8];
    block.extend_from_slice(path.as_bytes());
    block.extend_from_slice(&[0x41, 4]);
    block.extend_from_slice(b"test");
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
    bytes.extend_from_slice(&[0, 0, block.len() as u8, 1, 0x05, 0, 0, 0, 1]);
    bytes.extend(block);
    bytes
}

pub(super) fn connect_offering(served: &TlsServer, protocols: &[&str]) -> Client {
    let mut config = (*served.trust).clone();
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    Client::connect(served.address(), &Arc::new(config))
}

#[test]
fn a_client_that_offers_both_protocols_gets_http2() {
    let served = TlsServer::new();
    let mut client = connect_offering(&served, &["http/1.1", "h2"]);
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
fn a_large_reply_arrives_complete_within_the_windows() {
    let served = TlsServer::new();
    let mut client = connect_offering(&served, &["h2"]);
    let mut bytes = first_request("/large");
    // Increases the windows of the stream and of the connection by 16 MiB.
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
fn disabled_http2_is_not_negotiated() {
    let served = TlsServer::with(|builder| builder.http2(false));
    let mut client = connect_offering(&served, &["h2", "http/1.1"]);
    assert_eq!(client.tls.alpn_protocol(), Some(&b"http/1.1"[..]));
    assert_eq!(client.get("/secure").text(), "true");
    let mut config = (*served.trust).clone();
    config.alpn_protocols = vec![b"h2".to_vec()];
    assert!(Client::begin(served.address(), &Arc::new(config)).shake().is_err());
}

#[test]
fn a_drain_sends_goaway_before_close_notify() {
    let served = TlsServer::new();
    let mut client = connect_offering(&served, &["h2"]);
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
fn a_client_that_sends_its_preface_during_a_drain_receives_goaway() {
    let mut timeouts = endless();
    timeouts.drain_idle = Duration::from_secs(5);
    let served = TlsServer::with(|builder| builder.timeouts(timeouts));
    let mut client = connect_offering(&served, &["h2"]);
    thread::scope(|scope| {
        let drain = scope.spawn(|| served.server.drain(None));
        eventually("every shard has stopped listening", || !listens(&served.address()));
        client.send(first_request("/async?ms=2000"));
        let first = loop {
            let (kind, _) = client.frame();
            if matches!(kind, HEADERS | GOAWAY) {
                break kind;
            }
        };
        assert_eq!(first, GOAWAY, "GOAWAY must come before the reply");
        client.until(b"async");
        drop(client);
        assert_eq!(drain.join().unwrap().cut_total(), 0);
    });
}

#[test]
fn a_client_that_sends_no_preface_is_closed_without_goaway() {
    let mut timeouts = endless();
    timeouts.header = Some(Duration::from_millis(200));
    let served = TlsServer::with(|builder| builder.timeouts(timeouts));
    let mut client = connect_offering(&served, &["h2"]);
    client.read_to_end();
    assert!(client.is_told_the_end());
    assert_eq!(served.metric("windlass_timeouts_total{timer=\"header\"}"), 1.0);
    assert_eq!(served.metric("windlass_http2_goaways_total{cause=\"header\"}"), 0.0);
}

#[test]
fn a_flood_in_several_records_is_counted_once() {
    let mut limits = Limits::default();
    // The server commits half of this limit ahead. The large reply fills it, so the connection cannot end at
    // once.
    limits.http2.outbound_bytes = 64 * 1024;
    let served = TlsServer::with(|builder| builder.limits(limits));
    let mut client = connect_offering(&served, &["h2"]);
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
