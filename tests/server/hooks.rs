//! Request hooks: each request calls the start hook once and the end hook once.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use windlass::{Body, Hooks, PoolSettings, Request, RequestEnd, Router, Server, get, post, static_route};

use crate::common::{builder, connect, eventually, metric};

/// Owned copy of the argument of an end hook.
#[derive(Clone, Debug, PartialEq)]
struct RecordedEnd {
    what: String,
    route: Option<String>,
    status: Option<u16>,
    error: Option<String>,
    body_bytes: u64,
    duration: Duration,
}

impl RecordedEnd {
    fn of(end: &RequestEnd<'_>) -> Self {
        Self {
            what: format!("{} {}", end.method, end.path),
            route: end.route.map(str::to_owned),
            status: end.status.map(|status| status.as_u16()),
            error: end.error.map(str::to_owned),
            body_bytes: end.body_bytes,
            duration: end.duration,
        }
    }
}

/// Records the calls of start and end hooks.
#[derive(Clone, Default)]
struct Recorder {
    starts: Arc<Mutex<Vec<String>>>,
    ends: Arc<Mutex<Vec<RecordedEnd>>>,
}

impl Recorder {
    fn hooks(&self) -> Hooks {
        let (starts, ends) = (self.starts.clone(), self.ends.clone());
        Hooks::default()
            .on_start(move |start| {
                let query = start.query.map(|query| format!("?{query}")).unwrap_or_default();
                starts.lock().unwrap().push(format!("{} {}{query}", start.method, start.path));
            })
            .on_end(move |end| ends.lock().unwrap().push(RecordedEnd::of(end)))
    }

    /// Waits for the end of the only request, and returns and clears the record.
    #[track_caller]
    fn only_end(&self) -> RecordedEnd {
        eventually("the request ends", || !self.ends.lock().unwrap().is_empty());
        let starts = std::mem::take(&mut *self.starts.lock().unwrap());
        let ends = std::mem::take(&mut *self.ends.lock().unwrap());
        assert_eq!((starts.len(), ends.len()), (1, 1), "{starts:?} {ends:?}");
        assert!(starts[0].starts_with(&ends[0].what), "{starts:?} {ends:?}");
        ends[0].clone()
    }

    fn is_empty(&self) -> bool {
        self.starts.lock().unwrap().is_empty() && self.ends.lock().unwrap().is_empty()
    }
}

async fn nap(_: Request) -> &'static str {
    windlass::sleep(Duration::from_millis(30)).await;
    "inline later"
}

async fn delayed(_: Request) -> &'static str {
    tokio::time::sleep(Duration::from_millis(30)).await;
    "async"
}

fn blocking(_: Request) -> &'static str {
    thread::sleep(Duration::from_millis(30));
    "blocking"
}

fn boom(_: Request) -> &'static str {
    panic!("deliberate panic of the test")
}

fn stream(_: Request) -> Body {
    let (mut sender, body) = Body::channel(1024);
    thread::spawn(move || {
        for _ in 0..10 {
            if block_on(sender.send(bytes::Bytes::from_static(&[b'x'; 500]))).is_err() {
                return;
            }
        }
        sender.finish();
    });
    body
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn routes() -> Router {
    Router::new()
        .route(static_route("/static", "static"))
        .route(get("/inline/{id}", || "inline"))
        .route(get("/nap", nap))
        .route(get("/async", delayed).run_async())
        .route(get("/blocking", blocking).run_async())
        .route(get("/boom", boom))
        .route(get("/boom-async", boom).run_async())
        .route(get("/stream", stream))
        .route(get("/stream-async", stream).run_async())
        .route(post("/small", || "small").body_limit(4))
        .route(post("/whole", || "whole"))
}

fn start_recording() -> (Server, Recorder) {
    let recorder = Recorder::default();
    (builder(routes()).hooks(recorder.hooks()).start().unwrap(), recorder)
}

#[test]
fn every_kind_of_request_calls_both_hooks_once_with_its_details() {
    let (server, recorder) = start_recording();
    let mut peer = connect(&server);
    let table = [
        ("/static", "/static", 200, 6, None, 0),
        ("/inline/7?q=1", "/inline/{id}", 200, 6, None, 0),
        ("/nap", "/nap", 200, 12, None, 30),
        ("/async", "/async", 200, 5, None, 30),
        ("/blocking", "/blocking", 200, 8, None, 30),
        ("/boom", "/boom", 500, 42, Some("the handler panicked"), 0),
        ("/boom-async", "/boom-async", 500, 42, Some("the handler panicked"), 0),
        ("/stream", "/stream", 200, 5000, None, 0),
        ("/stream-async", "/stream-async", 200, 5000, None, 0),
    ];
    for (target, route, status, bytes, error, ms) in table {
        let asked = Instant::now();
        let reply = peer.get(target);
        let end = recorder.only_end();
        let took = asked.elapsed();
        assert_eq!(end.what, format!("GET {}", target.split('?').next().unwrap()));
        assert_eq!((end.route.as_deref(), end.status), (Some(route), Some(status)), "{target}");
        assert_eq!((end.body_bytes, reply.body.len() as u64), (bytes, bytes), "{target}");
        assert_eq!(end.error.as_deref(), error, "{target}");
        let possible = Duration::from_millis(ms)..=took;
        assert!(possible.contains(&end.duration), "{target} took {:?} of {took:?}", end.duration);
    }
}

#[test]
fn the_end_hook_gets_no_route_for_unmatched_requests() {
    let (server, recorder) = start_recording();
    let mut peer = connect(&server);
    assert_eq!(peer.get("/nowhere?x=1").status, 404);
    let end = recorder.only_end();
    assert_eq!((end.what.as_str(), end.route, end.status), ("GET /nowhere", None, Some(404)));
    peer.request("DELETE", "/static");
    assert_eq!(peer.reply().status, 405);
    assert_eq!((recorder.only_end().route, recorder.is_empty()), (None, true));
    let own = Recorder::default();
    let server = builder(Router::new().not_found(|| "own")).hooks(own.hooks()).start().unwrap();
    assert_eq!(connect(&server).get("/x").text(), "own");
    let end = own.only_end();
    assert_eq!((end.route, end.status, end.body_bytes), (None, Some(200), 3));
}

#[test]
fn the_end_hook_counts_no_body_bytes_for_head() {
    let (server, recorder) = start_recording();
    let mut peer = connect(&server);
    for path in ["/static", "/inline/7", "/async"] {
        peer.request("HEAD", path);
        peer.reply_to("HEAD");
        let end = recorder.only_end();
        assert_eq!((end.what, end.status, end.body_bytes), (format!("HEAD {path}"), Some(200), 0));
    }
}

#[test]
fn refused_bodies_call_the_end_hook() {
    let (server, recorder) = start_recording();
    assert_eq!(connect(&server).post("/small", "fives").status, 413);
    assert_eq!(recorder.only_end().status, Some(413));
    let mut peer = connect(&server);
    peer.send("POST /small HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfives\r\n0\r\n\r\n");
    assert_eq!(peer.reply().status, 413);
    assert_eq!(recorder.only_end().status, Some(413));
    let mut peer = connect(&server);
    peer.send("POST /whole HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\nbad\n");
    assert_eq!(peer.reply().status, 400);
    assert_eq!(recorder.only_end().status, Some(400));
    assert_eq!(connect(&server).get("/inline/%ff").status, 400);
    let end = recorder.only_end();
    assert_eq!((end.what.as_str(), end.route, end.status), ("GET /inline/%ff", None, Some(400)));
}

#[test]
fn a_disconnect_inside_the_request_body_calls_the_end_hook() {
    let (server, recorder) = start_recording();
    for leave in [|peer: crate::common::Peer| peer.reset(), |mut peer: crate::common::Peer| peer.finish()] {
        let mut peer = connect(&server);
        peer.send("POST /whole HTTP/1.1\r\nHost: t\r\nContent-Length: 10\r\n\r\nhalf");
        eventually("the request starts", || !recorder.starts.lock().unwrap().is_empty());
        leave(peer);
        let end = recorder.only_end();
        assert_eq!(
            (end.status, end.error.as_deref()),
            (None, Some("the connection ended before the exchange was complete"))
        );
    }
}

#[test]
fn a_disconnect_during_the_handler_calls_the_end_hook() {
    let router =
        Router::new().route(get("/hold", async |_: Request| std::future::pending::<()>().await).run_async());
    let recorder = Recorder::default();
    let server = builder(router).hooks(recorder.hooks()).start().unwrap();
    let mut peer = connect(&server);
    peer.request("GET", "/hold");
    eventually("the job runs", || server.pool().unwrap().stats().jobs.running == 1);
    assert!(recorder.ends.lock().unwrap().is_empty());
    peer.reset();
    let end = recorder.only_end();
    assert_eq!(
        (end.status, end.error.as_deref()),
        (None, Some("the connection ended before the exchange was complete"))
    );
    assert_eq!(end.route.as_deref(), Some("/hold"));
}

#[test]
fn a_disconnect_during_a_stream_reports_the_bytes_sent() {
    let router = Router::new().route(get("/endless", || {
        let (mut sender, body) = Body::channel(1024);
        block_on(sender.send(bytes::Bytes::from_static(b"first"))).unwrap();
        std::mem::forget(sender);
        body
    }));
    let recorder = Recorder::default();
    let server = builder(router).hooks(recorder.hooks()).start().unwrap();
    let mut peer = connect(&server);
    peer.request("GET", "/endless");
    peer.until(b"first");
    peer.reset();
    let end = recorder.only_end();
    assert_eq!((end.status, end.body_bytes), (Some(200), 5));
    assert_eq!(end.error.as_deref(), Some("the connection ended before the exchange was complete"));
}

#[test]
fn the_end_hook_gets_a_full_pool_as_the_error() {
    let mut settings = PoolSettings::default();
    (settings.blocking_threads, settings.blocking_queue) = (1, 1);
    let gate = Arc::new(std::sync::Barrier::new(2));
    let waiting = gate.clone();
    let hold = move |_: Request| {
        waiting.wait();
        "held"
    };
    let recorder = Recorder::default();
    let router = Router::new().route(get("/hold", hold).run_async());
    let server = builder(router).pool(settings).hooks(recorder.hooks()).start().unwrap();
    let mut peers = [connect(&server), connect(&server), connect(&server)];
    let stats = || server.pool().unwrap().stats().blocking;
    peers[0].request("GET", "/hold");
    eventually("one job runs", || stats().running == 1);
    peers[1].request("GET", "/hold");
    eventually("one job waits", || stats().queued == 1);
    assert_eq!(peers[2].get("/hold").status, 503);
    let ends = || recorder.ends.lock().unwrap().clone();
    eventually("the refused request has ended", || ends().len() == 1);
    assert_eq!(
        (ends()[0].status, ends()[0].error.as_deref()),
        (Some(503), Some("the queue of the pool is full"))
    );
    gate.wait();
    gate.wait();
    eventually("all requests have ended", || ends().len() == 3);
    assert!(ends()[1..].iter().all(|end| end.status == Some(200) && end.error.is_none()), "{:?}", ends());
}

#[test]
fn pipelined_requests_call_the_end_hook_in_order() {
    let (server, recorder) = start_recording();
    let mut peer = connect(&server);
    let paths = ["/async", "/static", "/inline/1", "/nap", "/blocking", "/static"];
    peer.send(paths.iter().map(|path| format!("GET {path} HTTP/1.1\r\nHost: t\r\n\r\n")).collect::<String>());
    paths.iter().for_each(|_| assert_eq!(peer.reply().status, 200));
    eventually("all requests have ended", || recorder.ends.lock().unwrap().len() == paths.len());
    let ended: Vec<_> = recorder.ends.lock().unwrap().iter().map(|end| end.what.clone()).collect();
    assert_eq!(ended, paths.map(|path| format!("GET {path}")));
    assert_eq!(*recorder.starts.lock().unwrap(), ended);
}

#[test]
fn hooks_are_called_in_the_order_they_were_added() {
    let order = Arc::new(Mutex::new(Vec::new()));
    let note = |what: &'static str| {
        let order = order.clone();
        move || order.lock().unwrap().push(what)
    };
    let (a, b, c, d) = (note("start 1"), note("start 2"), note("end 1"), note("end 2"));
    let hooks = Hooks::default()
        .on_start(move |_| a())
        .on_end(move |_| c())
        .on_start(move |_| b())
        .on_end(move |_| d());
    let server = builder(routes()).hooks(hooks).start().unwrap();
    connect(&server).get("/static");
    eventually("all hooks were called", || order.lock().unwrap().len() == 4);
    assert_eq!(*order.lock().unwrap(), ["start 1", "start 2", "end 1", "end 2"]);
}

#[test]
fn a_panicking_hook_is_counted_and_does_not_affect_the_request() {
    let recorder = Recorder::default();
    let hooks = Hooks::default()
        .on_start(|_| panic!("deliberate panic of the test"))
        .on_end(|_| panic!("deliberate panic of the test"));
    let hooks = {
        let (starts, ends) = (recorder.starts.clone(), recorder.ends.clone());
        hooks
            .on_start(move |start| starts.lock().unwrap().push(format!("{} {}", start.method, start.path)))
            .on_end(move |end| ends.lock().unwrap().push(RecordedEnd::of(end)))
    };
    let server = builder(routes()).hooks(hooks).start().unwrap();
    let mut peer = connect(&server);
    for path in ["/static", "/inline/1", "/async", "/nowhere"] {
        let status = peer.get(path).status;
        assert_eq!(recorder.only_end().status, Some(status), "the hooks after a panicking one must run");
    }
    // The request for the metrics page has started but not ended when the page is rendered.
    assert_eq!(metric(&server, "windlass_panics_total{place=\"hook\"}"), 9.0);
}

#[test]
fn hooks_belong_to_one_server() {
    let (counted, other) = (Arc::new(AtomicUsize::new(0)), builder(routes()).start().unwrap());
    let count = counted.clone();
    let hooks = Hooks::default().on_start(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
    });
    let server = builder(routes()).hooks(hooks).start().unwrap();
    connect(&other).get("/static");
    assert_eq!(counted.load(Ordering::SeqCst), 0);
    connect(&server).get("/static");
    assert_eq!(counted.load(Ordering::SeqCst), 1);
}

#[test]
fn hooks_see_the_peer() {
    let recorder = Arc::new(Mutex::new(Vec::new()));
    let (start, end) = (recorder.clone(), recorder.clone());
    let hooks = Hooks::default()
        .on_start(move |s| start.lock().unwrap().push(s.peer.address()))
        .on_end(move |e| end.lock().unwrap().push(e.peer.address()));
    let server = builder(routes()).hooks(hooks).start().unwrap();
    let mut peer = connect(&server);
    peer.get("/static");
    eventually("both hooks were called", || recorder.lock().unwrap().len() == 2);
    assert_eq!(*recorder.lock().unwrap(), [Some(peer.local_address()); 2]);
}

/// Calls of the refusal hook: line, status and rule.
type Refusals = Arc<Mutex<Vec<(String, u16, String)>>>;

/// Starts a server whose hooks record starts, ends and refusals.
fn with_refusals() -> (Server, Recorder, Refusals) {
    let (recorder, refusals) = (Recorder::default(), Refusals::default());
    let refused = refusals.clone();
    let hooks = recorder.hooks().on_refused(move |request| {
        let line = String::from_utf8_lossy(request.line).into_owned();
        refused.lock().unwrap().push((line, request.status.as_u16(), request.error.to_owned()));
    });
    let router = Router::new().route(get("/", |_: Request| "fine"));
    (builder(router).hooks(hooks).start().unwrap(), recorder, refusals)
}

/// Waits for the only refusal, and removes it.
#[track_caller]
fn only_refusal(refusals: &Refusals) -> (String, u16, String) {
    eventually("the request is refused", || !refusals.lock().unwrap().is_empty());
    let mut all = std::mem::take(&mut *refusals.lock().unwrap());
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

#[test]
fn bytes_that_are_no_request_call_only_the_refusal_hook() {
    let (server, recorder, refusals) = with_refusals();
    let long = "x".repeat(300);
    for (bytes, line, status, rule) in [
        ("nonsense\r\n\r\n", "nonsense", 400, "is not valid"),
        ("\r\nGET / HTTP/1.1\r\n\r\n", "GET / HTTP/1.1", 400, "Host"),
        ("GET / HTTP/3.0\r\nHost: t\r\n\r\n", "GET / HTTP/3.0", 505, "only HTTP/1.1"),
        (&format!("{long} / HTTP/1.1\r\n\r\n"), &long[..256], 400, "Host"),
    ] {
        let mut peer = connect(&server);
        peer.send(bytes);
        assert_eq!(peer.reply().status, status, "{bytes:?}");
        let refusal = only_refusal(&refusals);
        assert_eq!((refusal.0.as_str(), refusal.1), (line, status));
        assert!(refusal.2.contains(rule), "{refusal:?}");
    }
    assert!(recorder.is_empty());
    assert_eq!(connect(&server).get("/").status, 200);
    recorder.only_end();
    assert!(refusals.lock().unwrap().is_empty(), "a valid request is not refused");
}

#[cfg(feature = "http2")]
#[test]
fn an_invalid_request_calls_only_the_refusal_hook_over_http2() {
    use crate::h2::client::{Client, request};
    let (server, recorder, refusals) = with_refusals();
    let mut client = Client::connect(&server);
    for (name, value, status, rule) in
        [("expect", "200-ok", 417, "100-continue"), ("host", "other/x", 400, "Host or :authority")]
    {
        let mut invalid = request(windlass::http::Method::GET, "/");
        invalid.headers_mut().insert(name, value.parse().unwrap());
        assert_eq!(client.request(invalid, Default::default()).status, status, "{name}");
        let refusal = only_refusal(&refusals);
        assert_eq!((refusal.0.as_str(), refusal.1), ("", status), "over HTTP/2 there is no line");
        assert!(refusal.2.contains(rule), "{refusal:?}");
        assert!(recorder.is_empty(), "{name}");
    }
    assert_eq!((client.get("/").status, recorder.only_end().status), (200, Some(200)));
    assert!(refusals.lock().unwrap().is_empty(), "a valid request is not refused");
}

#[test]
fn a_panic_of_the_refusal_hook_is_counted_and_the_answer_is_sent() {
    let hooks = Hooks::default().on_refused(|_| panic!("deliberate panic of the test"));
    let server = builder(Router::new()).hooks(hooks).start().unwrap();
    let mut peer = connect(&server);
    peer.send("nonsense\r\n\r\n");
    assert_eq!(peer.reply().status, 400);
    eventually("the panic is counted", || metric(&server, "windlass_panics_total{place=\"hook\"}") == 1.0);
}
