//! Replies on the wire: framing by version and method, back-pressure on streams, failing streams, and `Date`.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use windlass::{
    Body, BoxError, Frame, Request, Response, Router, Server, Source,
    actors::Cores,
    get,
    http::{HeaderMap, HeaderValue, header},
    static_route,
};

use crate::common::{
    End, Peer, Reply, address, bodies::endless_reply_routes, builder, connect, eventually, start,
};

/// A step of a scripted body.
#[derive(Clone)]
enum Step {
    Data(&'static str),
    Trailer(&'static str),
    Fail,
    Panic,
}

/// A response body that yields the steps of its script.
struct Script {
    steps: VecDeque<Step>,
    len_bytes: Option<u64>,
}

impl Source for Script {
    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame, BoxError>>> {
        Poll::Ready(self.steps.pop_front().map(|step| match step {
            Step::Data(text) => Ok(Frame::Data(Bytes::from_static(text.as_bytes()))),
            Step::Trailer(value) => {
                let mut trailers = HeaderMap::new();
                trailers.insert("x-sum", HeaderValue::from_static(value));
                trailers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("7"));
                Ok(Frame::Trailers(trailers))
            }
            Step::Fail => Err("scripted".into()),
            Step::Panic => panic!("deliberate panic of the test"),
        }))
    }

    fn len_bytes(&self) -> Option<u64> {
        self.len_bytes
    }
}

/// Serves a scripted body from an inline, an async and a blocking route.
fn serve_script(steps: &[Step], len_bytes: Option<u64>) -> Server {
    let steps: VecDeque<_> = steps.iter().cloned().collect();
    let handler = move |_: Request| Body::source(Script { steps: steps.clone(), len_bytes });
    start(
        Router::new()
            .route(get("/inline", handler.clone()))
            .route(get("/blocking", handler.clone()).run_async())
            .route(get("/async", move |request: Request| std::future::ready(handler(request))).run_async())
            .route(static_route("/static", "static")),
    )
}

const PATHS: [&str; 3] = ["/inline", "/async", "/blocking"];

/// Sends an HTTP/1.0 GET with these field lines.
fn get_1_0(server: &Server, path: &str, lines: &str) -> Peer {
    let mut peer = connect(server);
    peer.send(format!("GET {path} HTTP/1.0\r\n{lines}\r\n"));
    peer
}

#[test]
fn a_stream_of_unknown_length_is_chunked_and_the_connection_stays_open() {
    let server = serve_script(&[Step::Data("ab"), Step::Data("cde")], None);
    for path in PATHS {
        let mut peer = connect(&server);
        let reply = peer.get(path);
        assert_eq!((reply.text().as_str(), reply.header("transfer-encoding")), ("abcde", Some("chunked")));
        assert_eq!(reply.header("content-length"), None);
        assert_eq!(peer.get(path).text(), "abcde");
    }
}

#[test]
fn a_stream_of_known_length_declares_its_length() {
    let server = serve_script(&[Step::Data("ab"), Step::Data("cde")], Some(5));
    for path in PATHS {
        let mut peer = connect(&server);
        let reply = peer.get(path);
        assert_eq!((reply.text().as_str(), reply.header("content-length")), ("abcde", Some("5")));
        assert_eq!(reply.header("transfer-encoding"), None);
        assert_eq!(peer.get(path).text(), "abcde");
    }
}

#[test]
fn an_http_1_0_client_gets_no_chunks_and_the_connection_is_closed() {
    let server = serve_script(&[Step::Data("ab"), Step::Trailer("7")], None);
    for path in PATHS {
        for lines in ["", "Connection: keep-alive\r\n"] {
            let reply = get_1_0(&server, path, lines).reply();
            assert_eq!((reply.text().as_str(), reply.closes()), ("ab", true), "{path} {lines}");
        }
    }
}

#[test]
fn requests_after_a_reply_that_ends_with_the_connection_are_not_answered() {
    let server = serve_script(&[Step::Data("ab")], None);
    for path in PATHS {
        let mut peer = connect(&server);
        peer.send(format!("GET {path} HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").repeat(3));
        assert_eq!(peer.reply().text(), "ab", "{path}");
        peer.expect_close();
    }
}

#[test]
fn requests_after_a_reply_whose_handler_closes_are_not_answered() {
    let calls = Arc::new(AtomicUsize::new(0));
    let handler = {
        let calls = calls.clone();
        move |_: Request| {
            let call = calls.fetch_add(1, Ordering::SeqCst);
            async move {
                tokio::time::sleep(Duration::from_millis(if call == 0 { 50 } else { 0 })).await;
                Response::text("bye").with_header("connection", "close")
            }
        }
    };
    let server = start(Router::new().route(get("/", handler).run_async()));
    let mut peer = connect(&server);
    peer.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n".repeat(3));
    let reply = peer.reply();
    assert!(reply.closes());
    peer.expect_close();
}

#[test]
fn trailers_follow_the_last_chunk_except_forbidden_ones() {
    let server = serve_script(&[Step::Data("ab"), Step::Trailer("7")], None);
    for path in PATHS {
        let mut peer = connect(&server);
        let reply = peer.get(path);
        assert_eq!(reply.trailers, [("x-sum".to_owned(), "7".to_owned())], "{path}");
        assert_eq!(peer.get("/static").text(), "static");
    }
}

#[test]
fn an_empty_frame_does_not_end_a_body() {
    let server = serve_script(&[Step::Data(""), Step::Data("ab"), Step::Data(""), Step::Data("c")], None);
    for path in PATHS {
        let mut peer = connect(&server);
        assert_eq!(peer.get(path).text(), "abc", "{path}");
        assert_eq!(peer.get("/static").text(), "static");
    }
}

#[test]
fn head_of_a_stream_sends_no_body() {
    for (len_bytes, declared) in [(None, None), (Some(5), Some("5"))] {
        let server = serve_script(&[Step::Data("ab"), Step::Data("cde")], len_bytes);
        for path in PATHS {
            let mut peer = connect(&server);
            peer.request("HEAD", path);
            let reply = peer.reply_to("HEAD");
            assert_eq!((reply.status, reply.header("content-length")), (200, declared), "{path}");
            assert_eq!(peer.get("/static").text(), "static", "{path}");
        }
    }
}

/// Asserts that the received bytes are the start of a reply, and that a client can tell that it was cut.
#[track_caller]
fn expect_cut(mut peer: Peer, what: &str) {
    let (bytes, end) = peer.read_to_close();
    let shown = bytes.escape_ascii();
    assert!(
        end == End::Reset || Reply::parse(&bytes, "GET", false).is_none(),
        "{what}: a cut reply must not parse as complete: {shown}"
    );
    let head = String::from_utf8_lossy(&bytes).to_lowercase();
    if end == End::Fin {
        assert!(
            head.contains("transfer-encoding: chunked\r\n") || head.contains("content-length:"),
            "{what}: a FIN may end a cut reply only if its framing shows the cut: {shown}"
        );
    }
}

#[test]
fn a_failing_stream_is_recognizably_cut() {
    for (what, step) in [("failure", Step::Fail), ("panic", Step::Panic)] {
        for len_bytes in [None, Some(100)] {
            let server = serve_script(&[Step::Data("ab"), step.clone()], len_bytes);
            for path in PATHS {
                let mut peer = connect(&server);
                peer.send(format!(
                    "GET {path} HTTP/1.1\r\nHost: t\r\n\r\nGET /static HTTP/1.1\r\nHost: t\r\n\r\n"
                ));
                expect_cut(peer, &format!("{what} {path} {len_bytes:?}"));
                expect_cut(get_1_0(&server, path, ""), &format!("{what} {path} {len_bytes:?} 1.0"));
            }
            assert_eq!(connect(&server).get("/static").text(), "static");
        }
    }
}

#[test]
fn a_stream_with_a_wrong_length_is_recognizably_cut() {
    let short = [Step::Data("abc")];
    let short_with_trailers = [Step::Data("abc"), Step::Trailer("7")];
    let long = [Step::Data("abc"), Step::Data("defgh")];
    for (what, steps, len_bytes) in
        [("short", &short[..], 5), ("short with trailers", &short_with_trailers, 5), ("long", &long, 5)]
    {
        let server = serve_script(steps, Some(len_bytes));
        for path in PATHS {
            let mut peer = connect(&server);
            peer.request("GET", path);
            peer.try_send("GET /static HTTP/1.1\r\nHost: t\r\n\r\n");
            expect_cut(peer, &format!("{what} {path}"));
        }
    }
}

#[test]
fn a_sender_dropped_before_its_end_is_recognizably_cut() {
    fn dropped(_: Request) -> Response {
        let (mut sender, body) = Body::channel(100);
        assert!(sender.poll_ready(&mut Context::from_waker(std::task::Waker::noop())).is_ready());
        drop(sender);
        Response::new().with_body(body)
    }
    let server =
        start(Router::new().route(get("/inline", dropped)).route(get("/blocking", dropped).run_async()));
    for path in ["/inline", "/blocking"] {
        let mut peer = connect(&server);
        peer.request("GET", path);
        expect_cut(peer, path);
        expect_cut(get_1_0(&server, path, ""), path);
    }
}

/// An endless body that counts the bytes taken from it.
struct Endless {
    taken: Arc<AtomicUsize>,
    dropped: Arc<AtomicUsize>,
    piece: Bytes,
}

impl Source for Endless {
    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame, BoxError>>> {
        self.taken.fetch_add(self.piece.len(), Ordering::SeqCst);
        Poll::Ready(Some(Ok(Frame::Data(self.piece.clone()))))
    }
}

impl Drop for Endless {
    fn drop(&mut self) {
        self.dropped.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_client_that_stops_reading_pauses_the_producer_until_it_reads() {
    // Includes the kernel's buffers on both sides of the connection.
    const BOUND: usize = 24 << 20;
    for run_async in [false, true] {
        let (taken, dropped) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (take, drops) = (taken.clone(), dropped.clone());
        let route = get("/", move |_: Request| {
            let piece = Bytes::from_static(&[b'x'; 10_000]);
            Body::source(Endless { taken: take.clone(), dropped: drops.clone(), piece })
        });
        let route = if run_async { route.run_async() } else { route };
        let server = start(Router::new().route(route).route(static_route("/static", "static")));
        let mut peer = connect(&server);
        peer.set_receive_buffer(256 * 1024);
        peer.request("GET", "/");
        let mut before = 0;
        eventually("the producer is paused", || {
            std::thread::sleep(Duration::from_millis(50));
            let now = taken.load(Ordering::SeqCst);
            std::mem::replace(&mut before, now) == now && now > 0
        });
        assert!(before < BOUND, "{before} bytes were produced for a client that reads none");
        assert_eq!(connect(&server).get("/static").text(), "static");
        let mut read = 0;
        while read < before + (1 << 20) {
            read += peer.until(b"x\r\n").len();
        }
        assert!(taken.load(Ordering::SeqCst) > before);
        peer.reset();
        eventually("the producer is dropped", || dropped.load(Ordering::SeqCst) == 1);
    }
}

#[test]
fn an_endless_stream_of_empty_frames_does_not_block_its_shard() {
    let (taken, dropped) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let drops = dropped.clone();
    let route = get("/", move |_: Request| {
        Body::source(Endless { taken: taken.clone(), dropped: drops.clone(), piece: Bytes::new() })
    });
    let router = Router::new().route(route).route(static_route("/static", "static"));
    let server = builder(router).cores(windlass::actors::Cores::Unpinned(1)).start().unwrap();
    let mut peer = connect(&server);
    peer.request("GET", "/");
    peer.until(b"\r\n\r\n");
    assert_eq!(connect(&server).get("/static").text(), "static");
    peer.reset();
    eventually("the producer is dropped", || dropped.load(Ordering::SeqCst) == 1);
}

#[test]
fn an_endless_reply_that_starts_after_the_clients_fin_is_ended() {
    let (router, gate) = endless_reply_routes();
    let server = builder(router).cores(Cores::Unpinned(1)).start().unwrap();
    for path in ["/inline", "/async"] {
        let mut peer = connect(&server);
        peer.request("GET", path);
        peer.finish();
        assert_eq!(connect(&server).get("/small").text(), "small", "the only shard has processed the FIN");
        gate.add_permits(1);
        let (bytes, end) = peer.read_to_close();
        assert!(end == End::Fin && !bytes.ends_with(b"0\r\n\r\n"), "{path}: {}", bytes.escape_ascii());
    }
}

fn plain_routes() -> Router {
    Router::new().route(static_route("/static", "static")).route(get("/inline", |_: Request| "inline")).route(
        get("/async", async |_: Request| {
            tokio::time::sleep(Duration::from_millis(1)).await;
            "async"
        })
        .run_async(),
    )
}

const PLAIN_PATHS: [&str; 3] = ["/static", "/inline", "/async"];

#[test]
fn an_http_1_0_connection_is_kept_only_on_request() {
    let server = start(plain_routes());
    for path in PLAIN_PATHS {
        let mut peer = get_1_0(&server, path, "");
        let reply = peer.reply();
        assert_eq!((reply.text().as_str(), reply.version, reply.closes()), (&path[1..], 1, true));
        peer.expect_close();
        let mut peer = connect(&server);
        for _ in 0..3 {
            peer.send(format!("GET {path} HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"));
            let reply = peer.reply();
            assert_eq!((reply.text().as_str(), reply.header("connection")), (&path[1..], Some("keep-alive")));
        }
        peer.send(format!("GET {path} HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n"));
        assert!(peer.reply().closes());
        peer.expect_close();
    }
}

#[test]
fn head_has_the_same_headers_as_get() {
    let server = start(plain_routes());
    for path in PLAIN_PATHS {
        let mut peer = connect(&server);
        let mut full = peer.get(path);
        for _ in 0..2 {
            peer.request("HEAD", path);
        }
        let head = peer.reply_to("HEAD");
        assert!(head.body.is_empty());
        let without_date = |reply: &mut Reply| reply.headers.retain(|(name, _)| name != "date");
        assert_eq!(peer.reply_to("HEAD").body, b"");
        let mut head = head;
        without_date(&mut head);
        without_date(&mut full);
        assert_eq!(head.headers, full.headers, "{path}");
        peer.send(format!("HEAD {path} HTTP/1.0\r\n\r\n"));
        assert!(peer.reply_to("HEAD").closes());
        peer.expect_close();
    }
    let mut peer = connect(&server);
    peer.request("HEAD", "/nowhere");
    assert_eq!(peer.reply_to("HEAD").status, 404);
    assert_eq!(peer.get("/static").text(), "static");
}

#[test]
fn the_date_is_an_imf_fixdate_and_advances() {
    let server = start(plain_routes());
    let mut peers: Vec<_> = PLAIN_PATHS.iter().map(|path| (*path, connect(&server))).collect();
    let mut date = |at: usize| {
        let (path, peer) = &mut peers[at];
        let text = peer.get(path).header("date").unwrap().to_owned();
        assert_eq!(text.len(), 29, "{text}");
        assert!(text.ends_with(" GMT") && text.as_bytes()[3..5] == *b", ", "{text}");
        httpdate::parse_http_date(&text).unwrap()
    };
    for at in 0..PLAIN_PATHS.len() {
        let before = SystemTime::now();
        let first = date(at);
        // The field has whole seconds, and follows the steady clock between them.
        let earliest = before - Duration::from_secs(2);
        assert!(first > earliest && first <= SystemTime::now(), "{first:?}, requested at {before:?}");
        eventually("the date advances", || date(at) > first);
    }
}

#[test]
fn statuses_without_a_body_send_none() {
    let router = Router::new()
        .route(get("/204", |_: Request| Response::text("unseen").with_status(http_status(204))))
        .route(get("/304", |_: Request| Response::text("unseen").with_status(http_status(304))))
        .route(static_route("/static", "static"));
    let server = start(router);
    let mut peer = connect(&server);
    for status in [204, 304] {
        let reply = peer.get(&format!("/{status}"));
        assert_eq!((reply.status, reply.header("transfer-encoding")), (status, None));
        assert_eq!(peer.get("/static").text(), "static");
    }
}

fn http_status(code: u16) -> windlass::http::StatusCode {
    windlass::http::StatusCode::from_u16(code).unwrap()
}

#[test]
fn framing_headers_are_the_servers() {
    let router = Router::new().route(get("/", |_: Request| {
        Response::text("five!")
            .with_header("content-length", "3")
            .with_header("transfer-encoding", "chunked")
            .with_header("x-other", "kept")
    }));
    let server = start(router);
    let mut peer = connect(&server);
    for _ in 0..2 {
        let reply = peer.get("/");
        assert_eq!((reply.text().as_str(), reply.header("content-length")), ("five!", Some("5")));
        assert_eq!((reply.header("transfer-encoding"), reply.header("x-other")), (None, Some("kept")));
    }
}

#[test]
fn a_large_reply_arrives_complete_over_many_small_reads() {
    let body: String = (0..400_000).map(|n| format!("{n} ")).collect();
    let expected = body.clone();
    let router = Router::new()
        .route(static_route("/static", body.clone()))
        .route(get("/inline", {
            let body = body.clone();
            move |_: Request| body.clone()
        }))
        .route(get("/async", move |_: Request| body.clone()).run_async());
    let server = start(router);
    for path in PLAIN_PATHS {
        let mut peer = Peer::connect(address(&server));
        peer.set_receive_buffer(256 * 1024);
        peer.request("GET", path);
        peer.request("GET", path);
        assert!(peer.reply().text() == expected && peer.reply().text() == expected, "{path}");
    }
}
