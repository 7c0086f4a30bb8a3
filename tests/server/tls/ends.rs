//! Ends of TLS connections: with and without `close_notify`, by broken records, and during a drain.

use std::{
    io::{Read, Write},
    mem, thread,
    time::Duration,
};

use super::TlsServer;
use crate::common::{End, Peer, TIMEOUT, endless, eventually};

#[test]
fn requests_before_close_notify_are_still_answered() {
    let served = TlsServer::new();
    let mut client = served.client();
    client.request("GET", "/async?ms=50");
    client.close();
    assert_eq!(client.reply().text(), "async");
    assert!(client.read_to_end().is_empty());
    assert!(client.is_told_the_end(), "the server must answer with close_notify");
}

#[test]
fn a_fin_without_close_notify_ends_the_connection_and_truncated_bodies_are_not_handled() {
    let served = TlsServer::new();
    let mut client = served.client();
    client.request("GET", "/inline");
    client.finish();
    assert_eq!(client.reply().text(), "inline");
    client.read_to_end();
    assert!(client.is_told_the_end());
    let mut client = served.client();
    let before = served.server.metrics().requests;
    client.send("POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nhalf");
    client.finish();
    assert!(client.read_to_end().is_empty(), "a truncated body must not be handled");
    assert_eq!(served.server.metrics().requests, before);
}

#[test]
fn bytes_after_close_notify_are_ignored() {
    let served = TlsServer::new();
    let mut client = served.client();
    client.request("GET", "/async?ms=20");
    client.tls.send_close_notify();
    let mut bytes = client.sealed();
    bytes.extend_from_slice(b"\x17\x03\x03\x00\x20GET /inline HTTP/1.1 unsealed...");
    client.stream.write_all(&bytes).unwrap();
    assert_eq!(client.reply().text(), "async");
    assert!(client.read_to_end().is_empty());
    assert!(client.is_told_the_end());
    assert_eq!(served.metric("windlass_protocol_errors_total{cause=\"tls_record\"}"), 0.0);
}

#[test]
fn a_last_reply_of_any_size_is_complete_and_followed_by_close_notify() {
    let served = TlsServer::new();
    for path in ["/static", "/large", "/stream/500"] {
        let mut client = served.client();
        client.send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"));
        let reply = client.reply();
        assert!(reply.closes() && !reply.body.is_empty());
        assert!(client.read_to_end().is_empty());
        assert!(client.is_told_the_end(), "{path}: the reply must be followed by close_notify");
        client.close();
    }
    // A body that only the end of the connection delimits.
    let mut client = served.client();
    client.send("GET /stream/300 HTTP/1.0\r\n\r\n");
    let all = client.read_to_end();
    assert_eq!(all.len() - all.windows(4).position(|w| w == b"\r\n\r\n").unwrap() - 4, 300 * 1024);
    assert!(client.is_told_the_end());
}

#[test]
fn a_broken_record_ends_the_connection_with_an_alert() {
    let served = TlsServer::new();
    let mut client = served.client();
    client.tls.writer().write_all(b"GET /static HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut bytes = client.sealed();
    *bytes.last_mut().unwrap() ^= 1;
    client.stream.write_all(&bytes).unwrap();
    let error = client.try_reply().unwrap_err();
    assert!(error.to_string().contains("BadRecordMac"), "{error}");
    assert_eq!(served.metric("windlass_protocol_errors_total{cause=\"tls_record\"}"), 1.0);
}

#[test]
fn a_broken_record_ends_a_connection_with_a_pending_reply() {
    let mut timeouts = endless();
    timeouts.linger = Duration::from_millis(100);
    let served = TlsServer::with(|builder| builder.timeouts(timeouts));
    let mut client = served.client();
    client.request("GET", "/stream/65536");
    let sent = || served.server.metrics().sent_bytes;
    let mut before = 0;
    eventually("the server is blocked by back-pressure", || {
        thread::sleep(Duration::from_millis(50));
        mem::replace(&mut before, sent()) == sent() && sent() > 100_000
    });
    client.tls.writer().write_all(b"GET /static HTTP/1.1\r\n").unwrap();
    let mut bytes = client.sealed();
    *bytes.last_mut().unwrap() ^= 1;
    client.stream.write_all(&bytes).unwrap();
    eventually("the broken record is counted", || {
        served.metric("windlass_protocol_errors_total{cause=\"tls_record\"}") == 1.0
    });
    // Reading the pending data makes room for more of the reply, which must not keep the connection open.
    while client.stream.read(&mut [0; 64 * 1024]).unwrap() > 0 {}
    eventually("the connection is closed", || served.server.metrics().connections == 0);
}

#[test]
fn an_idle_connection_is_closed_with_close_notify() {
    let mut timeouts = endless();
    timeouts.keep_alive = Some(Duration::from_millis(200));
    let served = TlsServer::with(|builder| builder.timeouts(timeouts));
    let mut fresh = served.client();
    let mut used = served.client();
    used.get("/static");
    for client in [&mut fresh, &mut used] {
        assert!(client.read_to_end().is_empty());
        assert!(client.is_told_the_end());
    }
}

#[test]
fn a_drain_answers_running_requests_and_closes_idle_connections_cleanly() {
    let served = TlsServer::new();
    let mut idle = served.client();
    idle.get("/static");
    let mut busy = served.client();
    busy.request("GET", "/async?ms=2000");
    let silent = Peer::connect(served.address());
    eventually("the job runs", || served.server.pool().is_some_and(|pool| pool.stats().jobs.running == 1));
    thread::scope(|scope| {
        let drain = scope.spawn(|| served.server.drain(None));
        let reply = busy.reply();
        assert_eq!((reply.text().as_str(), reply.closes()), ("async", true));
        for client in [&mut idle, &mut busy] {
            assert!(client.read_to_end().is_empty());
            assert!(client.is_told_the_end());
            client.close();
        }
        let mut silent = silent;
        assert_eq!(silent.read_to_close(), (Vec::new(), End::Fin));
        drop((idle, busy, silent));
        let report = drain.join().unwrap();
        assert_eq!((report.cut_total(), report.drained >= 3), (0, true), "{report}");
        assert!(report.duration < TIMEOUT, "{report}");
    });
}

#[test]
fn a_drain_under_load_fails_no_request() {
    let served = TlsServer::new();
    let faults: Vec<String> = thread::scope(|scope| {
        let send_requests = |index: usize| {
            let mut client = served.client();
            let path = ["/static", "/inline", "/async?ms=3"][index % 3];
            loop {
                match client.try_get(path) {
                    Ok(None) => return None,
                    Ok(Some(reply)) if reply.closes() => return None,
                    Ok(Some(reply)) if reply.status == 200 => {}
                    Ok(Some(reply)) => return Some(format!("{path}: {}", reply.status)),
                    Err(error) => return Some(format!("{path}: {error}")),
                }
            }
        };
        let clients: Vec<_> = (0..9).map(|index| scope.spawn(move || send_requests(index))).collect();
        eventually("all clients send requests", || served.server.metrics().requests > 300);
        let report = served.server.drain(None);
        assert_eq!(report.cut_total(), 0, "{report}");
        clients.into_iter().filter_map(|client| client.join().unwrap()).collect()
    });
    assert!(faults.is_empty(), "{faults:?}");
}
