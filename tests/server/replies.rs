//! Replies on the wire: framing by version and method, streams with back-pressure, streams that fail, Date.

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

/// One step of a scripted body.
#[derive(Clone)]
enum Step {
    Data(&'static str),
    Trailer(&'static str),
    Fail,
    Panic,
}

/// A body that comes as its script says.
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
            Step::Panic => panic!("expected by the test"),
        }))
    }

    fn len_bytes(&self) -> Option<u64> {
        self.len_bytes
    }
}

/// Serves a scripted body from a shard, from a worker and from a thread of its own.
fn scripted(steps: &[Step], len_bytes: Option<u64>) -> Server {
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

const LANES: [&str; 3] = ["/inline", "/async", "/blocking"];

/// Sends a request without keep-alive for an old version.
fn get_1_0(server: &Server, path: &str, lines: &str) -> Peer {
    let mut peer = connect(server);
    peer.send(format!("GET {path} HTTP/1.0\r\n{lines}\r\n"));
    peer
}

#[test]
fn a_stream_of_unknown_length_is_chunked_and_the_connection_goes_on() {
    let server = scripted(&[Step::Data("ab"), Step::Data("cde")], None);
    for path in LANES {
        let mut peer = connect(&server);
        let reply = peer.get(path);
        assert_eq!((reply.text().as_str(), reply.header("transfer-encoding")), ("abcde", Some("chunked")));
        assert_eq!(reply.header("content-length"), None);
        assert_eq!(peer.get(path).text(), "abcde");
    }
}

#[test]
fn a_stream_of_known_length_declares_it() {
    let server = scripted(&[Step::Data("ab"), Step::Data("cde")], Some(5));
    for path in LANES {
        let mut peer = connect(&server);
        let reply = peer.get(path);
        assert_eq!((reply.text().as_str(), reply.header("content-length")), ("abcde", Some("5")));
        assert_eq!(reply.header("transfer-encoding"), None);
        assert_eq!(peer.get(path).text(), "abcde");
    }
}

#[test]
fn an_old_client_gets_no_chunks_but_the_end_of_the_connection() {
    let server = scripted(&[Step::Data("ab"), Step::Trailer("7")], None);
    for path in LANES {
        for lines in ["", "Connection: keep-alive\r\n"] {
            let reply = get_1_0(&server, path, lines).reply();
            assert_eq!((reply.text().as_str(), reply.closes()), ("ab", true), "{path} {lines}");
        }
    }
}

#[test]
fn nothing_stands_behind_a_reply_that_the_close_ends() {
    let server = scripted(&[Step::Data("ab")], None);
    for path in LANES {
        let mut peer = connect(&server);
        peer.send(format!("GET {path} HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").repeat(3));
        assert_eq!(peer.reply().text(), "ab", "{path}");
        peer.expect_close();
    }
}

#[test]
fn nothing_stands_behind_a_reply_whose_handler_closes() {
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
fn trailers_follow_the_last_chunk_without_those_that_may_not() {
    let server = scripted(&[Step::Data("ab"), Step::Trailer("7")], None);
    for path in LANES {
        let mut peer = connect(&server);
        let reply = peer.get(path);
        assert_eq!(reply.trailers, [("x-sum".to_owned(), "7".to_owned())], "{path}");
        assert_eq!(peer.get("/static").text(), "static");
    }
}

#[test]
fn an_empty_piece_does_not_end_a_body() {
    let server = scripted(&[Step::Data(""), Step::Data("ab"), Step::Data(""), Step::Data("c")], None);
    for path in LANES {
        let mut peer = connect(&server);
        assert_eq!(peer.get(path).text(), "abc", "{path}");
        assert_eq!(peer.get("/static").text(), "static");
    }
}

#[test]
fn head_of_a_stream_has_its_head_only_and_the_body_is_dropped() {
    for (len_bytes, declared) in [(None, None), (Some(5), Some("5"))] {
        let server = scripted(&[Step::Data("ab"), Step::Data("cde")], len_bytes);
        for path in LANES {
            let mut peer = connect(&server);
            peer.request("HEAD", path);
            let reply = peer.reply_to("HEAD");
            assert_eq!((reply.status, reply.header("content-length")), (200, declared), "{path}");
            assert_eq!(peer.get("/static").text(), "static", "{path}");
        }
    }
}

/// Asserts that what came is the beginning of a reply that any client sees is cut.
#[track_caller]
fn expect_cut(mut peer: Peer, what: &str) {
    let (bytes, end) = peer.read_to_close();
    let shown = bytes.escape_ascii();
    assert!(
        end == End::Reset || Reply::parse(&bytes, "GET", false).is_none(),
        "{what}: a cut reply looks whole: {shown}"
    );
    let head = String::from_utf8_lossy(&bytes).to_lowercase();
    if end == End::Fin {
        assert!(
            head.contains("transfer-encoding: chunked\r\n") || head.contains("content-length:"),
            "{what}: only a reset shows that this is cut: {shown}"
        );
    }
}

#[test]
fn a_stream_that_fails_is_seen_to_be_cut() {
    for (what, step) in [("failure", Step::Fail), ("panic", Step::Panic)] {
        for len_bytes in [None, Some(100)] {
            let server = scripted(&[Step::Data("ab"), step.clone()], len_bytes);
            for path in LANES {
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
fn a_stream_that_lies_about_its_length_is_seen_to_be_cut() {
    let short = [Step::Data("abc")];
    let short_with_trailers = [Step::Data("abc"), Step::Trailer("7")];
    let long = [Step::Data("abc"), Step::Data("defgh")];
    for (what, steps, len_bytes) in
        [("short", &short[..], 5), ("short with trailers", &short_with_trailers, 5), ("long", &long, 5)]
    {
        let server = scripted(steps, Some(len_bytes));
        for path in LANES {
            let mut peer = connect(&server);
            peer.request("GET", path);
            peer.try_send("GET /static HTTP/1.1\r\nHost: t\r\n\r\n");
            expect_cut(peer, &format!("{what} {path}"));
        }
    }
}

#[test]
fn a_sender_dropped_before_its_end_is_seen_to_be_cut() {
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

/// A body without an end that counts what was taken of it.
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
fn a_reader_that_stops_stops_the_producer_and_going_on_goes_on() {
    // Together with what the kernel holds for both sides.
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
        eventually("the producer stands still", || {
            std::thread::sleep(Duration::from_millis(50));
            let now = taken.load(Ordering::SeqCst);
            std::mem::replace(&mut before, now) == now && now > 0
        });
        assert!(before < BOUND, "{before} bytes were produced for a peer that reads none");
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
fn an_endless_stream_of_nothing_does_not_hold_its_shard() {
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
fn a_reply_without_an_end_that_begins_behind_a_fin_is_ended() {
    let (router, gate) = endless_reply_routes();
    let server = builder(router).cores(Cores::Unpinned(1)).start().unwrap();
    for path in ["/inline", "/async"] {
        let mut peer = connect(&server);
        peer.request("GET", path);
        peer.finish();
        assert_eq!(connect(&server).get("/small").text(), "small", "the only shard has seen the end");
        gate.add_permits(1);
        let (came, end) = peer.read_to_close();
        assert!(end == End::Fin && !came.ends_with(b"0\r\n\r\n"), "{path}: {}", came.escape_ascii());
    }
}

fn plain() -> Router {
    Router::new().route(static_route("/static", "static")).route(get("/inline", |_: Request| "inline")).route(
        get("/async", async |_: Request| {
            tokio::time::sleep(Duration::from_millis(1)).await;
            "async"
        })
        .run_async(),
    )
}

const PLAIN: [&str; 3] = ["/static", "/inline", "/async"];

#[test]
fn an_old_client_keeps_its_connection_only_if_it_asks() {
    let server = start(plain());
    for path in PLAIN {
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
fn head_has_the_head_that_get_would_have() {
    let server = start(plain());
    for path in PLAIN {
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
fn the_date_is_an_imf_fixdate_and_moves() {
    let server = start(plain());
    let mut peers: Vec<_> = PLAIN.iter().map(|path| (*path, connect(&server))).collect();
    let mut date = |at: usize| {
        let (path, peer) = &mut peers[at];
        let text = peer.get(path).header("date").unwrap().to_owned();
        assert_eq!(text.len(), 29, "{text}");
        assert!(text.ends_with(" GMT") && text.as_bytes()[3..5] == *b", ", "{text}");
        httpdate::parse_http_date(&text).unwrap()
    };
    for at in 0..PLAIN.len() {
        let first = date(at);
        let off = SystemTime::now().duration_since(first).unwrap();
        assert!(off < Duration::from_secs(2), "the date is {off:?} old");
        eventually("the date moves", || date(at) > first);
    }
}

#[test]
fn statuses_without_a_body_have_none() {
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
fn headers_of_the_message_itself_are_the_servers() {
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
fn a_large_reply_is_whole_over_many_small_reads() {
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
    for path in PLAIN {
        let mut peer = Peer::connect(address(&server));
        peer.set_receive_buffer(256 * 1024);
        peer.request("GET", path);
        peer.request("GET", path);
        assert!(peer.reply().text() == expected && peer.reply().text() == expected, "{path}");
    }
}
