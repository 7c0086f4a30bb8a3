//! Hooks and metrics of WebSockets.

use std::sync::{Arc, Mutex};

use windlass::Hooks;

use super::peer::{TEXT, close, echoes, frame, open, opening, read_close, read_text};
use crate::common::{builder, connect, eventually, metric, start};

#[test]
fn hooks_are_called_once_when_a_socket_opens_and_once_when_it_ends() {
    let calls = Arc::new(Mutex::new(Vec::new()));
    let (starts, ends) = (calls.clone(), calls.clone());
    let hooks = Hooks::default()
        .on_start(move |start| starts.lock().unwrap().push(format!("start {}", start.path)))
        .on_end(move |end| {
            let status = end.status.map_or(0, |status| status.as_u16());
            ends.lock()
                .unwrap()
                .push(format!("end {:?} {status} {} {:?}", end.route, end.body_bytes, end.error));
        });
    let server = builder(echoes()).hooks(hooks).start().unwrap();
    let mut peer = open(&server, "/ws?x");
    peer.send(frame(TEXT, "hello"));
    assert_eq!(read_text(&mut peer), "hello");
    assert_eq!(*calls.lock().unwrap(), ["start /ws"]);
    peer.send(close(1000));
    assert_eq!(read_close(&mut peer), 1000);
    peer.expect_close();
    let end = "end Some(\"/ws\") 101 5 None";
    eventually("the end hook was called", || *calls.lock().unwrap() == ["start /ws", end]);
    calls.lock().unwrap().clear();
    open(&server, "/ws").reset();
    let end = "end Some(\"/ws\") 101 0 Some(\"the connection ended before the exchange was complete\")";
    eventually("the end hook was called for the reset", || *calls.lock().unwrap() == ["start /ws", end]);
}

#[test]
fn an_open_socket_its_messages_and_bytes_are_counted() {
    let server = start(echoes());
    let sum = |sample: &str| {
        (0..2).map(|shard| metric(&server, &sample.replace('#', &shard.to_string()))).sum::<f64>()
    };
    let mut peer = open(&server, "/ws");
    peer.send(frame(TEXT, "hello"));
    assert_eq!(read_text(&mut peer), "hello");
    for (sample, expected) in [
        ("windlass_websockets{shard=\"#\"}", 1.0),
        ("windlass_websocket_messages_total{direction=\"in\",shard=\"#\"}", 1.0),
        ("windlass_websocket_messages_total{direction=\"out\",shard=\"#\"}", 1.0),
        ("windlass_websocket_payload_bytes_total{direction=\"in\",shard=\"#\"}", 5.0),
        ("windlass_websocket_payload_bytes_total{direction=\"out\",shard=\"#\"}", 5.0),
        ("windlass_requests_dispatched_total{kind=\"ws\",protocol=\"h1\",shard=\"#\"}", 1.0),
    ] {
        assert_eq!(sum(sample), expected, "{sample}");
    }
    // A connection that has read the metrics is active until its reply is sent.
    eventually("only the socket is active", || {
        sum("windlass_connections{shard=\"#\",state=\"active\"}") == 1.0
    });
    assert_eq!(metric(&server, "windlass_requests_total{route=\"/ws\",method=\"GET\",status=\"1xx\"}"), 1.0);
    peer.send(close(1000));
    assert_eq!(read_close(&mut peer), 1000);
    peer.expect_close();
    eventually("no socket is open", || sum("windlass_websockets{shard=\"#\"}") == 0.0);
    eventually("no connection is active", || {
        sum("windlass_connections{shard=\"#\",state=\"active\"}") == 0.0
    });
}

#[test]
fn a_refused_handshake_counts_as_an_ordinary_request() {
    let server = start(echoes());
    let mut peer = connect(&server);
    peer.send(opening("/ws", "Origin: http://other\r\n"));
    assert_eq!(peer.reply().status, 403);
    assert_eq!(metric(&server, "windlass_requests_total{route=\"/ws\",method=\"GET\",status=\"4xx\"}"), 1.0);
    assert_eq!(metric(&server, "windlass_websocket_refused_total{cause=\"origin\"}"), 1.0);
}
