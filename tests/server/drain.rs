//! Draining a server: which requests are served, which connections are cut, how long it takes, and the
//! report.

mod mixed;
mod publishing;
mod stalled;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use tokio::sync::Semaphore;
use windlass::{
    Body, DrainReport, PoolSettings, Request, Route, Router, Server, actors::Cores, get, post, static_route,
};

use crate::common::{
    ENDLESS, Hold, Peer, TIMEOUT, address, base_builder, builder, connect, endless, eventually, listens,
    start,
};

async fn delayed(request: Request) -> &'static str {
    let ms = request.query_value("ms").map_or(0, |ms| ms.parse().unwrap());
    tokio::time::sleep(Duration::from_millis(ms)).await;
    "async"
}

async fn forever(_: Request) {
    std::future::pending::<()>().await;
}

fn routes() -> Router {
    Router::new()
        .route(static_route("/static", "static"))
        .route(get("/inline", || "inline"))
        .route(get("/async", delayed).run_async())
        .route(get("/blocking", || "blocking").run_async())
        .route(get("/forever", forever).run_async())
        .route(post("/echo", |mut r: Request| r.take_body()))
}

fn running_jobs(server: &Server) -> u64 {
    server.pool().map_or(0, |pool| pool.stats().jobs.running as u64)
}

/// Drains on another thread and calls `during` once every shard has stopped listening.
fn while_draining(server: &Server, grace: Option<Duration>, during: impl FnOnce()) -> DrainReport {
    let address = address(server);
    while_unready(server, grace, || {
        eventually("every shard has stopped listening", || !listens(&address));
        during();
    })
}

/// Drains on another thread and calls `during` as soon as readiness is false, whatever state the shards are
/// in.
fn while_unready(server: &Server, grace: Option<Duration>, during: impl FnOnce()) -> DrainReport {
    thread::scope(|scope| {
        let drain = scope.spawn(|| server.drain(grace));
        eventually("readiness turns false", || !server.is_ready());
        during();
        drain.join().unwrap()
    })
}

/// Asserts that the drain ended because no work was left: the grace is [`endless`].
#[track_caller]
fn assert_quick_and_clean(report: &DrainReport) {
    assert!(report.duration < TIMEOUT, "{report}");
    assert!(report.system.is_clean(), "{report}");
}

#[test]
fn an_idle_server_drains_at_once() {
    for router in [Router::new(), routes()] {
        let server = start(router);
        let address = address(&server);
        let report = server.drain(None);
        assert_quick_and_clean(&report);
        assert_eq!((report.drained, report.cut_total()), (0, 0), "{report}");
        assert!(std::net::TcpStream::connect(address).is_err(), "nobody listens after the drain");
    }
}

#[test]
fn ten_servers_may_run_one_after_the_other_on_one_port() {
    let first = start(routes());
    let address = address(&first);
    drop(first);
    for cycle in 0..10 {
        let server =
            base_builder().listen(windlass::Listen::Tcp(address)).cores(Cores::Unpinned(2)).router(routes());
        let server = server.start().unwrap_or_else(|error| panic!("cycle {cycle}: {error}"));
        let mut peer = Peer::connect(address);
        assert_eq!(peer.get("/static").text(), "static");
        assert_eq!(peer.get("/async").text(), "async");
        assert_quick_and_clean(&server.drain(None));
        peer.expect_close();
    }
}

#[test]
fn clients_that_do_not_close_their_connections_do_not_delay_a_drain() {
    let mut timeouts = endless();
    timeouts.linger = ENDLESS;
    let server = builder(routes()).cores(Cores::Unpinned(4)).timeouts(timeouts).start().unwrap();
    let mut peers: Vec<_> = (0..32).map(|_| connect(&server)).collect();
    for (index, peer) in peers.iter_mut().enumerate() {
        let path = ["/static", "/inline", "/async", "/blocking"][index % 4];
        assert_eq!(peer.get(path).status, 200);
    }
    let report = server.drain(None);
    assert_quick_and_clean(&report);
    assert_eq!((report.drained, report.cut_total()), (32, 0), "{report}");
    peers.iter_mut().for_each(Peer::expect_close);
}

/// Results of a client that sends requests on one connection until it ends.
#[derive(Debug, Default)]
struct Load {
    answered: usize,
    failed: Vec<String>,
}

/// Sends requests until the server ends the connection: by `Connection: close`, or by a clean end before any
/// byte of a reply. Everything else that is not a whole reply is a failure.
///
/// `asked` counts requests, `begun` counts clients that have received a first reply.
fn ask_until_closed(
    server: std::net::SocketAddr,
    path: &str,
    asked: &AtomicUsize,
    begun: &AtomicUsize,
) -> Load {
    let mut peer = Peer::connect(server);
    let mut load = Load::default();
    loop {
        asked.fetch_add(1, Ordering::Relaxed);
        match peer.try_get(path) {
            Ok(Some(reply)) if reply.status == 200 => {
                load.answered += 1;
                begun.fetch_add(usize::from(load.answered == 1), Ordering::Relaxed);
                if reply.closes() {
                    return load;
                }
            }
            Ok(None) => return load,
            Ok(Some(reply)) => load.failed.push(format!("{path}: {}", reply.status)),
            Err(error) => load.failed.push(format!("{path}: {error}")),
        }
        if !load.failed.is_empty() {
            return load;
        }
    }
}

#[test]
fn a_drain_under_load_resets_no_request_and_truncates_no_reply() {
    const CLIENTS: usize = 24;
    for round in 0..4 {
        let server = start(routes());
        let (address, asked, begun) = (address(&server), AtomicUsize::new(0), AtomicUsize::new(0));
        let (loads, report) = thread::scope(|scope| {
            let ask = |index| {
                let path = ["/static", "/inline", "/async?ms=2", "/blocking"][index % 4];
                ask_until_closed(address, path, &asked, &begun)
            };
            let clients: Vec<_> = (0..CLIENTS).map(|index| scope.spawn(move || ask(index))).collect();
            eventually("every client sends requests", || {
                begun.load(Ordering::Relaxed) == CLIENTS && asked.load(Ordering::Relaxed) > CLIENTS * 20
            });
            let report = server.drain(None);
            (clients.into_iter().map(|client| client.join().unwrap()).collect::<Vec<_>>(), report)
        });
        let failed: Vec<_> = loads.iter().flat_map(|load| &load.failed).collect();
        assert!(failed.is_empty(), "round {round}: {failed:?}");
        assert!(loads.iter().all(|load| load.answered > 0), "{loads:?}");
        assert_eq!((report.drained, report.cut_total()), (CLIENTS as u64, 0), "{report}");
        assert!(report.duration < TIMEOUT, "{report}");
    }
}

#[test]
fn connections_queued_by_the_kernel_are_served() {
    let hold = Hold::new();
    let server = builder(routes().route(hold.route())).cores(Cores::Unpinned(1)).start().unwrap();
    let mut holder = hold.block(&server);
    let mut queued: Vec<_> = (0..40).map(|_| connect(&server)).collect();
    queued.iter_mut().for_each(|peer| peer.request("GET", "/inline"));
    let report = while_unready(&server, None, || {
        hold.release();
        assert_eq!(holder.reply().text(), "held");
        for peer in &mut queued {
            let reply = peer.reply();
            assert_eq!((reply.text().as_str(), reply.closes()), ("inline", true));
            peer.expect_close();
            peer.finish();
        }
    });
    assert_eq!((report.drained, report.cut_total()), (41, 0), "{report}");
}

#[test]
fn open_connections_see_readiness_503_during_a_drain() {
    let mut timeouts = endless();
    timeouts.drain_idle = TIMEOUT;
    let server = builder(routes()).timeouts(timeouts).start().unwrap();
    let (mut ready, mut health) = (connect(&server), connect(&server));
    assert_eq!((ready.get("/readyz").status, health.get("/healthz").status), (200, 200));
    let report = while_draining(&server, None, || {
        let readiness = ready.get("/readyz");
        assert_eq!((readiness.status, readiness.closes()), (503, true));
        assert_eq!(health.get("/healthz").status, 200);
        drop((ready, health));
    });
    assert_eq!((report.drained, report.cut_total()), (2, 0), "{report}");
}

#[test]
fn requests_in_progress_are_answered_with_connection_close() {
    let gate = Arc::new(Semaphore::new(0));
    let closed = gate.clone();
    let gated = move |_: Request| {
        let gate = closed.clone();
        async move {
            gate.acquire().await.unwrap().forget();
            "async"
        }
    };
    let server = start(routes().route(get("/gated", gated).run_async()));
    let (mut single, mut pipeline) = (connect(&server), connect(&server));
    single.request("GET", "/gated");
    pipeline.send("GET /gated HTTP/1.1\r\nHost: t\r\n\r\nGET /inline HTTP/1.1\r\nHost: t\r\n\r\n");
    pipeline.send("POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 4\r\n\r\nheld");
    eventually("both jobs run", || running_jobs(&server) == 2);
    let report = while_draining(&server, None, || {
        gate.add_permits(2);
        let reply = single.reply();
        assert_eq!((reply.text().as_str(), reply.closes()), ("async", true));
        single.expect_close();
        assert_eq!(pipeline.reply().text(), "async");
        assert_eq!(pipeline.reply().text(), "inline");
        let last = pipeline.reply();
        assert_eq!((last.text().as_str(), last.closes()), ("held", true));
        pipeline.expect_close();
        drop((single, pipeline));
    });
    assert_eq!((report.drained, report.cut_total()), (2, 0), "{report}");
}

#[test]
fn a_request_with_a_partly_received_body_is_answered() {
    let server = start(routes());
    let mut peer = connect(&server);
    peer.send("POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 4\r\n\r\nha");
    eventually("the server has received part of the body", || server.metrics().received_bytes > 50);
    let report = while_draining(&server, None, || {
        peer.send("lf");
        let reply = peer.reply();
        assert_eq!((reply.text().as_str(), reply.closes()), ("half", true));
        drop(peer);
    });
    assert_eq!((report.drained, report.cut_total()), (1, 0), "{report}");
}

/// A route whose reply body consists of the pieces that the test sends.
fn streamed(pieces: mpsc::Receiver<&'static str>) -> Route {
    let pieces = std::sync::Mutex::new(Some(pieces));
    get("/stream", move |_: Request| {
        let (mut sender, body) = Body::channel(1024);
        let pieces = pieces.lock().unwrap().take().unwrap();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            for piece in pieces {
                if runtime.block_on(sender.send(bytes::Bytes::from_static(piece.as_bytes()))).is_err() {
                    return;
                }
            }
            sender.finish();
        });
        body
    })
}

#[test]
fn a_streamed_reply_is_finished() {
    let (sender, pieces) = mpsc::channel();
    let server = start(Router::new().route(streamed(pieces)));
    let mut peer = connect(&server);
    sender.send("before ").unwrap();
    peer.request("GET", "/stream");
    peer.until(b"before ");
    let report = while_draining(&server, None, || {
        sender.send("during").unwrap();
        peer.until(b"during");
        drop(sender);
        peer.until(b"0\r\n\r\n");
        peer.expect_close();
        drop(peer);
    });
    assert_eq!((report.drained, report.cut_total()), (1, 0), "{report}");
}

#[test]
fn connections_that_outlive_the_grace_are_cut_and_reported_by_cause() {
    let (sender, pieces) = mpsc::channel();
    let server = start(routes().route(post("/body", || "")).route(streamed(pieces)));
    let mut idle: Vec<_> = (0..3).map(|_| connect(&server)).collect();
    idle.iter_mut().for_each(|peer| assert_eq!(peer.get("/static").status, 200));
    let (mut job, mut stream, mut body, mut head) =
        (connect(&server), connect(&server), connect(&server), connect(&server));
    job.request("GET", "/forever");
    stream.request("GET", "/stream");
    sender.send("begun").unwrap();
    stream.until(b"begun");
    eventually("the job runs", || running_jobs(&server) == 1);
    let before = server.metrics().received_bytes;
    let (half_body, half_head) =
        ("POST /body HTTP/1.1\r\nHost: t\r\nContent-Length: 4\r\n\r\nha", "GET /static HTTP/1.1\r\nHo");
    body.send(half_body);
    head.send(half_head);
    let sent = (half_body.len() + half_head.len()) as u64;
    eventually("both partial requests were received", || server.metrics().received_bytes >= before + sent);
    let began = Instant::now();
    let report = server.drain(Some(Duration::from_millis(700)));
    let expected =
        [("body_incoming", 1), ("handler_running", 1), ("head_incoming", 1), ("reply_streaming", 1)];
    assert_eq!(report.cut.clone().into_iter().collect::<Vec<_>>(), expected, "{report}");
    assert_eq!(report.drained, 3, "{report}");
    assert!(
        report.to_string().contains("drained 3 connections, cut 4 (body_incoming 1, handler_running 1"),
        "{report}"
    );
    assert!(began.elapsed() >= Duration::from_millis(700) && report.duration < TIMEOUT, "{report}");
    assert!(job.try_read_to_end().is_err(), "a cut reply must end with a reset");
    assert!(stream.try_read_to_end().is_err(), "a cut stream must end with a reset");
    assert_eq!(server.metrics().connections, 0);
}

#[test]
fn the_server_accepts_and_serves_for_the_delay_of_a_drain() {
    const DELAY: Duration = Duration::from_millis(1500);
    let mut timeouts = windlass::Timeouts::default();
    (timeouts.drain_delay, timeouts.grace) = (DELAY, ENDLESS);
    let server = builder(routes()).timeouts(timeouts).start().unwrap();
    let mut peers = vec![connect(&server)];
    let report = while_unready(&server, None, || {
        peers.push(connect(&server));
        for peer in &mut peers {
            let reply = peer.get("/inline");
            assert!(reply.status == 200 && !reply.closes(), "served as before");
        }
    });
    assert!(report.duration >= DELAY, "{report}");
    assert_eq!((report.drained, report.cut_total()), (2, 0), "{report}");
}

#[test]
fn cut_ends_the_delay_of_a_drain_and_no_grace_has_none() {
    let mut timeouts = windlass::Timeouts::default();
    (timeouts.drain_delay, timeouts.grace) = (ENDLESS, ENDLESS);
    for is_cut in [true, false] {
        let server = builder(routes()).timeouts(timeouts.clone()).start().unwrap();
        let report = match is_cut {
            true => while_unready(&server, None, || server.cut()),
            false => server.drain(Some(Duration::ZERO)),
        };
        assert_quick_and_clean(&report);
    }
}

#[test]
fn a_second_drain_returns_the_same_report() {
    let server = start(routes());
    let mut peer = connect(&server);
    peer.get("/static");
    let first = server.drain(None);
    let second = server.drain(Some(Duration::ZERO));
    assert_eq!(first.to_string(), second.to_string());
    assert_eq!((first.drained, second.duration), (1, first.duration));
}

#[test]
fn cut_ends_the_grace_early() {
    let server = start(routes());
    let mut peer = connect(&server);
    peer.request("GET", "/forever");
    eventually("the job runs", || running_jobs(&server) == 1);
    let report = while_draining(&server, Some(ENDLESS), || server.cut());
    assert_eq!((report.drained, report.cut.get("handler_running")), (0, Some(&1)), "{report}");
    assert_quick_and_clean(&report);
    assert!(peer.try_read_to_end().is_err());
}

#[test]
fn a_stuck_shard_with_a_full_inbox_does_not_delay_a_drain() {
    const REPLIES: usize = 5000;
    let (hold, gate) = (Hold::new(), Arc::new(Semaphore::new(0)));
    let closed = gate.clone();
    let waits = move |_: Request| {
        let gate = closed.clone();
        async move { gate.acquire().await.unwrap().forget() }
    };
    let mut pool = PoolSettings::default();
    (pool.workers, pool.jobs_per_worker, pool.queue) = (Some(1), REPLIES, REPLIES);
    let router = Router::new().route(hold.route()).route(get("/waits", waits).run_async());
    let server = builder(router).pool(pool).cores(Cores::Unpinned(1)).start().unwrap();
    let mut peers: Vec<_> = (0..REPLIES.div_ceil(20)).map(|_| connect(&server)).collect();
    peers.iter_mut().for_each(|peer| peer.send("GET /waits HTTP/1.1\r\nHost: test\r\n\r\n".repeat(20)));
    eventually("all jobs run", || running_jobs(&server) >= REPLIES as u64);
    let _holder = hold.block(&server);
    gate.add_permits(REPLIES);
    eventually("most jobs have replied, and the shard's inbox is full", || running_jobs(&server) < 1000);
    let report = server.drain(Some(Duration::from_millis(100)));
    assert!(report.shards_stuck == 1 && report.cut_total() == 0 && report.duration < TIMEOUT, "{report}");
}

#[test]
fn an_unlimited_grace_waits_without_a_panic() {
    let server = start(routes());
    let mut peer = connect(&server);
    peer.request("GET", "/async?ms=200");
    eventually("the job runs", || running_jobs(&server) == 1);
    let report = while_draining(&server, Some(Duration::MAX), || {
        assert_eq!(peer.reply().text(), "async");
        drop(peer);
    });
    assert_eq!((report.drained, report.cut_total()), (1, 0), "{report}");
}

#[test]
fn a_dropped_server_is_stopped() {
    let server = start(routes());
    let address = address(&server);
    let (mut running, mut idle) = (connect(&server), connect(&server));
    idle.get("/inline");
    running.request("GET", "/forever");
    eventually("the job runs", || running_jobs(&server) == 1);
    let began = Instant::now();
    drop(server);
    assert!(began.elapsed() < TIMEOUT, "{:?}", began.elapsed());
    assert!(running.try_read_to_end().is_err());
    assert!(std::net::TcpStream::connect(address).is_err());
}

#[test]
fn draining_one_server_does_not_affect_another() {
    let (one, two) = (start(routes()), start(routes()));
    let (mut first, mut second) = (connect(&one), connect(&two));
    assert_eq!(
        (first.get("/async").text(), second.get("/async").text()),
        ("async".to_owned(), "async".to_owned())
    );
    one.routes().add_blocking(static_route("/one", "one")).unwrap();
    assert_eq!((first.get("/one").status, second.get("/one").status), (200, 404));
    assert_quick_and_clean(&one.drain(None));
    assert!(two.is_ready());
    for path in ["/static", "/inline", "/async", "/blocking"] {
        assert_eq!(second.get(path).status, 200, "{path}");
    }
}

#[test]
fn routes_of_a_stopped_server_cannot_be_changed() {
    let server = start(routes());
    let handle = server.routes();
    server.drain(None);
    let refused = handle.add_blocking(static_route("/late", "late")).unwrap_err();
    assert!(refused.to_string().contains("did not answer"), "{refused}");
}
