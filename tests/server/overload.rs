//! Overload: which requests a shard with a long queue refuses, which it serves, and how it recovers.

use std::{
    thread,
    time::{Duration, Instant},
};

use windlass::{Request, Router, Server, Timeouts, actors::Cores, event_stream, get, static_route};

use crate::common::{Peer, Reply, builder, connect, eventually, metric};

/// Time for which the handler of `/hold` blocks the shard.
const BLOCK_TIME: Duration = Duration::from_millis(20);

/// Number of connections that request `/hold` at once; their handlers take more than a second in total.
const CROWD: usize = 64;

fn router() -> Router {
    let block_shard = |_: Request| {
        thread::sleep(BLOCK_TIME);
        "held"
    };
    let router = Router::new()
        .route(get("/hold", block_shard))
        .route(get("/well", |_: Request| "well").never_shed())
        .route(get("/async", |_: Request| "async").run_async())
        .route(static_route("/static", "static"))
        .route(event_stream("/events", |_, _| async {}));
    #[cfg(feature = "ws")]
    let router = router.route(windlass::websocket("/ws", |_| async {}));
    router
}

fn server(shed_async: Option<Duration>, shed_all: Option<Duration>) -> Server {
    let mut timeouts = Timeouts::default();
    (timeouts.shed_async, timeouts.shed_all) = (shed_async, shed_all);
    builder(router()).cores(Cores::Unpinned(1)).timeouts(timeouts).start().unwrap()
}

/// Connections to a server that send requests together.
struct Crowd(Vec<Peer>);

impl Crowd {
    fn new(server: &Server, peers: usize) -> Self {
        let crowd = Self((0..peers).map(|_| connect(server)).collect());
        eventually("all connections are accepted", || server.metrics().connections >= peers as u64);
        crowd
    }

    /// Sends a GET for `path` on every connection.
    fn ask(&mut self, path: &str) {
        self.0.iter_mut().for_each(|peer| peer.request("GET", path));
    }

    fn replies(&mut self) -> Vec<Reply> {
        self.0.iter_mut().map(Peer::reply).collect()
    }
}

/// Fills the shard's queue and requests `path` behind it, until that request is refused. Returns the refusal.
fn refused_behind_queue(crowd: &mut Crowd, peer: &mut Peer, path: &str, head: &str) -> Reply {
    let asked = format!("GET {path} HTTP/1.1\r\nHost: test\r\n{head}\r\n");
    for _ in 0..20 {
        crowd.ask("/hold");
        peer.send(&asked);
        let reply = peer.reply();
        crowd.replies();
        if reply.status == 503 {
            return reply;
        }
    }
    panic!("expected a refusal of {path}");
}

fn refusals(server: &Server) -> f64 {
    metric(server, r#"windlass_refused_requests_total{cause="lag"}"#)
}

#[test]
fn async_routes_streams_and_sockets_are_refused_before_inline_routes() {
    let server = server(Some(Duration::from_millis(40)), None);
    let (mut crowd, mut peer) = (Crowd::new(&server, CROWD), connect(&server));
    let refused = refused_behind_queue(&mut crowd, &mut peer, "/async", "");
    let seconds: u32 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=3).contains(&seconds) && !refused.closes());
    crowd.ask("/hold");
    assert!(crowd.replies().iter().all(|reply| reply.status == 200), "inline requests must be served");
    refused_behind_queue(&mut crowd, &mut peer, "/events", "");
    #[cfg(feature = "ws")]
    refused_behind_queue(
        &mut crowd,
        &mut peer,
        "/ws",
        "Upgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n",
    );
    assert!(refusals(&server) >= 2.0 + f64::from(cfg!(feature = "ws")));
    assert_eq!(peer.get("/async").text(), "async", "the overload must have ended");
}

#[test]
fn behind_a_longer_queue_all_routes_except_health_and_metrics_are_refused() {
    let server = server(Some(Duration::from_millis(40)), Some(Duration::from_millis(100)));
    let (mut crowd, mut peer) = (Crowd::new(&server, CROWD), connect(&server));
    refused_behind_queue(&mut crowd, &mut peer, "/static", "");
    let mut refused = 0;
    for path in ["/well", "/healthz", "/readyz", "/metrics"] {
        crowd.ask("/hold");
        assert_eq!(peer.get(path).status, 200, "{path}");
        let replies = crowd.replies();
        assert!(replies.iter().all(|reply| matches!(reply.status, 200 | 503)));
        refused += replies.iter().filter(|reply| reply.status == 503).count();
    }
    assert!(refused > 0 && refusals(&server) > refused as f64, "{refused}");
}

#[test]
fn a_shard_that_has_caught_up_refuses_nothing() {
    let server = server(Some(Duration::from_millis(40)), Some(Duration::from_millis(100)));
    let (mut crowd, mut peer) = (Crowd::new(&server, CROWD), connect(&server));
    refused_behind_queue(&mut crowd, &mut peer, "/static", "");
    eventually("the lag is zero", || metric(&server, r#"windlass_shard_lag_seconds{shard="0"}"#) == 0.0);
    let before = refusals(&server);
    for path in ["/static", "/async", "/hold"] {
        assert_eq!(peer.get(path).status, 200, "{path}");
    }
    for _ in 0..50 {
        crowd.ask("/static");
        assert!(
            crowd.replies().iter().all(|reply| reply.status == 200),
            "a shard without lag must refuse nothing"
        );
    }
    assert_eq!(refusals(&server), before);
}

/// One slow handler must not count as overload, so refusals are unexpected. If the machine itself delays the
/// shard for more than a window, the round is not counted.
#[test]
fn one_slow_handler_does_not_cause_refusals() {
    const SLOW: Duration = Duration::from_millis(700);
    const WINDOW: Duration = Duration::from_millis(250);
    let slow = get("/slow", |_: Request| thread::sleep(SLOW));
    let server = builder(router().route(slow))
        .cores(Cores::Unpinned(1))
        .timeouts(Timeouts::default())
        .start()
        .unwrap();
    let mut crowd = Crowd::new(&server, CROWD);
    let (mut counted, mut rounds) = (0, 0);
    while counted < 3 {
        rounds += 1;
        assert!(rounds <= 30, "the machine is too busy for this test");
        // Two windows without load come before each round, so that rounds do not add up to a standing queue.
        let calm = Instant::now() + WINDOW * 5 / 2;
        while Instant::now() < calm {
            assert_eq!(crowd.0[0].get("/well").status, 200);
            thread::sleep(WINDOW / 50);
        }
        let began = Instant::now();
        crowd.0[0].request("GET", "/slow");
        crowd.0[1..].iter_mut().for_each(|peer| peer.request("GET", "/static"));
        let refused = crowd.replies().iter().filter(|reply| reply.status >= 300).count();
        if began.elapsed() < SLOW + WINDOW {
            assert_eq!(refused, 0, "round {rounds}");
            counted += 1;
        }
    }
}

#[test]
fn disabled_thresholds_refuse_nothing() {
    let server = server(None, None);
    let mut crowd = Crowd::new(&server, CROWD);
    for path in ["/hold", "/async"] {
        crowd.ask(path);
        assert!(crowd.replies().iter().all(|reply| reply.status == 200));
    }
    assert_eq!(refusals(&server), 0.0);
}
