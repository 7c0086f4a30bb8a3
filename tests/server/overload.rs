//! Overload: which requests a shard with a long queue refuses, which it serves, and how it recovers.

use std::{thread, time::Duration};

use windlass::{
    Origins, Request, Router, Server, Timeouts, TopicAccess,
    actors::Cores,
    broker::{Broker, BrokerSettings},
    event_stream, get, static_route, topic_routes,
};

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
        .route(event_stream("/ticks", |_, _| async {}));
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
    refused_behind_queue(&mut crowd, &mut peer, "/ticks", "");
    #[cfg(feature = "ws")]
    refused_behind_queue(
        &mut crowd,
        &mut peer,
        "/ws",
        "Upgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n",
    );
    assert!(refusals(&server) >= 2.0 + f64::from(cfg!(feature = "ws")));
    eventually("the overload has ended", || peer.get("/async").status == 200);
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
fn pages_of_other_origins_may_read_the_refusal_of_a_topic() {
    let mut access = TopicAccess::default();
    access.origins = Origins::SameOr(vec!["https://app.example".to_owned()]);
    let broker = Broker::new(BrokerSettings::default()).unwrap();
    let mut timeouts = Timeouts::default();
    (timeouts.shed_async, timeouts.shed_all) = (None, Some(Duration::from_millis(40)));
    let router = topic_routes(router(), &broker, access);
    let builder = builder(router).cores(Cores::Unpinned(1)).timeouts(timeouts);
    let server = builder.broker(&broker).start().unwrap();
    let (mut crowd, mut peer) = (Crowd::new(&server, CROWD), connect(&server));
    let refused = refused_behind_queue(&mut crowd, &mut peer, "/topics", "Origin: https://app.example\r\n");
    assert_eq!(refused.header("access-control-allow-origin"), Some("https://app.example"));
    assert!(refused.header("access-control-expose-headers").unwrap().contains("retry-after"));
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
