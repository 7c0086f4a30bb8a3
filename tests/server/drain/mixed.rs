//! Drains under a load of everything at once: nothing that was accepted is lost, the numbers add up, readiness goes first.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    thread,
    time::Duration,
};

use windlass::{Server, broker::Broker, topic_routes};

use super::{is_quick, routes};
use crate::{
    common::{Peer, address, builder, eventually},
    topics::client::Client as Subscriber,
};

const ROUNDS: usize = 20;
/// Connections that ask over HTTP/1.1, one request after the other.
const ASKERS: usize = 12;
const SUBSCRIBERS: usize = 6;
const PIPELINE: usize = 8;
/// Connections of HTTP/2, each with some requests at a time.
const MULTIPLEXERS: usize = if cfg!(feature = "http2") { 4 } else { 0 };
/// WebSockets: half of them echo, the others follow a topic.
const SOCKETS: usize = if cfg!(feature = "ws") { 6 } else { 0 };
const ALL: usize = ASKERS + 2 + SUBSCRIBERS + MULTIPLEXERS + SOCKETS;

/// What the clients of one round see.
struct Round<'a> {
    server: &'a Server,
    address: SocketAddr,
    /// Whole replies.
    answered: AtomicUsize,
    /// Event streams and WebSockets that have begun.
    lasting: AtomicUsize,
}

impl Round<'_> {
    /// Notes that something has begun that ends with the server.
    fn lasts(&self) {
        self.note(1);
        self.lasting.fetch_add(1, Relaxed);
    }

    fn note(&self, replies: usize) {
        self.answered.fetch_add(replies, Relaxed);
    }

    /// Says that a client was told to go, which must not happen to anyone while the server counts as ready.
    #[track_caller]
    fn told_to_go(&self) {
        assert!(!self.server.is_ready(), "a client is sent away by a server that says it is ready");
    }

    /// Asks again and again on one connection until it ends in order.
    fn ask(&self, request: &str) {
        let mut peer = Peer::connect(self.address);
        loop {
            match peer.try_ask(request).unwrap_or_else(|error| panic!("{request:.30}: {error}")) {
                None => return self.told_to_go(),
                Some(reply) => {
                    let is_probe = request.contains("/readyz");
                    match reply.status {
                        200 | 202 => {}
                        // Topics that end with the server take no more events.
                        503 if is_probe || request.contains("/topics/") => self.told_to_go(),
                        status => panic!("{request:.30}: {status}"),
                    }
                    self.note(1);
                    if reply.closes() {
                        assert!(!is_probe || reply.status == 503, "the last word of readiness is 503");
                        return self.told_to_go();
                    }
                }
            }
        }
    }

    /// Sends several requests at once; those before the reply that says close are answered, those behind it were not begun.
    fn pipeline(&self) {
        let mut peer = Peer::connect(self.address);
        let requests = "GET /async?ms=1 HTTP/1.1\r\nHost: t\r\n\r\nGET /inline HTTP/1.1\r\nHost: t\r\n\r\n"
            .repeat(PIPELINE / 2);
        loop {
            let mut bytes = requests.as_str();
            for _ in 0..PIPELINE {
                let Some(reply) = peer.try_ask(std::mem::take(&mut bytes)).unwrap() else {
                    return self.told_to_go();
                };
                assert_eq!(reply.status, 200);
                self.note(1);
                if reply.closes() {
                    return self.told_to_go();
                }
            }
        }
    }

    /// Follows a topic until the server ends the stream and says when to come back.
    fn subscribe(&self) {
        let mut subscriber = Subscriber::over(Peer::connect(self.address), "/topics/mixed", None);
        self.lasts();
        let back = subscriber.retry_at_end();
        self.told_to_go();
        assert!(back.is_some_and(|back| back >= Duration::from_millis(500)), "{back:?}");
    }

    /// Asks over HTTP/2, several requests at a time, until told to go; what was not begun then is the only thing without an
    /// answer.
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
                        self.note(1);
                    }
                    Err(error) => {
                        let refused = error.is_go_away() && error.reason() == Some(::h2::Reason::NO_ERROR);
                        assert!(refused, "{path}: {error}");
                    }
                }
            }
            if is_over {
                return self.told_to_go();
            }
        }
    }

    /// Talks over a WebSocket, or listens, until the server says that it goes away.
    #[cfg(feature = "ws")]
    fn socket(&self, path: &str, says: Option<&str>) {
        use crate::ws::peer::{CLOSE, TEXT, close, frame, open_at, read};
        let mut peer = open_at(self.address, path, "");
        self.lasts();
        loop {
            if let Some(text) = says {
                peer.send(frame(TEXT, text));
            }
            let (kind, payload) = read(&mut peer);
            if kind == CLOSE {
                assert_eq!(payload[..2], 1001_u16.to_be_bytes(), "going away");
                self.told_to_go();
                peer.send(close(1001));
                peer.rest();
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
fn under_mixed_load_nothing_accepted_is_lost_and_the_numbers_add_up() {
    for _ in 0..ROUNDS {
        let broker = Broker::new(Default::default()).unwrap();
        let router = topic_routes(routes(), &broker, Default::default());
        #[cfg(feature = "ws")]
        let router = router.route(windlass::websocket("/ws", crate::ws::peer::echo));
        let server = builder(router).broker(&broker).start().unwrap();
        let round = Round {
            server: &server,
            address: address(&server),
            answered: AtomicUsize::new(0),
            lasting: AtomicUsize::new(0),
        };
        let report = thread::scope(|scope| {
            let round = &round;
            for index in 0..ASKERS {
                scope.spawn(move || round.ask(&Round::requests(index)));
            }
            scope.spawn(|| round.ask("GET /readyz HTTP/1.1\r\nHost: t\r\n\r\n"));
            scope.spawn(|| round.pipeline());
            for _ in 0..SUBSCRIBERS {
                scope.spawn(|| round.subscribe());
            }
            #[cfg(feature = "http2")]
            for index in 0..MULTIPLEXERS {
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
            eventually("all are at it", || {
                server.metrics().connections == ALL as u64
                    && round.lasting.load(Relaxed) == SUBSCRIBERS + SOCKETS
                    && round.answered.load(Relaxed) > 300
            });
            server.drain(None)
        });
        is_quick(&report);
        assert_eq!((report.drained, report.cut_total()), (ALL as u64, 0), "{report}");
        let told = server.metrics();
        assert_eq!(
            told.requests,
            round.answered.load(Relaxed) as u64,
            "what it answered is what clients got"
        );
        assert_eq!((told.connections, told.handler_panics, told.pool_refused), (0, 0, 0));
    }
}
