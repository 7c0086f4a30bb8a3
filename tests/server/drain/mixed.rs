//! Drains under mixed load: no accepted request is lost, the report adds up, and readiness turns false first.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    thread,
    time::Duration,
};

use windlass::{Server, broker::Broker, topic_routes};

use super::{assert_quick_and_clean, routes};
use crate::{
    common::{Peer, address, builder, eventually},
    topics::client::Client as Subscriber,
};

const ROUNDS: usize = 20;
/// HTTP/1.1 connections with one request at a time.
const HTTP1_CLIENTS: usize = 12;
const SUBSCRIBERS: usize = 6;
const PIPELINE: usize = 8;
/// HTTP/2 connections with several requests at a time.
const HTTP2_CLIENTS: usize = if cfg!(feature = "http2") { 4 } else { 0 };
/// WebSockets: half of them echo, the others subscribe to a topic.
const SOCKETS: usize = if cfg!(feature = "ws") { 6 } else { 0 };
const ALL: usize = HTTP1_CLIENTS + 2 + SUBSCRIBERS + HTTP2_CLIENTS + SOCKETS;

/// State shared by the clients of one round.
struct RoundState<'a> {
    server: &'a Server,
    address: SocketAddr,
    /// Number of complete replies.
    answered: AtomicUsize,
    /// Number of open event streams and WebSockets.
    open_streams: AtomicUsize,
}

impl RoundState<'_> {
    /// Counts a stream or socket that stays open until the server ends it.
    fn note_open_stream(&self) {
        self.count_replies(1);
        self.open_streams.fetch_add(1, Relaxed);
    }

    fn count_replies(&self, replies: usize) {
        self.answered.fetch_add(replies, Relaxed);
    }

    /// Asserts that the server closes a connection only after readiness has turned false.
    #[track_caller]
    fn assert_draining(&self) {
        assert!(!self.server.is_ready(), "the server must not close connections while it is ready");
    }

    /// Sends requests on one connection until it ends cleanly.
    fn send_requests(&self, request: &str) {
        let mut peer = Peer::connect(self.address);
        loop {
            match peer.try_exchange(request).unwrap_or_else(|error| panic!("{request:.30}: {error}")) {
                None => return self.assert_draining(),
                Some(reply) => {
                    let is_probe = request.contains("/readyz");
                    match reply.status {
                        200 | 202 => {}
                        // Topics refuse events once the server drains.
                        503 if is_probe || request.contains("/topics/") => self.assert_draining(),
                        status => panic!("{request:.30}: {status}"),
                    }
                    self.count_replies(1);
                    if reply.closes() {
                        assert!(!is_probe || reply.status == 503, "the last readiness reply must be 503");
                        return self.assert_draining();
                    }
                }
            }
        }
    }

    /// Sends several requests at once. Requests after the reply with `Connection: close` get no reply.
    fn pipeline(&self) {
        let mut peer = Peer::connect(self.address);
        let requests = "GET /async?ms=1 HTTP/1.1\r\nHost: t\r\n\r\nGET /inline HTTP/1.1\r\nHost: t\r\n\r\n"
            .repeat(PIPELINE / 2);
        loop {
            let mut bytes = requests.as_str();
            for _ in 0..PIPELINE {
                let Some(reply) = peer.try_exchange(std::mem::take(&mut bytes)).unwrap() else {
                    return self.assert_draining();
                };
                assert_eq!(reply.status, 200);
                self.count_replies(1);
                if reply.closes() {
                    return self.assert_draining();
                }
            }
        }
    }

    /// Subscribes to a topic until the server ends the stream with a `retry` hint.
    fn subscribe(&self) {
        let mut subscriber = Subscriber::from_peer(Peer::connect(self.address), "/topics/mixed", None);
        self.note_open_stream();
        let back = subscriber.retry_at_end();
        self.assert_draining();
        assert!(back.is_some_and(|back| back >= Duration::from_millis(500)), "{back:?}");
    }

    /// Sends several HTTP/2 requests at a time until the server sends GOAWAY. Only requests that the server
    /// did not start may remain unanswered.
    #[cfg(feature = "http2")]
    fn multiplex(&self, path: &str) {
        use crate::h2::client::{Client, read, request};
        let client = Client::connect_to(self.address, ::h2::client::Builder::new());
        loop {
            let mut responses = Vec::new();
            for _ in 0..4 {
                let Ok(mut send) = client.wait(client.send.clone().ready()) else { break };
                match send.send_request(request(http::Method::GET, path), true) {
                    Ok((response, _)) => responses.push(response),
                    Err(_) => break,
                }
            }
            let is_over = responses.len() < 4;
            for response in responses {
                match client.wait(read(response)) {
                    Ok(reply) => {
                        assert_eq!(reply.status, 200);
                        self.count_replies(1);
                    }
                    Err(error) => {
                        let refused = error.is_go_away() && error.reason() == Some(::h2::Reason::NO_ERROR);
                        assert!(refused, "{path}: {error}");
                    }
                }
            }
            if is_over {
                return self.assert_draining();
            }
        }
    }

    /// Echoes on a WebSocket, or only receives, until the server closes it with 1001.
    #[cfg(feature = "ws")]
    fn socket(&self, path: &str, says: Option<&str>) {
        use crate::ws::peer::{CLOSE, TEXT, close, frame, open_at, read};
        let mut peer = open_at(self.address, path, "");
        self.note_open_stream();
        loop {
            if let Some(text) = says {
                peer.send(frame(TEXT, text));
            }
            let (kind, payload) = read(&mut peer);
            if kind == CLOSE {
                assert_eq!(payload[..2], 1001_u16.to_be_bytes(), "the close code is 1001, going away");
                self.assert_draining();
                peer.send(close(1001));
                peer.read_to_end();
                return;
            }
            assert_eq!(kind, TEXT);
            assert!(says.is_none_or(|text| text.as_bytes() == payload), "{}", payload.escape_ascii());
        }
    }

    fn requests(index: usize) -> String {
        let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: t\r\n\r\n");
        let post = |path: &str, bytes: usize| {
            format!("POST {path} HTTP/1.1\r\nHost: t\r\nContent-Length: {bytes}\r\n\r\n{}", "x".repeat(bytes))
        };
        match index % 6 {
            0 => get("/static"),
            1 => get("/inline"),
            2 => get("/async?ms=2"),
            3 => get("/blocking"),
            4 => post("/echo", 20_000),
            _ => post("/topics/mixed", 100),
        }
    }
}

#[test]
fn a_drain_under_mixed_load_loses_no_accepted_request() {
    for _ in 0..ROUNDS {
        let broker = Broker::new(Default::default()).unwrap();
        let router = topic_routes(routes(), &broker, Default::default());
        #[cfg(feature = "ws")]
        let router = router.route(windlass::websocket("/ws", crate::ws::peer::echo));
        let server = builder(router).broker(&broker).start().unwrap();
        let round = RoundState {
            server: &server,
            address: address(&server),
            answered: AtomicUsize::new(0),
            open_streams: AtomicUsize::new(0),
        };
        let report = thread::scope(|scope| {
            let round = &round;
            for index in 0..HTTP1_CLIENTS {
                scope.spawn(move || round.send_requests(&RoundState::requests(index)));
            }
            scope.spawn(|| round.send_requests("GET /readyz HTTP/1.1\r\nHost: t\r\n\r\n"));
            scope.spawn(|| round.pipeline());
            for _ in 0..SUBSCRIBERS {
                scope.spawn(|| round.subscribe());
            }
            #[cfg(feature = "http2")]
            for index in 0..HTTP2_CLIENTS {
                scope.spawn(move || {
                    round.multiplex(["/static", "/inline", "/async?ms=2", "/blocking"][index % 4])
                });
            }
            #[cfg(feature = "ws")]
            for index in 0..SOCKETS {
                let (path, says) =
                    if index % 2 == 0 { ("/ws", Some("hello")) } else { ("/topics/mixed", None) };
                scope.spawn(move || round.socket(path, says));
            }
            eventually("all clients are connected and have sent requests", || {
                server.metrics().connections == ALL as u64
                    && round.open_streams.load(Relaxed) == SUBSCRIBERS + SOCKETS
                    && round.answered.load(Relaxed) > 300
            });
            server.drain(None)
        });
        assert_quick_and_clean(&report);
        assert_eq!((report.drained, report.cut_total()), (ALL as u64, 0), "{report}");
        let metrics = server.metrics();
        assert_eq!(
            metrics.requests,
            round.answered.load(Relaxed) as u64,
            "the server must count as many replies as the clients received"
        );
        assert_eq!((metrics.connections, metrics.handler_panics, metrics.pool_refused), (0, 0, 0));
    }
}
