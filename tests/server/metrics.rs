//! The metrics page and the metrics API: every metric after known requests, with its labels and its value.

pub(crate) mod page;

use std::{
    collections::BTreeSet,
    net::TcpListener,
    thread,
    time::{Duration, Instant},
};

use http::StatusCode;
use prometheus::core::Collector as _;
use windlass::{Hooks, PoolSettings, Request, Router, Server, broker::Broker, get, http, post, static_route};

use crate::common::{builder, connect, endless, engine_name, eventually, start};
use page::Page;

fn scrape(server: &Server) -> Page {
    let reply = connect(server).get("/metrics");
    assert_eq!(reply.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    Page::parse(&reply.text())
}

async fn delayed(_: Request) -> &'static str {
    tokio::time::sleep(Duration::from_millis(20)).await;
    "async"
}

fn routes() -> Router {
    Router::new()
        .route(static_route("/static", "static"))
        .route(get("/inline/{id}", || "inline"))
        .route(get("/async", delayed).run_async())
        .route(get("/blocking", || "blocking").run_async())
        .route(post("/echo", |mut r: Request| r.take_body()))
        .route(get("/fail", || StatusCode::BAD_GATEWAY))
        .route(get("/moved", || StatusCode::FOUND))
}

#[test]
fn requests_are_counted_by_route_method_and_status_class() {
    let server = start(routes());
    let mut peer = connect(&server);
    for path in [
        "/static",
        "/static",
        "/inline/1",
        "/inline/2",
        "/inline/3",
        "/async",
        "/blocking",
        "/fail",
        "/moved",
    ] {
        peer.get(path);
    }
    peer.request("HEAD", "/static");
    peer.reply_to("HEAD");
    peer.post("/echo", "body");
    let page = scrape(&server);
    let count = |route, method, status| {
        page.value("windlass_requests_total", &[("method", method), ("route", route), ("status", status)])
    };
    assert_eq!(count("/static", "GET", "2xx"), Some(3.0));
    assert_eq!(count("/inline/{id}", "GET", "2xx"), Some(3.0));
    assert_eq!(count("/async", "GET", "2xx"), Some(1.0));
    assert_eq!(count("/blocking", "GET", "2xx"), Some(1.0));
    assert_eq!(count("/echo", "POST", "2xx"), Some(1.0));
    assert_eq!(count("/fail", "GET", "5xx"), Some(1.0));
    assert_eq!(count("/moved", "GET", "3xx"), Some(1.0));
    assert_eq!(count("/metrics", "GET", "2xx"), None, "the page must not count the request for itself");
    assert_eq!(page.sum("windlass_requests_total"), 11.0);
    assert_eq!(page.sum("windlass_requests_dispatched_total"), 11.0);
    let by_kind = |kind| page.sum_where("windlass_requests_dispatched_total", ("kind", kind));
    assert_eq!((by_kind("static"), by_kind("inline"), by_kind("async")), (3.0, 6.0, 2.0));
    assert_eq!(server.metrics().requests, 12, "the request for the page is counted once it is answered");
}

#[test]
fn unmatched_requests_share_one_label() {
    for router in [routes(), routes().not_found(|| (StatusCode::NOT_FOUND, "own"))] {
        let server = start(router);
        let mut peer = connect(&server);
        for path in ["/a", "/b/c", "/inline", "/%22%7B%0A"] {
            assert_eq!(peer.get(path).status, 404);
        }
        peer.post("/nowhere", "x");
        peer.request("DELETE", "/static");
        assert_eq!(peer.reply().status, 405);
        peer.request("GHOST", "/x");
        let is_unknown_method = peer.reply().status == 501;
        let page = scrape(&server);
        let unmatched = [("method", "(any)"), ("route", "(unmatched)"), ("status", "4xx")];
        let expected = if is_unknown_method { 6.0 } else { 7.0 };
        assert_eq!(page.value("windlass_requests_total", &unmatched), Some(expected));
        assert_eq!(page.sum("windlass_requests_total"), 7.0);
    }
}

#[test]
fn the_histogram_holds_request_durations() {
    let server = start(routes());
    let mut peer = connect(&server);
    let began = Instant::now();
    for _ in 0..5 {
        peer.get("/async");
    }
    let took = began.elapsed().as_secs_f64();
    peer.get("/static");
    let page = scrape(&server);
    let of = |suffix: &str, labels: &[(&str, &str)]| {
        page.value(&format!("windlass_request_duration_seconds{suffix}"), labels).unwrap()
    };
    let labels = [("method", "GET"), ("route", "/async")];
    assert_eq!(of("_count", &labels), 5.0);
    assert!((0.1..=took).contains(&of("_sum", &labels)), "{} of {took}", of("_sum", &labels));
    let below = |le| of("_bucket", &[("le", le), ("method", "GET"), ("route", "/async")]);
    assert_eq!((below("0.01"), below("10"), below("+Inf")), (0.0, 5.0, 5.0));
    assert_eq!(of("_count", &[("method", "GET"), ("route", "/static")]), 1.0);
}

#[test]
fn connections_bytes_and_close_causes_are_counted() {
    let mut timeouts = endless();
    timeouts.header = Some(Duration::from_millis(100));
    let server = builder(routes()).timeouts(timeouts).start().unwrap();
    let mut idle = connect(&server);
    let got = idle.get("/static");
    let mut active = connect(&server);
    active.send("POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 9\r\n\r\nx");
    let mut slow = connect(&server);
    slow.send("GET /st");
    assert_eq!(slow.reply().status, 408);
    let mut bad = connect(&server);
    bad.send("GET /static HTTP/1.1\r\n\r\n");
    assert_eq!(bad.reply().status, 400);
    drop((slow, bad));
    eventually("two connections are closed", || server.metrics().connections == 2);
    let page = scrape(&server);
    let open = |state| page.sum_where("windlass_connections", ("state", state));
    assert_eq!((open("active"), open("idle")), (1.0, 2.0), "the scraping connection counts as idle");
    assert_eq!(page.sum("windlass_connections_accepted_total"), 5.0);
    assert_eq!(page.sum("windlass_connections_closed_total"), 2.0);
    assert_eq!(page.value("windlass_timeouts_total", &[("timer", "header")]), Some(1.0));
    assert_eq!(page.sum("windlass_protocol_errors_total"), 1.0);
    assert!(page.sum("windlass_received_bytes_total") > 100.0);
    assert!(page.sum("windlass_sent_bytes_total") > got.body.len() as f64);
    active.reset();
    eventually("the reset is counted", || {
        scrape(&server).sum_where("windlass_connections_closed_total", ("cause", "reset")) == 1.0
    });
}

/// Starts a server whose first attempts to bind its port failed.
///
/// The port is released while the server retries the bind, which it does for 60 ms. On a busy machine this
/// takes several attempts.
fn start_after_a_failed_bind() -> Server {
    let mut timeouts = endless();
    (timeouts.header, timeouts.inline_stall) = (Some(Duration::from_millis(100)), Duration::from_millis(5));
    let mut pool = PoolSettings::default();
    (pool.blocking_threads, pool.blocking_queue) = (1, 1);
    let start_on_a_used_port = || {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let router = routes()
            .route(get("/hog", || thread::sleep(Duration::from_millis(20))))
            .route(get("/sleep", || thread::sleep(Duration::from_millis(300))).run_async());
        let hooks =
            Hooks::default().on_end(|end| assert_ne!(end.path, "/fail", "deliberate panic of the test"));
        let broker = Broker::new(Default::default()).unwrap();
        let server = builder(router).listen(windlass::Listen::Tcp(address)).broker(&broker);
        let server = server.timeouts(timeouts.clone()).pool(pool.clone()).hooks(hooks);
        thread::scope(|scope| {
            scope.spawn(move || (thread::sleep(Duration::from_millis(30)), drop(listener)));
            server.start().ok().filter(|server| scrape(server).sum("windlass_bind_errors_total") > 0.0)
        })
    };
    std::iter::repeat_with(start_on_a_used_port).take(100).flatten().next().unwrap()
}

#[test]
fn every_metric_of_the_catalog_is_on_the_page() {
    let server = start_after_a_failed_bind();
    let mut peers = [connect(&server), connect(&server), connect(&server)];
    let stats = || server.pool().unwrap().stats().blocking;
    peers[0].request("GET", "/sleep");
    eventually("one job runs", || stats().running == 1);
    peers[1].request("GET", "/sleep");
    eventually("one job waits", || stats().queued == 1);
    assert_eq!(peers[2].get("/sleep").status, 503);
    let busy = scrape(&server);
    let lane = [("lane", "blocking")];
    assert_eq!(busy.value("windlass_pool_running_jobs", &lane), Some(1.0));
    assert_eq!(busy.value("windlass_pool_queued_jobs", &lane), Some(1.0));
    assert_eq!((peers[0].reply().status, peers[1].reply().status), (200, 200));
    for path in ["/hog", "/async", "/fail"] {
        peers[2].get(path);
    }
    peers[0].send("BAD\r\n\r\n");
    peers[0].read_to_end();
    peers[1].send("GET");
    peers[1].read_to_end();
    let page = scrape(&server);
    assert_eq!(
        page.value("windlass_bind_errors_total", &[("cause", "EADDRINUSE")]).map(|n| n >= 1.0),
        Some(true)
    );
    assert_eq!(page.value("windlass_refused_requests_total", &[("cause", "pool_full")]), Some(1.0));
    assert_eq!(page.value("windlass_panics_total", &[("place", "hook")]), Some(1.0));
    assert_eq!(page.value("windlass_inline_stalls_total", &[("route", "/hog")]), Some(1.0));
    let job = |lane, outcome| page.value("windlass_pool_jobs_total", &[("lane", lane), ("outcome", outcome)]);
    assert_eq!(
        (job("blocking", "done"), job("blocking", "rejected"), job("async", "done")),
        (Some(2.0), Some(1.0), Some(1.0))
    );
    let asynchronous = page.sum("windlass_async_promoted_connections_total");
    assert_eq!((page.value("windlass_async_routes", &[]), asynchronous), (Some(3.0), 3.0));
    assert_eq!(page.value("windlass_ready", &[]), Some(1.0));
    assert_eq!(page.sum_where("windlass_engine_info", ("engine", &engine_name())), 1.0);
    assert_eq!(page.sum("windlass_shard_tasks"), 3.0, "the router actor and one relay per shard");
    assert!(page.sum("windlass_shard_turns_total") > 10.0);
    assert!(
        page.sum("windlass_shard_longest_turn_seconds") >= 0.02,
        "the handler of /hog blocks its shard for 20 ms"
    );
    eventually("no work waits any longer", || scrape(&server).sum("windlass_shard_lag_seconds") == 0.0);
    assert_eq!(page.samples("windlass_shard_inbox_messages").len(), 2);
    let catalog: BTreeSet<_> = server.collector().desc().iter().map(|d| d.fq_name.clone()).collect();
    let present: BTreeSet<_> = page.names().map(str::to_owned).collect();
    let missing = catalog.difference(&present).filter(|name| !is_tested_elsewhere(name));
    assert!(missing.count() == 0 && present.is_subset(&catalog), "{present:?}");
}

/// Returns `true` if another file tests this metric.
fn is_tested_elsewhere(name: &str) -> bool {
    ["_tls_", "_http2_", "_websocket_", "_hub_", "_log_"].iter().any(|part| name.contains(part))
}

#[test]
fn every_sample_has_the_labels_of_its_description() {
    let server = start(routes());
    let mut peer = connect(&server);
    ["/static", "/async", "/nowhere"].into_iter().for_each(|path| drop(peer.get(path)));
    let page = scrape(&server);
    let collector = server.collector();
    for name in page.names() {
        let known = collector.desc();
        let desc = known
            .iter()
            .find(|desc| desc.fq_name == name)
            .unwrap_or_else(|| panic!("{name} has no description"));
        let wanted: BTreeSet<_> = desc.variable_labels.iter().map(String::as_str).collect();
        for sample in page.samples(name) {
            let labels: BTreeSet<_> =
                sample.labels.keys().map(String::as_str).filter(|label| *label != "le").collect();
            assert_eq!(labels, wanted, "{name}");
        }
    }
}

#[test]
fn the_collector_works_in_a_registry_of_the_program() {
    let (one, two) = (start(routes()), start(routes()));
    let registry = prometheus::Registry::new();
    let own = prometheus::IntCounter::new("own_total", "The program's own.").unwrap();
    registry.register(Box::new(own.clone())).unwrap();
    registry.register(Box::new(one.collector())).unwrap();
    assert!(
        registry.register(Box::new(two.collector())).is_err(),
        "a registry must refuse the collector of a second server"
    );
    own.inc();
    connect(&one).get("/static");
    connect(&two).get("/async");
    let text = prometheus::TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
    let page = Page::parse(&text);
    assert_eq!(page.value("own_total", &[]), Some(1.0));
    assert_eq!(page.sum("windlass_requests_total"), 1.0);
    assert_eq!(page.sum("windlass_async_promoted_connections_total"), 0.0);
}

#[test]
fn the_snapshot_agrees_with_the_page() {
    let server = start(routes().route(get("/boom", || -> () { panic!("deliberate panic of the test") })));
    let mut peer = connect(&server);
    ["/static", "/async", "/boom", "/nowhere"].into_iter().for_each(|path| drop(peer.get(path)));
    let before = server.metrics();
    assert_eq!((before.requests, before.accepted, before.connections), (4, 1, 1));
    assert_eq!((before.async_routes, before.async_promoted_connections), (2, 1));
    assert_eq!((before.handler_panics, before.pool_refused), (1, 0));
    let page = scrape(&server);
    assert_eq!(page.sum("windlass_requests_total"), 4.0);
    assert_eq!(page.value("windlass_panics_total", &[("place", "handler")]), Some(1.0));
    assert!(before.received_bytes > 100 && before.sent_bytes > 400, "{before:?}");
    drop(peer);
    eventually("the connection is closed", || server.metrics().connections == 0);
}

#[test]
fn without_route_metrics_only_connections_and_shards_are_counted() {
    let server = builder(routes()).without_route_metrics().start().unwrap();
    let mut peer = connect(&server);
    ["/static", "/async", "/nowhere"].into_iter().for_each(|path| drop(peer.get(path)));
    let page = scrape(&server);
    let names: BTreeSet<_> = page.names().collect();
    assert!(
        !names.contains("windlass_requests_total") && !names.contains("windlass_request_duration_seconds")
    );
    assert_eq!(page.sum("windlass_requests_dispatched_total"), 3.0);
    assert_eq!(page.sum("windlass_connections_accepted_total"), 2.0);
    assert_eq!(server.metrics().requests, 4);
}

#[test]
fn counters_scraped_under_load_never_decrease_and_lose_nothing() {
    const EACH: usize = 300;
    let server = start(routes());
    let total = thread::scope(|scope| {
        let clients: Vec<_> = ["/static", "/inline/1", "/async", "/blocking"]
            .map(|path| {
                let server = &server;
                scope.spawn(move || {
                    let mut peer = connect(server);
                    (0..EACH).for_each(|_| drop(peer.get(path)));
                })
            })
            .into();
        let mut last = 0.0;
        while clients.iter().any(|client| !client.is_finished()) {
            let page = scrape(&server);
            let now = page.sum_where("windlass_requests_total", ("status", "2xx"));
            assert!(now >= last, "the counter fell from {last} to {now}");
            last = now;
        }
        clients.into_iter().for_each(|client| client.join().unwrap());
        let page = scrape(&server);
        let own = [("method", "GET"), ("route", "/metrics"), ("status", "2xx")];
        page.sum("windlass_requests_total") - page.value("windlass_requests_total", &own).unwrap_or(0.0)
    });
    assert_eq!(total, (4 * EACH) as f64);
}
