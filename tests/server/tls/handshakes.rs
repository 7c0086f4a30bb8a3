//! Handshakes: whatever their pieces, bounded in time and number, refused clearly.

use std::{io::Write, sync::Arc, thread, time::Duration};

use prometheus::core::Collector as _;
use rustls::{HandshakeKind, version};
use windlass::{Limits, Timeouts, actors::Cores};

use super::{
    Served,
    client::{Client, with_versions},
    pair,
};
use crate::common::{End, Peer, eventually};

#[test]
fn a_handshake_and_a_request_come_byte_by_byte() {
    let served = Served::new();
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
fn both_versions_shake_hands_and_resume() {
    let (chain, key) = pair("localhost");
    let served = Served::new();
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
fn every_metric_of_tls_shows_up() {
    let served = Served::new();
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
fn a_handshake_that_takes_too_long_is_ended_and_counted() {
    let mut timeouts = Timeouts::default();
    timeouts.tls_handshake = Some(Duration::from_millis(200));
    let served = Served::with(|builder| builder.timeouts(timeouts));
    let silent = Peer::connect(served.address());
    let mut begun = Client::begin(served.address(), &served.trust);
    let hello = begun.sealed();
    begun.stream.write_all(&hello[..hello.len() / 2]).unwrap();
    let mut stuck = Client::begin(served.address(), &served.trust);
    let hello = stuck.sealed();
    stuck.stream.write_all(&hello).unwrap();
    stuck.read().unwrap();
    for mut peer in [silent, Peer::from_stream(begun.stream), Peer::from_stream(stuck.stream)] {
        let (came, end) = peer.read_to_close();
        assert_eq!((came.len(), end), (0, End::Reset));
    }
    assert_eq!(served.metric("windlass_timeouts_total{timer=\"tls_handshake\"}"), 3.0);
    assert_eq!((served.handshakes("timeout"), served.in_progress()), (2.0, 0.0));
    let mut client = served.client();
    thread::sleep(Duration::from_millis(300));
    assert_eq!(client.get("/static").text(), "static", "the timer outlived the handshake");
}

#[test]
fn plain_http_on_a_tls_port_is_told_so_and_tls_on_a_plain_port_is_refused() {
    let served = Served::new();
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
    assert!(error.to_string().contains("message"), "the plain port's answer is no TLS: {error}");
}

#[test]
fn what_is_no_handshake_gets_an_alert_and_is_counted() {
    let served = Served::new();
    let mut rubbish = Peer::connect(served.address());
    rubbish.send(b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00");
    let came = rubbish.read_to_end();
    assert_eq!((came.len(), came[0]), (7, 21), "no alert: {}", came.escape_ascii());
    assert_eq!(served.handshakes("invalid_message"), 1.0);
    let mut config = (*served.trust).clone();
    config.alpn_protocols = vec![b"spdy/1".to_vec()];
    let error = Client::begin(served.address(), &Arc::new(config)).shake().unwrap_err();
    assert!(error.to_string().contains("NoApplicationProtocol"), "{error}");
    assert_eq!(served.handshakes("no_application_protocol"), 1.0);
    let (stranger, _) = pair("localhost");
    let distrusting = Arc::new(super::trusting(&stranger));
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
fn a_peer_that_leaves_within_the_handshake_is_counted_once() {
    let served = Served::new();
    for leave in [Peer::reset as fn(Peer), |mut peer: Peer| peer.finish()] {
        let mut client = Client::begin(served.address(), &served.trust);
        let hello = client.sealed();
        client.stream.write_all(&hello[..20]).unwrap();
        eventually("it has begun", || served.in_progress() == 1.0);
        leave(Peer::from_stream(client.stream));
        eventually("it has ended", || served.in_progress() == 0.0);
    }
    assert_eq!(served.handshakes("closed"), 2.0);
    eventually("their slots are free", || served.server.metrics().connections <= 1);
}

#[test]
fn handshakes_beyond_the_limit_are_closed_and_those_within_go_on() {
    let mut limits = Limits::default();
    limits.tls_handshakes = 3;
    let served = Served::with(|builder| builder.limits(limits).cores(Cores::Unpinned(1)));
    let mut begun: Vec<_> = (0..3).map(|_| Client::begin(served.address(), &served.trust)).collect();
    let hellos: Vec<_> = begun.iter_mut().map(Client::sealed).collect();
    for (client, hello) in begun.iter_mut().zip(&hellos) {
        client.stream.write_all(&hello[..50]).unwrap();
    }
    eventually("three are in progress", || served.in_progress() == 3.0);
    let mut newest = Peer::connect(served.address());
    newest.send(&hellos[0]);
    assert_eq!(newest.read_to_close().1, End::Reset);
    assert_eq!(served.handshakes("busy"), 1.0);
    for (client, hello) in begun.iter_mut().zip(&hellos) {
        client.stream.write_all(&hello[50..]).unwrap();
        client.shake().unwrap();
        assert_eq!(client.get("/static").text(), "static");
    }
    assert_eq!(served.client().get("/static").text(), "static");
}

#[test]
fn a_storm_of_handshakes_is_served_to_the_last_while_others_are_answered() {
    let served = Served::with(|builder| builder.cores(Cores::Unpinned(1)));
    let mut resident = served.client();
    let storm: Vec<_> = (0..200)
        .map(|_| {
            let mut client = Client::begin(served.address(), &served.trust);
            let hello = client.sealed();
            (client, hello)
        })
        .collect();
    thread::scope(|scope| {
        scope.spawn(|| {
            for (mut client, hello) in storm {
                client.stream.write_all(&hello).unwrap();
                client.shake().unwrap();
                assert_eq!(client.get("/inline").text(), "inline");
            }
        });
        for _ in 0..50 {
            assert_eq!(resident.get("/static").text(), "static");
        }
    });
    assert_eq!((served.handshakes("ok"), served.in_progress()), (201.0, 0.0));
}
