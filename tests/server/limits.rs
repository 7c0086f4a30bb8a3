//! Limits as a client sees them: paused connections resume, refused requests get the right status, and
//! buffers are bounded.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use tokio::sync::Semaphore;
use windlass::{Limits, PoolSettings, Request, Router, Server, actors::Cores, get, post, static_route};

use crate::common::{Peer, address, builder, connect, eventually};

/// A client that cannot send for this long counts as blocked.
const STUCK: Duration = Duration::from_millis(400);

/// Upper bound of the data that the kernel buffers for both sides of a connection.
const KERNEL_BYTES: usize = 24 << 20;

fn server(router: Router, set: impl FnOnce(&mut Limits)) -> Server {
    let mut limits = Limits::default();
    set(&mut limits);
    builder(router).limits(limits).start().unwrap()
}

fn echo(mut request: Request) -> windlass::Body {
    request.take_body()
}

/// Waits until the number stops growing and returns it.
fn wait_until_stable(mut number: impl FnMut() -> usize) -> usize {
    let mut before = 0;
    eventually("the number stops growing", || {
        thread::sleep(Duration::from_millis(100));
        let now = number();
        std::mem::replace(&mut before, now) == now && now > 0
    });
    before
}

/// A handler that waits for a permit. Counts the current and the maximum number of waiting requests.
#[derive(Clone)]
struct Gate {
    gate: Arc<Semaphore>,
    inside: Arc<AtomicUsize>,
    max_inside: Arc<AtomicUsize>,
}

impl Gate {
    fn closed() -> Self {
        Self { gate: Arc::new(Semaphore::new(0)), inside: Arc::default(), max_inside: Arc::default() }
    }

    async fn pass(self, request: Request) -> String {
        self.max_inside.fetch_max(self.inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        let _ = self.gate.acquire().await.unwrap();
        self.inside.fetch_sub(1, Ordering::SeqCst);
        request.query_value("n").unwrap_or_default().into_owned()
    }

    fn route(&self) -> windlass::Route {
        let gate = self.clone();
        get("/gate", move |request: Request| gate.clone().pass(request))
    }
}

#[test]
fn requests_in_flight_per_connection_are_bounded_and_none_is_lost() {
    for run_async in [false, true] {
        let gate = Gate::closed();
        let route = if run_async { gate.route().run_async() } else { gate.route() };
        let server = server(Router::new().route(route), |l| l.pipelined = 3);
        let mut peer = connect(&server);
        peer.send(
            (0..50).map(|n| format!("GET /gate?n={n} HTTP/1.1\r\nHost: t\r\n\r\n")).collect::<String>(),
        );
        eventually("three requests are in flight", || gate.inside.load(Ordering::SeqCst) == 3);
        gate.gate.add_permits(1);
        for n in 0..50 {
            assert_eq!(peer.reply().text(), n.to_string());
        }
        assert_eq!(gate.max_inside.load(Ordering::SeqCst), 3, "inline: {}", !run_async);
    }
}

#[test]
fn reading_pauses_while_the_pipeline_is_full() {
    let gate = Gate::closed();
    let server = server(Router::new().route(gate.route().run_async()), |l| l.pipelined = 1);
    let mut peer = connect(&server);
    let padding = "x".repeat(8000);
    let requests: String =
        (0..3000).map(|n| format!("GET /gate?n={n} HTTP/1.1\r\nHost: t\r\nX: {padding}\r\n\r\n")).collect();
    let sent = peer.send_until_stuck(requests.as_bytes(), STUCK);
    assert!(sent < requests.len(), "the client must be blocked by back-pressure");
    let received = server.metrics().received_bytes;
    assert!(received < 1 << 20, "the server buffered {received} bytes of requests");
    gate.gate.add_permits(1);
    peer.send(&requests.as_bytes()[sent..]);
    for n in 0..3000 {
        assert_eq!(peer.reply().text(), n.to_string());
    }
    assert_eq!(gate.max_inside.load(Ordering::SeqCst), 1);
}

#[test]
fn unread_replies_pause_further_requests_until_they_are_read() {
    const REPLY_BYTES: usize = 64 * 1024;
    const REQUESTS: usize = 2000;
    let router = Router::new()
        .route(static_route("/static", "s".repeat(REPLY_BYTES)))
        .route(get("/inline", |_: Request| "i".repeat(REPLY_BYTES)))
        .route(get("/async", async |_: Request| "a".repeat(REPLY_BYTES)).run_async());
    for path in ["/static", "/inline", "/async"] {
        let server = server(router.clone(), |l| l.outbox_bytes = 100 * 1024);
        let mut peer = connect(&server);
        peer.set_receive_buffer(128 * 1024);
        let requests = format!("GET {path} HTTP/1.1\r\nHost: t\r\n\r\n").repeat(REQUESTS);
        let sent = peer.send_until_stuck(requests.as_bytes(), STUCK);
        let served = wait_until_stable(|| server.metrics().requests as usize);
        assert!(served * REPLY_BYTES < KERNEL_BYTES, "{path}: the server buffered {served} unread replies");
        let mut reader = peer.reader();
        let reading = thread::spawn(move || {
            for _ in 0..REQUESTS {
                assert_eq!(reader.reply().body.len(), REPLY_BYTES);
            }
        });
        peer.send(&requests.as_bytes()[sent..]);
        reading.join().unwrap();
    }
}

#[test]
fn connections_over_the_limit_wait_until_another_one_closes() {
    let mut limits = Limits::default();
    limits.connections = Some(3);
    let router = Router::new().route(static_route("/static", "static"));
    let server = builder(router).cores(Cores::Unpinned(1)).limits(limits).start().unwrap();
    let mut served: Vec<Peer> = (0..3).map(|_| connect(&server)).collect();
    for peer in &mut served {
        assert_eq!(peer.get("/static").text(), "static");
    }
    let mut waiting: Vec<Peer> = (0..3).map(|_| Peer::connect(address(&server))).collect();
    for peer in &mut waiting {
        peer.request("GET", "/static");
    }
    waiting[0].expect_silence(Duration::from_millis(200));
    assert_eq!(server.metrics().connections, 3);
    for peer in &mut served {
        assert_eq!(peer.get("/static").text(), "static", "established connections must still be served");
    }
    for (leaving, mut peer) in served.into_iter().zip(waiting) {
        drop(leaving);
        assert_eq!(peer.reply().text(), "static");
        assert!(server.metrics().connections <= 3);
        // Leaked, so that the next waiting connection is admitted only when the next served one closes.
        std::mem::forget(peer);
    }
}

#[test]
fn a_burst_of_connections_over_the_limit_is_served_completely() {
    let mut limits = Limits::default();
    limits.connections = Some(4);
    let router = Router::new().route(static_route("/static", "static"));
    let server = builder(router).cores(Cores::Unpinned(1)).limits(limits).start().unwrap();
    thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                for _ in 0..20 {
                    assert_eq!(connect(&server).get("/static").text(), "static");
                }
            });
        }
    });
    eventually("all connections are closed", || server.metrics().connections == 0);
    assert_eq!(server.metrics().accepted, 320);
}

#[test]
fn a_full_pool_refuses_requests_until_it_has_room() {
    let gate = Gate::closed();
    let mut pool = PoolSettings::default();
    (pool.workers, pool.jobs_per_worker, pool.queue) = (Some(1), 1, 2);
    let router = Router::new().route(gate.route().run_async()).route(get("/inline", |_: Request| "inline"));
    let server = builder(router).pool(pool).start().unwrap();
    let mut holders: Vec<Peer> = (0..3).map(|_| connect(&server)).collect();
    let jobs = || server.pool().unwrap().stats().jobs;
    holders[0].request("GET", "/gate?n=held");
    eventually("one job runs", || jobs().running == 1);
    holders[1..].iter_mut().for_each(|holder| holder.request("GET", "/gate?n=held"));
    eventually("one job runs and two wait", || (jobs().running, jobs().queued) == (1, 2));
    let mut peer = connect(&server);
    for _ in 0..50 {
        let refused = peer.get("/gate");
        assert_eq!((refused.status, refused.closes()), (503, false));
        assert!((1..=3).contains(&refused.header("retry-after").unwrap().parse::<u8>().unwrap()));
        assert_eq!(peer.get("/inline").status, 200, "a full pool must not affect inline routes");
    }
    assert_eq!(server.metrics().pool_refused, 50);
    gate.gate.add_permits(1);
    for holder in &mut holders {
        assert_eq!(holder.reply().text(), "held");
    }
    for n in 0..200 {
        assert_eq!(
            peer.get(&format!("/gate?n={n}")).text(),
            n.to_string(),
            "every later request must be served"
        );
    }
    assert_eq!(server.metrics().pool_refused, 50, "no later request may be refused");
}

#[test]
fn an_unread_body_is_discarded_up_to_the_limit() {
    let router =
        Router::new().route(static_route("/static", "static")).route(post("/limited", echo).body_limit(10));
    let server = server(router, |l| (l.discard_bytes, l.lingering_connections) = (1000, 0));
    let mut peer = connect(&server);
    assert_eq!(peer.post("/nowhere", [b'x'; 1000]).status, 404);
    assert_eq!(peer.get("/static").text(), "static", "a body within the limit must not close the connection");
    assert!(peer.post("/nowhere", [b'x'; 1001]).closes());
    let mut peer = connect(&server);
    peer.send("POST /limited HTTP/1.1\r\nHost: t\r\nContent-Length: 99999999\r\n\r\n");
    assert!(!peer.try_send(vec![b'x'; 32 << 20]), "the server must not read 32 MiB of a refused body");
    assert_eq!(peer.reply().status, 413);
    let cause = "cause=\"lingered\"";
    let page = connect(&server).get("/metrics").text();
    let lingered =
        page.lines().filter(|l| l.starts_with("windlass_connections_closed_total") && l.contains(cause));
    assert!(lingered.count() > 0, "{page}");
}

/// Sends bytes on a new connection and returns the status of the reply.
fn status(server: &Server, bytes: impl AsRef<[u8]>) -> u16 {
    let mut peer = connect(server);
    peer.send(bytes);
    peer.reply().status
}

#[test]
fn head_limits_are_exact() {
    let server = server(Router::new().route(get("/{*rest}", |_: Request| "served")), |l| {
        (l.request_line_bytes, l.head_bytes, l.headers) = (100, 400, 5);
    });
    let line = |bytes: usize| format!("GET /{} HTTP/1.1", "a".repeat(bytes - "GET / HTTP/1.1".len()));
    assert_eq!(status(&server, line(100) + "\r\nHost: t\r\n\r\n"), 200);
    assert_eq!(status(&server, line(101) + "\r\nHost: t\r\n\r\n"), 414);
    let head = |bytes: usize| {
        let around = "GET /a HTTP/1.1\r\nHost: t\r\nX: \r\n\r\n".len();
        format!("GET /a HTTP/1.1\r\nHost: t\r\nX: {}\r\n\r\n", "x".repeat(bytes - around))
    };
    assert_eq!(status(&server, head(400)), 200);
    assert_eq!(status(&server, head(401)), 431);
    let fields = |count: usize| format!("GET /a HTTP/1.1\r\nHost: t\r\n{}\r\n", "A: b\r\n".repeat(count - 1));
    assert_eq!(status(&server, fields(5)), 200);
    assert_eq!(status(&server, fields(6)), 431);
}

#[test]
fn body_limits_are_exact() {
    let router = Router::new().route(post("/", echo)).route(post("/own", echo).body_limit(50));
    let server = server(router, |l| {
        (l.body_bytes, l.chunk_extension_bytes, l.trailer_bytes) = (20, 10, 30);
    });
    for (path, limit) in [("/", 20), ("/own", 50)] {
        let whole = |bytes: usize| {
            format!("POST {path} HTTP/1.1\r\nHost: t\r\nContent-Length: {bytes}\r\n\r\n{}", "x".repeat(bytes))
        };
        assert_eq!(status(&server, whole(limit)), 200, "{path}");
        assert_eq!(status(&server, whole(limit + 1)), 413, "{path}");
        let chunked = |bytes: usize| {
            let body = "1\r\nx\r\n".repeat(bytes);
            format!("POST {path} HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n{body}0\r\n\r\n")
        };
        assert_eq!(status(&server, chunked(limit)), 200, "{path}");
        assert_eq!(status(&server, chunked(limit + 1)), 413, "{path}");
    }
    let coded =
        |rest: &str| format!("POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n1{rest}");
    assert_eq!(status(&server, coded(";a=b\r\nx\r\n1;cdef\r\ny\r\n0\r\n\r\n")), 200);
    assert_eq!(status(&server, coded(";a=b\r\nx\r\n1;cdefgh\r\ny\r\n0\r\n\r\n")), 400);
    assert_eq!(status(&server, coded("\r\nx\r\n0\r\nA: 4567890123456789012345678\r\n\r\n")), 431);
    assert_eq!(status(&server, coded("\r\nx\r\n0\r\nA: 45678901234567890123456\r\n\r\n")), 200);
}

#[test]
fn an_invalid_limit_is_named_in_the_error() {
    let mut limits = Limits::default();
    limits.pipelined = 0;
    assert!(limits.check().unwrap_err().contains("pipelined"));
}
