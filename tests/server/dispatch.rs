//! Inline and async routes, promotion, and the counters of both.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use http::Method;
use tokio::sync::Barrier;
use windlass::{Dispatch, PoolSettings, Request, Response, Router, Server, get, http, post, static_route};

use crate::common::{TIMEOUT, builder, connect, endless, eventually, metric, start};

fn thread_name(_: Request) -> String {
    thread::current().name().unwrap_or_default().to_owned()
}

async fn thread_name_later(_: Request) -> String {
    tokio::time::sleep(Duration::from_millis(1)).await;
    thread::current().name().unwrap_or_default().to_owned()
}

fn mixed() -> Router {
    Router::new()
        .route(static_route("/static", "static"))
        .route(get("/inline", thread_name))
        .route(get("/async", thread_name_later).run_async())
        .route(get("/blocking", thread_name).run_async())
}

fn promoted(server: &Server) -> u64 {
    server.metrics().async_promoted_connections
}

#[test]
fn handlers_run_where_their_route_is_dispatched() {
    let server = start(mixed());
    let mut peer = connect(&server);
    assert!(peer.get("/inline").text().starts_with("windlass-"));
    let pooled = peer.get("/async").text();
    assert!(!pooled.starts_with("windlass-"), "{pooled}");
    let blocking = peer.get("/blocking").text();
    assert!(blocking.contains("block"), "{blocking}");
    assert!(
        peer.get("/inline").text().starts_with("windlass-"),
        "inline routes must stay inline on a promoted connection"
    );
}

#[test]
fn promotion_is_permanent_and_counted_once() {
    let server = start(mixed());
    let mut peer = connect(&server);
    for path in ["/static", "/inline", "/nowhere"] {
        peer.get(path);
        assert_eq!(promoted(&server), 0, "{path}");
    }
    peer.get("/async");
    assert_eq!(promoted(&server), 1);
    for round in 0..10 {
        peer.get(if round % 2 == 0 { "/inline" } else { "/async" });
    }
    assert_eq!(promoted(&server), 1);
    connect(&server).get("/async");
    assert_eq!(promoted(&server), 2);
    assert_eq!(metric(&server, "windlass_async_promoted_connections_total"), 2.0);
}

#[test]
fn unmatched_paths_do_not_promote_even_if_async_is_the_default() {
    let router =
        Router::new().run_async().route(get("/a", thread_name)).route(get("/i", thread_name).run_inline());
    let server = builder(router).operations(Default::default()).start().unwrap();
    assert_eq!(server.metrics().async_routes, 1);
    let mut peer = connect(&server);
    assert_eq!(peer.get("/nowhere").status, 404);
    peer.request("DELETE", "/a");
    assert_eq!(peer.reply().status, 405);
    assert!(peer.get("/i").text().starts_with("windlass-"));
    assert_eq!(promoted(&server), 0);
    assert!(!peer.get("/a").text().starts_with("windlass-"));
    assert_eq!(promoted(&server), 1);
}

#[test]
fn a_partial_head_or_body_does_not_promote() {
    let server =
        start(Router::new().route(post("/async", |r: Request| format!("{:?}", r.body().len())).run_async()));
    let mut peer = connect(&server);
    peer.send("POST /async HTTP/1.1\r\nHost: t\r\nContent-Le");
    let mut other = connect(&server);
    assert_eq!(other.get("/nowhere").status, 404);
    assert_eq!(promoted(&server), 0);
    peer.send("ngth: 4\r\n\r\nab");
    assert_eq!(other.get("/nowhere").status, 404);
    peer.send("cd");
    assert_eq!(peer.reply().text(), "Some(4)");
    assert_eq!(promoted(&server), 1);
}

#[test]
fn the_gauge_of_async_routes_follows_the_route_table() {
    let server = start(mixed());
    let gauge = || metric(&server, "windlass_async_routes");
    assert_eq!(gauge(), 2.0);
    let routes = server.routes();
    routes.set_dispatch_blocking(Method::GET, "/inline", Dispatch::Async).unwrap();
    assert_eq!(gauge(), 3.0);
    routes.remove_blocking(Method::GET, "/async").unwrap();
    assert_eq!(gauge(), 2.0);
    routes.add_blocking(get("/more", thread_name).run_async()).unwrap();
    assert_eq!(gauge(), 3.0);
    assert_eq!(connect(&server).get("/async").status, 404);
    assert!(!connect(&server).get("/inline").text().starts_with("windlass-"));
}

#[test]
fn refused_changes_leave_the_route_table_unchanged() {
    let server = start(mixed());
    let routes = server.routes();
    assert!(
        routes.add_blocking(get("/inline", thread_name)).unwrap_err().to_string().contains("GET /inline")
    );
    assert!(routes.add_blocking(get("bad", thread_name)).is_err());
    let unknown = routes.set_dispatch_blocking(Method::GET, "/unknown", Dispatch::Async).unwrap_err();
    assert!(unknown.to_string().contains("/unknown"));
    assert_eq!(connect(&server).get("/inline").status, 200);
    assert_eq!(connect(&server).get("/bad").status, 404);
}

#[test]
fn a_request_in_flight_keeps_its_route_table() {
    let server = start(
        Router::new().route(
            get("/slow", async |_: Request| {
                tokio::time::sleep(Duration::from_millis(200)).await;
                "old"
            })
            .run_async(),
        ),
    );
    let mut peer = connect(&server);
    peer.request("GET", "/slow");
    eventually("the job runs", || server.pool().unwrap().stats().jobs.running == 1);
    server.routes().remove_blocking(Method::GET, "/slow").unwrap();
    assert_eq!(peer.reply().text(), "old");
    assert_eq!(peer.get("/slow").status, 404);
}

#[test]
fn the_pool_starts_with_the_first_async_route() {
    let server = start(Router::new().route(get("/inline", thread_name)));
    assert!(server.pool().is_none());
    server.routes().set_dispatch_blocking(Method::GET, "/inline", Dispatch::Async).unwrap();
    assert!(server.pool().is_some());
}

#[test]
fn a_full_pool_answers_503_and_recovers() {
    let settings = {
        let mut settings = PoolSettings::default();
        (settings.blocking_threads, settings.blocking_queue) = (1, 1);
        settings
    };
    let gate = Arc::new(std::sync::Barrier::new(2));
    let waiting = gate.clone();
    let router = Router::new().route(
        get("/hold", move |_: Request| {
            waiting.wait();
            "held"
        })
        .run_async(),
    );
    let server = builder(router).pool(settings).start().unwrap();
    let mut peers = [connect(&server), connect(&server), connect(&server)];
    let stats = || server.pool().unwrap().stats().blocking;
    peers[0].request("GET", "/hold");
    eventually("one job runs", || stats().running == 1);
    peers[1].request("GET", "/hold");
    eventually("one job waits", || stats().queued == 1);
    let refused = peers[2].get("/hold");
    assert_eq!(refused.status, 503);
    assert!((1..=3).contains(&refused.header("retry-after").unwrap().parse::<u8>().unwrap()));
    assert!(!refused.closes(), "a full pool must not close the connection");
    assert_eq!(server.metrics().pool_refused, 1);
    gate.wait();
    gate.wait();
    assert_eq!(peers[0].reply().text(), "held");
    assert_eq!(peers[1].reply().text(), "held");
    peers[2].request("GET", "/hold");
    gate.wait();
    assert_eq!(peers[2].reply().text(), "held");
}

#[test]
fn a_job_over_its_deadline_answers_503_and_the_connection_stays_open() {
    let mut timeouts = endless();
    timeouts.job = Some(Duration::from_millis(100));
    let router = Router::new()
        .route(get("/late", async |_: Request| std::future::pending::<()>().await).run_async())
        .route(get("/fine", thread_name));
    let server = builder(router).timeouts(timeouts).start().unwrap();
    let mut peer = connect(&server);
    let began = Instant::now();
    assert_eq!(peer.get("/late").status, 503);
    assert!(began.elapsed() >= Duration::from_millis(100), "{:?}", began.elapsed());
    assert_eq!(peer.get("/fine").status, 200);
    eventually("the job is dropped", || server.pool().unwrap().stats().jobs.cancelled == 1);
    assert_eq!(metric(&server, "windlass_timeouts_total{timer=\"job\"}"), 1.0);
}

#[test]
fn a_panic_answers_500_and_the_connection_stays_open() {
    fn boom(_: Request) -> Response {
        panic!("deliberate panic of the test")
    }
    async fn boom_later(_: Request) -> Response {
        panic!("deliberate panic of the test")
    }
    let router = Router::new()
        .route(get("/inline", boom))
        .route(get("/future", boom_later))
        .route(get("/async", boom_later).run_async())
        .route(get("/blocking", boom).run_async())
        .route(get("/fine", thread_name));
    let server = start(router);
    let mut peer = connect(&server);
    for path in ["/inline", "/future", "/async", "/blocking"] {
        assert_eq!(peer.get(path).status, 500, "{path}");
        assert_eq!(peer.get("/fine").status, 200, "after {path}");
    }
    assert_eq!(server.metrics().handler_panics, 4);
    assert_eq!(metric(&server, "windlass_panics_total{place=\"handler\"}"), 4.0);
}

/// Decrements a counter on drop.
struct Alive(Arc<AtomicUsize>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[test]
fn a_reset_cancels_the_jobs_of_the_connection() {
    let alive = Arc::new(AtomicUsize::new(0));
    let handler = {
        let alive = alive.clone();
        move |_: Request| {
            alive.fetch_add(1, Ordering::SeqCst);
            let alive = Alive(alive.clone());
            async move {
                tokio::time::sleep(TIMEOUT * 10).await;
                drop(alive);
                "never"
            }
        }
    };
    let router = Router::new().route(get("/async", handler.clone()).run_async());
    let server = start(router);
    let mut peer = connect(&server);
    peer.request("GET", "/async");
    eventually("the job runs", || alive.load(Ordering::SeqCst) == 1);
    peer.reset();
    eventually("the job is dropped", || alive.load(Ordering::SeqCst) == 0);
    eventually("the connection is closed", || server.metrics().connections == 0);
}

#[test]
fn a_waiting_inline_handler_stays_on_its_shard() {
    async fn nap(_: Request) -> String {
        windlass::sleep(Duration::from_millis(50)).await;
        thread_name_now()
    }
    fn thread_name_now() -> String {
        thread::current().name().unwrap_or_default().to_owned()
    }
    let server = start(Router::new().route(get("/nap", nap)).route(static_route("/static", "static")));
    let mut peer = connect(&server);
    let began = Instant::now();
    peer.send("GET /nap HTTP/1.1\r\nHost: t\r\n\r\nGET /static HTTP/1.1\r\nHost: t\r\n\r\n");
    assert!(peer.reply().text().starts_with("windlass-"));
    assert!(began.elapsed() >= Duration::from_millis(50));
    assert_eq!(peer.reply().text(), "static");
    assert_eq!(promoted(&server), 0, "a handler that waits on its shard must not promote");
}

#[test]
fn an_inline_handler_that_blocks_its_shard_is_counted() {
    let router = Router::new().route(get("/hog", |_: Request| thread::sleep(Duration::from_millis(30))));
    let server = start(router);
    assert_eq!(connect(&server).get("/hog").status, 200);
    assert_eq!(metric(&server, "windlass_inline_stalls_total{route=\"/hog\"}"), 1.0);
}

#[test]
fn a_thousand_waiting_jobs_overlap() {
    const JOBS: usize = 1024;
    // No job answers before all of them run.
    let all = Arc::new(Barrier::new(JOBS));
    let work = move |_: Request| {
        let all = all.clone();
        async move {
            all.wait().await;
            "done"
        }
    };
    let mut pool = PoolSettings::default();
    pool.jobs_per_worker = JOBS;
    let server = builder(Router::new().route(get("/work", work).run_async())).pool(pool).start().unwrap();
    // 32 requests in flight on each of 32 connections.
    let pipeline = "GET /work HTTP/1.1\r\nHost: t\r\n\r\n".repeat(32);
    let mut peers: Vec<_> = (0..JOBS / 32).map(|_| connect(&server)).collect();
    peers.iter_mut().for_each(|peer| peer.send(&pipeline));
    for peer in &mut peers {
        for _ in 0..32 {
            assert_eq!(peer.reply().text(), "done");
        }
    }
}
