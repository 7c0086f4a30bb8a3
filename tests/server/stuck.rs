//! Threads that do not return from a handler: logged with the route, counted, and told by the health check.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use prometheus::core::Collector;
use windlass::{PoolSettings, Request, Router, Server, get};

use crate::common::{Peer, TIMEOUT, builder, connect, endless, eventually, logs};

/// Returns how often threads of this kind were stuck. The metrics page may be on a shard that is.
fn stuck(server: &Server, place: &str) -> f64 {
    let families = server.collector().collect();
    let family = families.iter().find(|family| family.name() == "windlass_stuck_threads_total").unwrap();
    let metrics = family.get_metric().iter();
    let mut of_place = metrics.filter(|metric| metric.get_label().iter().any(|label| label.value() == place));
    of_place.next().unwrap().get_counter().get_value()
}

/// Returns the status of the health check, from a shard that answers.
fn health(server: &Server) -> u16 {
    let began = Instant::now();
    loop {
        assert!(began.elapsed() < TIMEOUT, "no shard answers");
        let mut peer = connect(server);
        peer.request("GET", "/healthz");
        let waiting = Instant::now();
        while waiting.elapsed() < Duration::from_millis(500) {
            if peer.is_readable() {
                return peer.reply().status;
            }
            thread::sleep(Duration::from_millis(2));
        }
    }
}

/// A handler that holds its thread until it is released.
#[derive(Clone, Default)]
struct Holder(Arc<AtomicBool>);

impl Holder {
    fn hold(&self) -> &'static str {
        while !self.0.load(Ordering::SeqCst) {
            thread::sleep(Duration::from_millis(2));
        }
        "released"
    }

    fn release(&self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

fn serve(router: Router) -> Server {
    let mut timeouts = endless();
    timeouts.stuck = Some(Duration::from_millis(200));
    timeouts.stuck_unhealthy = Some(Duration::from_millis(400));
    // Long enough that a busy machine begins the job in time: a job that is late is not begun.
    timeouts.job = Some(Duration::from_secs(2));
    let mut pool = PoolSettings::default();
    (pool.workers, pool.blocking_threads) = (Some(1), 1);
    builder(router).timeouts(timeouts).pool(pool).start().unwrap()
}

/// Holds a thread with a request, and checks what is told of it.
#[track_caller]
fn expect_told(server: &Server, holder: &Holder, path: &str, place: &str, fails: bool) {
    assert_eq!((health(server), stuck(server, place)), (200, 0.0));
    let mut peer: Peer = connect(server);
    peer.request("GET", path);
    eventually("the stuck thread is counted", || stuck(server, place) == 1.0);
    let lines =
        || logs::lines(&["ERROR", "thread is stuck", &format!("route={path}"), &format!("place={place}")]);
    eventually("the stuck thread is logged with its route", || !lines().is_empty());
    if fails {
        eventually("the health check fails", || health(server) == 503);
    } else {
        thread::sleep(Duration::from_millis(500));
        assert_eq!(health(server), 200);
    }
    holder.release();
    eventually("the thread has recovered", || health(server) == 200);
    let recovered = || logs::lines(&["no longer stuck", &format!("place={place}")]);
    eventually("the recovery is logged", || !recovered().is_empty());
    assert_eq!((lines().len(), stuck(server, place)), (1, 1.0), "it is told once");
}

#[test]
fn a_stuck_shard_is_told_with_its_route() {
    logs::record();
    let holder = Holder::default();
    let held = holder.clone();
    let server = serve(Router::new().route(get("/stuck/inline", move |_: Request| held.hold())));
    expect_told(&server, &holder, "/stuck/inline", "shard", true);
}

#[test]
fn a_shard_that_is_stuck_in_a_waiting_handler_is_told_with_its_route() {
    logs::record();
    let holder = Holder::default();
    let held = holder.clone();
    let wait = move |_: Request| {
        let held = held.clone();
        async move {
            let mut has_waited = false;
            std::future::poll_fn(|cx| {
                cx.waker().wake_by_ref();
                if std::mem::replace(&mut has_waited, true) {
                    std::task::Poll::Ready(())
                } else {
                    std::task::Poll::Pending
                }
            })
            .await;
            held.hold()
        }
    };
    let server = serve(Router::new().route(get("/stuck/waiting", wait)));
    expect_told(&server, &holder, "/stuck/waiting", "shard", true);
}

#[test]
fn a_stuck_worker_is_told_with_its_route() {
    logs::record();
    let holder = Holder::default();
    let held = holder.clone();
    let hold = move |_: Request| {
        let held = held.clone();
        async move { held.hold() }
    };
    let server = serve(Router::new().route(get("/stuck/async", hold).run_async()));
    expect_told(&server, &holder, "/stuck/async", "worker", true);
}

#[test]
fn a_stuck_blocking_thread_is_told_but_leaves_the_server_healthy() {
    logs::record();
    let holder = Holder::default();
    let held = holder.clone();
    let server =
        serve(Router::new().route(get("/stuck/blocking", move |_: Request| held.hold()).run_async()));
    expect_told(&server, &holder, "/stuck/blocking", "blocking", false);
}

#[test]
fn a_lock_held_across_an_await_is_told_with_the_route_that_waits_for_it() {
    static LOCK: std::sync::Mutex<()> = std::sync::Mutex::new(());
    async fn locks(_: Request) -> &'static str {
        let guard = LOCK.lock();
        tokio::time::sleep(Duration::from_millis(100)).await;
        drop(guard);
        "unlocked"
    }
    logs::record();
    let server = serve(Router::new().route(get("/stuck/lock", windlass::local(locks)).run_async()));
    let mut peers: Vec<_> = (0..2).map(|_| connect(&server)).collect();
    peers.iter_mut().for_each(|peer| peer.request("GET", "/stuck/lock"));
    eventually("the worker is told", || !logs::lines(&["thread is stuck", "route=/stuck/lock"]).is_empty());
    eventually("the health check fails", || health(&server) == 503);
}

#[test]
fn a_server_that_works_or_waits_is_healthy() {
    let server = serve(Router::new().route(get("/", |_: Request| "fine")));
    let (mut peer, began) = (connect(&server), Instant::now());
    while began.elapsed() < Duration::from_millis(600) {
        assert_eq!(peer.get("/").text(), "fine");
    }
    thread::sleep(Duration::from_millis(600));
    assert_eq!((health(&server), stuck(&server, "shard"), stuck(&server, "worker")), (200, 0.0, 0.0));
}
