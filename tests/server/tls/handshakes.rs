//! TLS handshakes: split input, time and number limits, and rejections.

use std::{io::Write, sync::Arc, thread, time::Duration};

use prometheus::core::Collector as _;
use rustls::{HandshakeKind, version};
use windlass::{Limits, actors::Cores};

use super::{
    TlsServer,
    client::{Client, with_versions},
    pair,
};
use crate::common::{End, Peer, endless, eventually};

#[test]
fn a_handshake_and_a_request_may_arrive_byte_by_byte() {
    let served = TlsServer::new();
    let mut client = Client::begin(served.address(), &served.trust);
    while client.tls.is_handshaking() {
        for byte in client.sealed() {
            client.stream.write_all(&[byte]).unwrap();
        }
        if client.tls.is_handshaking() {
            client.read().unwrap();
        }
    }
    client.tls.writer().write_all(b"GET /inline HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    for byte in client.sealed() {
        client.stream.write_all(&[byte]).unwrap();
    }
    assert_eq!(client.reply().text(), "inline");
    assert_eq!((served.handshakes("ok"), served.in_progress()), (1.0, 0.0));
}

#[test]
fn both_versions_complete_handshakes_and_resume_sessions() {
    let (chain, key) = pair("localhost");
    let served = TlsServer::new();
    served.tls.replace(chain.as_bytes(), key.as_bytes()).unwrap();
    for (version, name) in [(&version::TLS12, "1.2"), (&version::TLS13, "1.3")] {
        let mut config = with_versions(&chain, &[version]);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let config = Arc::new(config);
        for resumed in [false, true, true] {
            let mut client = Client::connect(served.address(), &config);
            assert_eq!(client.get("/inline").text(), "inline");
            let kind = client.tls.handshake_kind().unwrap();
            assert_eq!(kind == HandshakeKind::Resumed, resumed, "{name}: {kind:?}");
            assert_eq!(client.tls.alpn_protocol(), Some(&b"http/1.1"[..]));
        }
        let sessions = |resumed| {
            let labels = format!("version=\"{name}\",protocol=\"http/1.1\",resumed=\"{resumed}\"");
            served.metric(&format!("windlass_tls_sessions_total{{{labels}}}"))
        };
        assert_eq!((sessions("no"), sessions("yes")), (1.0, 2.0));
    }
}

#[test]
fn every_tls_metric_is_on_the_page() {
    let served = TlsServer::new();
    served.client().get("/static");
    let page = served.client().get("/metrics").text();
    let catalog = served.server.collector().desc().iter().map(|d| d.fq_name.clone()).collect::<Vec<_>>();
    let names: Vec<_> = catalog.iter().filter(|name| name.starts_with("windlass_tls_")).collect();
    assert_eq!(names.len(), 4);
    for name in names {
        assert!(page.contains(&format!("\n{name}{{")), "no {name} in {page}");
    }
}

#[test]
fn a_handshake_over_its_timeout_is_reset_and_counted() {
    let mut timeouts = endless();
    timeouts.tls_handshake = Some(Duration::from_millis(200));
    let served = TlsServer::with(|builder| builder.timeouts(timeouts));
    let silent = Peer::connect(served.address());
    let mut partial = Client::begin(served.address(), &served.trust);
    let hello = partial.sealed();
    partial.stream.write_all(&hello[..hello.len() / 2]).unwrap();
    let mut unfinished = Client::begin(served.address(), &served.trust);
    let hello = unfinished.sealed();
    unfinished.stream.write_all(&hello).unwrap();
    unfinished.read().unwrap();
    for mut peer in [silent, Peer::from_stream(partial.stream), Peer::from_stream(unfinished.stream)] {
        let (received, end) = peer.read_to_close();
        assert_eq!((received.len(), end), (0, End::Reset));
    }
    assert_eq!(served.metric("windlass_timeouts_total{timer=\"tls_handshake\"}"), 3.0);
    assert_eq!((served.handshakes("timeout"), served.in_progress()), (2.0, 0.0));
    let mut client = served.client();
    thread::sleep(Duration::from_millis(300));
    assert_eq!(client.get("/static").text(), "static", "the handshake timer must stop after the handshake");
}

#[test]
fn plain_http_on_a_tls_port_gets_an_explanation_and_tls_on_a_plain_port_fails() {
    let served = TlsServer::new();
    let mut plain = Peer::connect(served.address());
    let reply = plain.get("/static");
    assert_eq!((reply.status, reply.closes()), (400, true));
    assert!(reply.text().contains("HTTPS"), "{}", reply.text());
    plain.expect_close();
    assert_eq!(served.handshakes("plain_http"), 1.0);
    let windlass::Listen::Tcp(address) = served.server.addresses()[1].clone() else {
        panic!("no TCP address")
    };
    let mut client = Client::begin(address, &served.trust);
    let error = client.shake().unwrap_err();
    assert!(error.to_string().contains("message"), "a plain HTTP reply must fail the handshake: {error}");
}

#[test]
fn failed_handshakes_get_an_alert_and_are_counted_by_cause() {
    let served = TlsServer::new();
    let mut malformed = Peer::connect(served.address());
    malformed.send(b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00");
    let received = malformed.read_to_end();
    assert_eq!((received.len(), received[0]), (7, 21), "expected an alert, got {}", received.escape_ascii());
    assert_eq!(served.handshakes("invalid_message"), 1.0);
    let mut config = (*served.trust).clone();
    config.alpn_protocols = vec![b"spdy/1".to_vec()];
    let error = Client::begin(served.address(), &Arc::new(config)).shake().unwrap_err();
    assert!(error.to_string().contains("NoApplicationProtocol"), "{error}");
    assert_eq!(served.handshakes("no_application_protocol"), 1.0);
    let (other_chain, _) = pair("localhost");
    let distrusting = Arc::new(super::trusting(&other_chain));
    let mut client = Client::begin(served.address(), &distrusting);
    client.shake().unwrap_err();
    let alert = client.sealed();
    client.stream.write_all(&alert).unwrap();
    eventually("the client's alert is counted", || {
        served.handshakes("alert_unknown_ca") + served.handshakes("alert_bad_certificate") == 1.0
    });
    assert_eq!(served.in_progress(), 0.0);
}

#[test]
fn a_disconnect_during_the_handshake_is_counted_once() {
    let served = TlsServer::new();
    for leave in [Peer::reset as fn(Peer), |mut peer: Peer| peer.finish()] {
        let mut client = Client::begin(served.address(), &served.trust);
        let hello = client.sealed();
        client.stream.write_all(&hello[..20]).unwrap();
        eventually("the handshake is in progress", || served.in_progress() == 1.0);
        leave(Peer::from_stream(client.stream));
        eventually("the handshake has ended", || served.in_progress() == 0.0);
    }
    assert_eq!(served.handshakes("closed"), 2.0);
    eventually("the connections are closed", || served.server.metrics().connections <= 1);
}

#[test]
fn at_the_limit_the_handshake_that_is_silent_for_longest_makes_room() {
    at_the_limit(|limits| limits.tls_handshakes = 3);
}

#[test]
fn at_the_limit_of_an_address_one_of_its_handshakes_makes_room() {
    at_the_limit(|limits| limits.tls_handshakes_per_address = 3);
}

fn at_the_limit(set: impl FnOnce(&mut Limits)) {
    let mut limits = Limits::default();
    set(&mut limits);
    let served = TlsServer::with(|builder| builder.limits(limits).cores(Cores::Unpinned(1)));
    let mut partial: Vec<_> = (0..3).map(|_| Client::begin(served.address(), &served.trust)).collect();
    let hellos: Vec<_> = partial.iter_mut().map(Client::sealed).collect();
    for (client, hello) in partial.iter_mut().zip(&hellos) {
        client.stream.write_all(&hello[..50]).unwrap();
    }
    eventually("three are in progress", || served.in_progress() == 3.0);
    // The first one is not the one that was silent for longest any more.
    let received = served.server.metrics().received_bytes;
    partial[0].stream.write_all(&hellos[0][50..60]).unwrap();
    eventually("its bytes are received", || served.server.metrics().received_bytes >= received + 10);
    assert_eq!(served.client().get("/static").text(), "static", "a new client is served");
    let dropped = partial.remove(1);
    assert_eq!(Peer::from_stream(dropped.stream).read_to_close().1, End::Reset);
    assert_eq!((served.handshakes("dropped"), served.handshakes("busy")), (1.0, 0.0));
    partial[0].stream.write_all(&hellos[0][60..]).unwrap();
    partial[1].stream.write_all(&hellos[2][50..]).unwrap();
    for client in &mut partial {
        client.shake().unwrap();
        assert_eq!(client.get("/static").text(), "static");
    }
    assert_eq!(served.client().get("/static").text(), "static");
}

#[test]
fn a_burst_of_handshakes_succeeds_while_established_connections_are_served() {
    let served = TlsServer::with(|builder| builder.cores(Cores::Unpinned(1)));
    let mut established = served.client();
    let clients: Vec<_> = (0..200)
        .map(|_| {
            let mut client = Client::begin(served.address(), &served.trust);
            let hello = client.sealed();
            (client, hello)
        })
        .collect();
    thread::scope(|scope| {
        scope.spawn(|| {
            for (mut client, hello) in clients {
                client.stream.write_all(&hello).unwrap();
                client.shake().unwrap();
                assert_eq!(client.get("/inline").text(), "inline");
            }
        });
        for _ in 0..50 {
            assert_eq!(established.get("/static").text(), "static");
        }
    });
    assert_eq!((served.handshakes("ok"), served.in_progress()), (201.0, 0.0));
}
