//! Ends of HTTP/2 connections: drained, idle, over their maximum age; and the hooks and metrics of each.

use std::{
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use tokio::sync::Semaphore;
use windlass::{Builder, DrainReport, Hooks, Request, Response, Router, Server, get, post, static_route};

use super::frames::{
    ACK, CANCEL, DATA, END_STREAM, GOAWAY, HEADERS, NO_ERROR, PING, Peer, RST_STREAM, frame, request,
};
use crate::common::{builder, endless, eventually, metric};

const LAST: u32 = 0x7fff_ffff;

/// Starts a server whose route `/waits` waits for a permit of the returned semaphore.
fn start_gated(set: impl FnOnce(Builder) -> Builder) -> (Server, Arc<Semaphore>) {
    let gate = Arc::new(Semaphore::new(0));
    let closed = gate.clone();
    let waits = move |_: Request| {
        let gate = closed.clone();
        async move {
            gate.acquire().await.unwrap().forget();
            "waited"
        }
    };
    let router = Router::new()
        .route(get("/waits", waits).run_async())
        .route(get("/closes", |_: Request| Response::text("last").with_header("connection", "close")))
        .route(get("/panics", |_: Request| -> String { panic!("deliberate panic of the test") }))
        .route(post("/echo", |mut r: Request| r.take_body()))
        .route(static_route("/", "root"));
    (set(builder(router)).start().unwrap(), gate)
}

fn draining(server: Server) -> thread::JoinHandle<DrainReport> {
    thread::spawn(move || server.drain(None))
}

#[test]
fn a_drain_sends_two_goaways_and_loses_no_request() {
    let (server, gate) = start_gated(|builder| builder);
    let mut peer = Peer::connect(&server);
    peer.get(1, "/waits");
    eventually("the job runs", || metric(&server, "windlass_pool_running_jobs{lane=\"async\"}") == 1.0);
    eventually("the connections of the metric queries are closed", || server.metrics().connections == 1);
    let drained = draining(server);
    let first = peer.wait(|frame| frame.kind == GOAWAY);
    assert_eq!((first.last_stream(), first.code()), (LAST, NO_ERROR));
    let ping = peer.wait(|frame| frame.kind == PING);
    // The request is in flight when the server sends its first GOAWAY.
    peer.get(3, "/");
    assert_eq!(peer.body(3), b"root");
    peer.send(frame(PING, ACK, 0, &ping.payload));
    let second = peer.wait(|frame| frame.kind == GOAWAY);
    assert_eq!((second.last_stream(), second.code()), (3, NO_ERROR));
    gate.add_permits(1);
    assert_eq!(peer.body(1), b"waited");
    assert_eq!(peer.next(), None, "the connection must end after its last stream");
    let report = drained.join().unwrap();
    assert_eq!((report.drained, report.cut.len()), (1, 0), "{report}");
}

#[test]
fn a_drain_does_not_wait_for_an_idle_client() {
    let (server, _) = start_gated(|builder| builder);
    let mut peer = Peer::connect(&server);
    peer.get(1, "/");
    assert_eq!(peer.body(1), b"root");
    let drained = draining(server);
    // The client does not answer the PING, but still receives both GOAWAYs.
    let mut goaways = Vec::new();
    while let Some(frame) = peer.next() {
        if frame.kind == GOAWAY {
            goaways.push((frame.last_stream(), frame.code()));
        }
    }
    assert_eq!(goaways, [(LAST, NO_ERROR), (1, NO_ERROR)]);
    drop(peer);
    let report = drained.join().unwrap();
    assert_eq!((report.drained, report.cut.len()), (1, 0), "{report}");
}

#[test]
fn a_stream_that_outlives_the_grace_is_cut_and_reported() {
    let (server, _gate) = start_gated(|builder| builder);
    let mut peer = Peer::connect(&server);
    peer.get(1, "/waits");
    eventually("the job runs", || metric(&server, "windlass_pool_running_jobs{lane=\"async\"}") == 1.0);
    let report = server.drain(Some(Duration::from_millis(200)));
    assert_eq!(report.cut.get("handler_running"), Some(&1), "{report}");
}

#[test]
fn a_stream_that_waits_for_its_window_is_reset_early_at_a_drain() {
    let mut timeouts = endless();
    timeouts.drain_stall = Some(Duration::from_millis(300));
    let router = Router::new().route(get("/large", |_: Request| vec![b'x'; 1 << 20]));
    let server = builder(router).timeouts(timeouts).start().unwrap();
    let mut peer = Peer::connect(&server);
    peer.get(1, "/large");
    let mut received = 0;
    // All that the initial window permits.
    while received < 65_535 {
        received += peer.wait(|frame| frame.kind == DATA).payload.len();
    }
    let report = server.drain(None);
    assert!(report.duration < crate::common::TIMEOUT && report.cut_total() == 0, "{report}");
    let reset = peer.wait(|frame| frame.kind == RST_STREAM);
    assert_eq!((reset.stream, reset.code()), (1, CANCEL));
}

#[test]
fn an_idle_connection_receives_goaway_before_it_ends() {
    let mut timeouts = endless();
    timeouts.keep_alive = Some(Duration::from_secs(1));
    let (server, gate) = start_gated(|builder| builder.timeouts(timeouts));
    let mut peer = Peer::connect(&server);
    peer.get(1, "/waits");
    thread::sleep(Duration::from_millis(1500));
    gate.add_permits(1);
    assert_eq!(peer.body(1), b"waited", "a stream in progress must keep the connection");
    // A PING does not keep an idle connection open.
    peer.send(frame(PING, 0, 0, [0; 8]));
    let goaway = peer.wait(|frame| frame.kind == GOAWAY);
    assert_eq!((goaway.last_stream(), goaway.code()), (1, NO_ERROR));
    assert_eq!(peer.next(), None);
    assert_eq!(metric(&server, "windlass_http2_goaways_total{cause=\"keep_alive\"}"), 1.0);
}

#[test]
fn old_connections_and_those_closed_by_a_handler_end_with_two_goaways() {
    let mut timeouts = endless();
    timeouts.age = Some(Duration::from_millis(100));
    let (server, _) = start_gated(|builder| builder.timeouts(timeouts));
    let (young, _) = start_gated(|builder| builder);
    thread::sleep(Duration::from_millis(1));
    for (server, path, cause) in [(&server, "/", "age"), (&young, "/closes", "handler")] {
        let mut peer = Peer::connect(server);
        thread::sleep(Duration::from_millis(150));
        peer.get(1, path);
        let mut frames = Vec::new();
        while let Some(frame) = peer.next() {
            if frame.kind == PING && frame.flags & ACK == 0 {
                peer.send(self::frame(PING, ACK, 0, &frame.payload));
            }
            frames.push(frame);
        }
        let goaways: Vec<_> = frames.iter().filter(|f| f.kind == GOAWAY).map(|f| f.last_stream()).collect();
        assert_eq!(goaways, [LAST, 1], "{cause}");
        assert!(frames.iter().any(|f| f.kind == HEADERS && f.status() == 200), "{cause}");
        assert_eq!(metric(server, &format!("windlass_http2_goaways_total{{cause=\"{cause}\"}}")), 1.0);
    }
}

#[test]
fn each_request_calls_both_hooks_once_however_it_ends() {
    let lines: Arc<Mutex<Vec<String>>> = Arc::default();
    let (starts, ends) = (lines.clone(), lines.clone());
    let hooks = Hooks::default()
        .on_start(move |start| starts.lock().unwrap().push(format!("> {} {}", start.method, start.path)))
        .on_end(move |end| {
            let status = end.status.map_or(0, |status| status.as_u16());
            let line = format!("< {} {status} {} {}", end.path, end.body_bytes, end.error.unwrap_or("-"));
            ends.lock().unwrap().push(line);
        });
    let (server, gate) = start_gated(|builder| builder.hooks(hooks));
    let take = |count: usize| {
        eventually("all hooks were called", || lines.lock().unwrap().len() >= count);
        let mut lines = std::mem::take(&mut *lines.lock().unwrap());
        lines.sort();
        lines
    };
    let mut peer = Peer::connect(&server);
    peer.get(1, "/");
    assert_eq!(peer.body(1), b"root");
    peer.get(3, "/missing");
    peer.reply(3);
    peer.get(5, "/panics");
    peer.reply(5);
    gate.add_permits(1);
    peer.get(7, "/waits");
    assert_eq!(peer.body(7), b"waited");
    assert_eq!(
        take(8),
        [
            "< / 200 4 -",
            "< /missing 404 31 -",
            "< /panics 500 42 the handler panicked",
            "< /waits 200 6 -",
            "> GET /",
            "> GET /missing",
            "> GET /panics",
            "> GET /waits"
        ]
    );
    peer.get(9, "/waits");
    peer.headers(11, &request("POST", "/echo"), false);
    peer.headers(13, &request("POST", "/echo"), false);
    peer.send(frame(DATA, 0, 13, b"part"));
    assert_eq!(take(3).len(), 3);
    peer.send(frame(RST_STREAM, 0, 9, CANCEL.to_be_bytes()));
    assert_eq!(take(1), ["< /waits 0 0 the connection ended before the exchange was complete"]);
    peer.send(frame(DATA, END_STREAM, 11, b"abc"));
    assert_eq!(peer.body(11), b"abc");
    peer.reset_connection();
    assert_eq!(
        take(2),
        ["< /echo 0 0 the connection ended before the exchange was complete", "< /echo 200 3 -"]
    );
}

#[test]
fn open_connections_and_streams_are_counted() {
    let (server, gate) = start_gated(|builder| builder);
    let summed =
        |name: &str| -> f64 { (0..2).map(|s| metric(&server, &format!("{name}{{shard=\"{s}\"}}"))).sum() };
    let mut peer = Peer::connect(&server);
    (1..11).step_by(2).for_each(|id| peer.get(id, "/waits"));
    eventually("five streams are open", || summed("windlass_http2_streams") == 5.0);
    assert_eq!(summed("windlass_http2_connections"), 1.0);
    peer.send(frame(RST_STREAM, 0, 1, CANCEL.to_be_bytes()));
    eventually("one stream was reset", || {
        metric(&server, "windlass_http2_resets_total{cause=\"peer\"}") == 1.0
    });
    gate.add_permits(4);
    eventually("no stream is open", || summed("windlass_http2_streams") == 0.0);
    peer.reset_connection();
    eventually("the connection is closed", || summed("windlass_http2_connections") == 0.0);
}
