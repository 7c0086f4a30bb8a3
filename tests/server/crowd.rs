//! Many connections: eviction near the limit, balancing between shards, and one limit for all shards.

use std::{
    collections::VecDeque,
    net::TcpStream,
    os::{fd::OwnedFd, unix::net::UnixStream},
    sync::Arc,
    thread,
    time::Duration,
};

use tokio::sync::Semaphore;
use windlass::{
    Limits, Listen, Operations, Request, Router, Server, TopicAccess,
    actors::Cores,
    broker::{Broker, BrokerSettings},
    get, static_route, topic_routes,
};

use crate::{
    common::{Hold, Peer, TIMEOUT, base_builder, builder, connect, eventually},
    metrics::page::Page,
    topics::client::{Client, Received},
};

fn limited(router: Router, shards: usize, connections: usize) -> windlass::Builder {
    let mut limits = Limits::default();
    limits.connections = Some(connections);
    builder(router).cores(Cores::Unpinned(shards)).limits(limits)
}

fn router() -> Router {
    Router::new().route(static_route("/static", "static"))
}

/// Reads all metrics without a connection.
fn metrics_page(server: &Server) -> Page {
    use prometheus::{TextEncoder, core::Collector};
    Page::parse(&TextEncoder::new().encode_to_string(&server.collector().collect()).unwrap())
}

fn evicted(server: &Server) -> f64 {
    metrics_page(server).sum_where("windlass_connections_closed_total", ("cause", "soft_limit"))
}

/// Returns the number of connections per shard.
fn by_shard(server: &Server) -> [f64; 2] {
    let page = metrics_page(server);
    ["0", "1"].map(|shard| page.sum_where("windlass_connections", ("shard", shard)))
}

/// Opens a connection and waits for a reply, so that it is the most recently used idle one.
fn connect_idle(server: &Server) -> Peer {
    let mut peer = connect(server);
    assert_eq!(peer.get("/static").text(), "static");
    peer
}

#[test]
fn near_the_limit_the_longest_idle_connection_is_evicted() {
    const LIMIT: usize = 40;
    const SOFT: usize = LIMIT - LIMIT / 10;
    let gate = Arc::new(Semaphore::new(0));
    let closed = gate.clone();
    let waits = move |_: Request| {
        let gate = closed.clone();
        async move {
            gate.acquire().await.unwrap().forget();
            "at last"
        }
    };
    let server = limited(router().route(get("/waits", waits)), 1, LIMIT).start().unwrap();
    let mut busy = connect(&server);
    busy.request("GET", "/waits");
    eventually("the handler waits", || {
        metrics_page(&server).value("windlass_connections", &[("shard", "0"), ("state", "active")])
            == Some(1.0)
    });
    let mut idle: VecDeque<_> = (1..SOFT).map(|_| connect_idle(&server)).collect();
    assert_eq!(
        (evicted(&server), server.metrics().connections),
        (0.0, SOFT as u64),
        "nothing is evicted up to nine tenths of the limit"
    );

    for round in 1..=60 {
        idle.push_back(connect_idle(&server));
        idle.pop_front().unwrap().expect_close();
        eventually("the evicted connection is closed", || server.metrics().connections <= SOFT as u64);
        assert_eq!(evicted(&server), f64::from(round));
    }
    assert!(idle.iter().all(|peer| !peer.is_readable()), "no other connection may be evicted");
    gate.add_permits(1);
    assert_eq!(busy.reply().text(), "at last", "a connection with a running request must not be evicted");
    assert_eq!(metrics_page(&server).value("windlass_connection_limit", &[]), Some(LIMIT as f64));
}

/// Opens as many event streams as a server with this limit of connections accepts.
fn fill_with_streams(server: &Server, limit: usize) -> Vec<Client> {
    let streams: Vec<_> =
        (0..limit - limit / 10).map(|_| Client::subscribe(server, "/topics/news", None)).collect();
    eventually("all streams are active", || active(server) == streams.len() as f64);
    streams
}

fn active(server: &Server) -> f64 {
    let value = |sample: &str| metrics_page(server).sum_where("windlass_connections", ("state", sample));
    value("active")
}

/// Starts a server with topics.
fn with_topics(shards: usize, limit: usize) -> (Server, Broker) {
    let broker = Broker::new(BrokerSettings::default()).unwrap();
    let router = topic_routes(router(), &broker, TopicAccess::default());
    let builder = limited(router, shards, limit).operations(Operations::usual()).broker(&broker);
    (builder.start().unwrap(), broker)
}

#[test]
fn newcomers_are_served_while_all_other_connections_stream() {
    const LIMIT: usize = 40;
    for shards in [1, 2] {
        let (server, _broker) = with_topics(shards, LIMIT);
        let mut streams = fill_with_streams(&server, LIMIT);
        let mut newcomers: Vec<_> = (0..LIMIT / 10).map(|_| connect(&server)).collect();
        // Longer than the search for idle connections takes.
        std::thread::sleep(Duration::from_millis(300));
        for (peer, path) in newcomers.iter_mut().zip(["/static", "/healthz", "/metrics", "/readyz"]) {
            assert_eq!(peer.get(path).status, 200, "{path}");
        }
        drop(newcomers);
        let mut publisher = connect(&server);
        assert_eq!(publisher.post("/topics/news", "hello").status, 202);
        for stream in &mut streams {
            assert!(matches!(stream.next(), Received::Event { data, .. } if data == "hello"));
        }
        assert_eq!(active(&server), streams.len() as f64, "no stream was closed");
    }
}

#[test]
fn streams_leave_a_tenth_of_the_connections_to_others() {
    const LIMIT: usize = 40;
    let (server, _broker) = with_topics(1, LIMIT);
    let mut streams = fill_with_streams(&server, LIMIT);
    // Both requests at once: so near the limit, a connection that is idle between them may be closed.
    let mut late = connect(&server);
    late.send("GET /topics/news HTTP/1.1\r\nhost: x\r\n\r\nGET /healthz HTTP/1.1\r\nhost: x\r\n\r\n");
    let reply = late.reply();
    assert_eq!((reply.status, reply.header("retry-after").is_some()), (503, true));
    assert_eq!(late.reply().status, 200, "the connection stays usable");
    let refused = metrics_page(&server).value("windlass_refused_requests_total", &[("cause", "connections")]);
    assert_eq!(refused, Some(1.0));
    drop(streams.pop());
    eventually("there is room for a stream", || active(&server) < (LIMIT - LIMIT / 10) as f64);
    Client::subscribe(&server, "/topics/news", None);
}

#[test]
fn connections_that_never_send_a_request_lock_nobody_out() {
    const LIMIT: usize = 20;
    let (server, _broker) = with_topics(1, LIMIT);
    let mut silent: Vec<_> = (0..LIMIT).map(|_| connect(&server)).collect();
    for (index, peer) in silent.iter_mut().enumerate() {
        // Half of them send a part of a head.
        peer.send(&"GET / HT"[..if index % 2 == 0 { 8 } else { 0 }]);
    }
    eventually("the server is full", || server.metrics().connections == LIMIT as u64);
    for _ in 0..5 {
        let mut newcomer = connect(&server);
        assert_eq!(newcomer.get("/healthz").status, 200);
        silent.push(connect(&server));
    }
    assert!(evicted(&server) > 0.0);
}

#[test]
fn a_burst_of_connections_never_exceeds_the_limit() {
    const LIMIT: usize = 50;
    let server = limited(router(), 2, LIMIT).start().unwrap();
    let mut peers: Vec<Peer> = (0..LIMIT * 4).map(|_| connect(&server)).collect();
    peers.iter_mut().for_each(|peer| peer.request("GET", "/static"));
    for mut peer in peers {
        peer.finish();
        // Once it is served it is idle, so it may have been evicted.
        if let Ok(rest) = peer.try_read_to_end() {
            assert!(rest.is_empty() || rest.ends_with(b"static"), "{}", rest.escape_ascii());
        }
        assert!(server.metrics().connections <= LIMIT as u64);
    }
}

#[test]
fn the_limits_of_all_shards_add_up_to_one_limit() {
    const LIMIT: usize = 16;
    for round in 0..6 {
        let server = limited(router(), 2, LIMIT).start().unwrap();
        let mut peers: Vec<Peer> = (0..LIMIT).map(|_| connect(&server)).collect();
        for peer in &mut peers {
            assert_eq!(peer.get("/static").text(), "static", "round {round}");
        }
        assert_eq!(by_shard(&server), [8.0, 8.0]);
        let mut late = connect(&server);
        late.request("GET", "/static");
        late.expect_silence(Duration::from_millis(120));
        drop(peers.swap_remove(round));
        assert_eq!(
            late.reply().text(),
            "static",
            "the waiting connection must be served by the shard with room"
        );
        assert_eq!(server.metrics().connections, LIMIT as u64);
    }
}

/// Returns the number of connections that the shard accepted, whether it kept them or handed them over.
fn accepted_by(server: &Server, shard: &str) -> f64 {
    let page = metrics_page(server);
    let of = |name| page.sum_where(name, ("shard", shard));
    let handed_over = of("windlass_connections_handed_over_total");
    let from_others = page.sum("windlass_connections_handed_over_total") - handed_over;
    of("windlass_connections_accepted_total") + handed_over - from_others
}

fn handed_over(server: &Server) -> f64 {
    metrics_page(server).sum("windlass_connections_handed_over_total")
}

#[test]
fn a_shard_with_far_more_than_its_share_hands_connections_over() {
    const PEERS: usize = 100;
    let server = limited(router(), 2, 10_000).start().unwrap();
    let mut peers = Vec::new();
    while peers.len() < PEERS {
        let (before, peer) = (accepted_by(&server, "0"), connect_idle(&server));
        // The kernel chooses the shard; connections that another shard accepted are closed again.
        if accepted_by(&server, "0") > before {
            peers.push(peer);
        } else {
            drop(peer);
            eventually("the connection is closed", || server.metrics().connections == peers.len() as u64);
        }
    }
    // A shard keeps up to 1.25 times the mean plus 16 connections.
    let [own, other] = by_shard(&server);
    assert!((20.0..=24.0).contains(&other) && own + other == PEERS as f64, "{own} {other}");
    // A handover is counted after it was sent. The loop above may have attributed one such connection to the
    // other shard.
    eventually("all handovers are counted", || handed_over(&server) >= other);
    for peer in &mut peers {
        assert_eq!(peer.get("/static").text(), "static");
    }
    let report = server.drain(None);
    assert_eq!((report.drained, report.cut_total()), (PEERS as u64, 0), "{report}");
}

#[test]
fn shards_that_share_a_listener_balance_its_connections() {
    const PEERS: usize = 100;
    let path = std::env::temp_dir().join(format!("windlass-crowd-{}.sock", std::process::id()));
    let server = base_builder().listen(Listen::Unix(path.clone())).cores(Cores::Unpinned(2)).router(router());
    let server = server.start().unwrap();
    let mut peers: Vec<_> = (0..PEERS)
        .map(|_| {
            let stream = TcpStream::from(OwnedFd::from(UnixStream::connect(&path).unwrap()));
            stream.set_read_timeout(Some(TIMEOUT)).unwrap();
            Peer::from_stream(stream)
        })
        .collect();
    for peer in &mut peers {
        assert_eq!(peer.get("/static").text(), "static");
    }
    let shards = by_shard(&server);
    assert!(
        shards.iter().sum::<f64>() == PEERS as f64 && shards.iter().all(|open| *open >= 20.0),
        "{shards:?}"
    );
}

#[test]
fn connections_handed_over_when_a_drain_starts_are_served() {
    const PEERS: usize = 160;
    for _ in 0..5 {
        let hold = Hold::new();
        let server = limited(router().route(hold.route()), 2, 10_000).start().unwrap();
        let mut holder = hold.block(&server);
        // One shard is blocked. Half of the connections wait for it in the kernel's queue, others were handed
        // over to it.
        let mut peers: Vec<_> = (0..PEERS).map(|_| connect(&server)).collect();
        peers.iter_mut().for_each(|peer| peer.request("GET", "/static"));
        eventually("some connections were handed over", || handed_over(&server) > 0.0);
        let report = thread::scope(|scope| {
            let drain = scope.spawn(|| server.drain(None));
            eventually("readiness turns false", || !server.is_ready());
            hold.release();
            assert_eq!(holder.reply().text(), "held");
            for peer in &mut peers {
                assert_eq!(peer.reply().text(), "static");
            }
            drop(std::mem::take(&mut peers));
            drop(holder);
            drain.join().unwrap()
        });
        assert_eq!((report.drained, report.cut_total()), (PEERS as u64 + 1, 0), "{report}");
    }
}
