//! Replies over HTTP/2: streams, trailers, flow control, cut replies, and echo while receiving.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Method};
use windlass::{
    Body, BoxError, Frame, Request, Response, Router, Server, Source,
    actors::Cores,
    get,
    http::{self, HeaderValue},
    post,
};

use super::{
    client::{Client, read, request},
    frames::{self, CANCEL, DATA, END_STREAM, HEADERS, Peer, RST_STREAM, WINDOW_UPDATE, frame},
};
use crate::common::{bodies::endless_reply_routes, builder, connect, endless, eventually, metric, start};

/// A body that yields `left` pieces, counts them, and ends with the result of `end`.
struct Pieces {
    left: usize,
    size: usize,
    produced: Arc<AtomicUsize>,
    end: fn() -> Option<Result<Frame, BoxError>>,
}

impl Source for Pieces {
    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame, BoxError>>> {
        if self.left == 0 {
            return Poll::Ready((self.end)());
        }
        self.left -= 1;
        self.produced.fetch_add(1, Ordering::SeqCst);
        Poll::Ready(Some(Ok(Frame::Data(vec![b'x'; self.size].into()))))
    }
}

fn pieces(
    count: usize,
    size: usize,
    end: fn() -> Option<Result<Frame, BoxError>>,
) -> (Body, Arc<AtomicUsize>) {
    let produced = Arc::new(AtomicUsize::new(0));
    (Body::source(Pieces { left: count, size, produced: produced.clone(), end }), produced)
}

fn body(count: usize, size: usize, end: fn() -> Option<Result<Frame, BoxError>>) -> Response {
    Response::new().with_body(pieces(count, size, end).0)
}

fn sum() -> HeaderMap {
    let trailers = [("x-sum", "7"), ("content-length", "7"), ("connection", "close")];
    trailers
        .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)))
        .into_iter()
        .collect()
}

fn routes() -> Router {
    let trailed = |_: Request| Response::new().with_body(Body::from("content").with_trailers(sum()));
    Router::new()
        .route(get("/streamed", |_: Request| body(100, 3000, || None)))
        .route(get("/streamed-async", async |_: Request| body(100, 3000, || None)).run_async())
        .route(get("/large", |_: Request| vec![b'x'; 5 << 20]))
        .route(get("/trailed", trailed))
        .route(get("/trailers-only", |_: Request| Response::new().with_header("grpc-status", "12")))
        .route(get("/ends-in-trailers", |_: Request| body(3, 10, || Some(Ok(Frame::Trailers(sum()))))))
        .route(get("/fails", |_: Request| body(3, 10, || Some(Err("deliberate failure of the test".into())))))
        .route(get("/panics", |_: Request| body(3, 10, || panic!("deliberate failure of the test"))))
        .route(get("/aborts", |_: Request| {
            let (mut sender, body) = Body::channel_with_len(1000, 1000);
            drop(
                std::pin::pin!(sender.send("part".into()))
                    .poll(&mut Context::from_waker(std::task::Waker::noop())),
            );
            Response::new().with_body(body)
        }))
        .route(get("/small", |_: Request| "small"))
        .route(post("/both", echo_pieces).streamed().run_async())
}

/// Echoes each piece of the body as it arrives.
async fn echo_pieces(mut request: Request) -> Response {
    let (mut sender, body) = Body::channel(10_000);
    tokio::spawn(async move {
        let mut incoming = request.take_body();
        while let Some(Ok(piece)) = incoming.next().await {
            if sender.send(piece).await.is_err() {
                return;
            }
        }
        sender.finish_with(sum());
    });
    Response::new().with_body(body)
}

fn server() -> Server {
    start(routes())
}

#[test]
fn replies_of_every_kind_arrive_complete() {
    let server = server();
    let mut client = Client::connect(&server);
    for (path, length) in [("/streamed", 300_000), ("/streamed-async", 300_000), ("/large", 5 << 20)] {
        let reply = client.get(path);
        assert_eq!((reply.status, reply.body.len(), reply.trailers), (200, length, None), "{path}");
    }
}

#[test]
fn trailers_end_the_stream_except_forbidden_ones() {
    let server = server();
    let mut client = Client::connect(&server);
    for (path, length) in [("/trailed", 7), ("/ends-in-trailers", 30)] {
        let reply = client.get(path);
        let trailers = reply.trailers.unwrap();
        assert_eq!(
            (reply.body.len(), trailers.len(), trailers["x-sum"].to_str().unwrap()),
            (length, 1, "7"),
            "{path}"
        );
    }
    let old = connect(&server).get("/trailed");
    assert_eq!(
        (old.text(), old.trailers.as_slice()),
        ("content".to_owned(), &[("x-sum".to_owned(), "7".to_owned())][..])
    );
    let mut peer = Peer::connect(&server);
    peer.get(1, "/trailers-only");
    assert!(peer.reply(1).ends_stream(), "the reply must consist of a single HEADERS frame");
    peer.get(3, "/trailed");
    let frames = [peer.reply(3), peer.wait(|f| f.kind == DATA), peer.wait(|f| f.kind == HEADERS)];
    assert_eq!(frames.map(|frame| frame.ends_stream()), [false, false, true]);
}

#[test]
fn a_failing_reply_resets_its_stream() {
    let server = server();
    let mut peer = Peer::connect(&server);
    for (stream, path) in [(1, "/fails"), (3, "/panics"), (5, "/aborts")] {
        peer.get(stream, path);
        assert_eq!(peer.reply(stream).status(), 200, "{path}");
        assert_eq!(peer.reset(stream), 2, "{path}: INTERNAL_ERROR");
    }
    peer.get(7, "/small");
    assert_eq!(peer.body(7), b"small");
}

#[test]
fn a_body_may_be_echoed_while_it_arrives() {
    let server = server();
    let mut client = Client::connect(&server);
    let (response, mut up) = client.open(request(Method::POST, "/both"));
    let response = client.wait(response).unwrap();
    let mut down = response.into_body();
    for round in 0..50_u8 {
        let piece = vec![round; 1000 + usize::from(round)];
        up.send_data(Bytes::from(piece.clone()), false).unwrap();
        let mut echoed = Vec::new();
        while echoed.len() < piece.len() {
            let data = client.wait(down.data()).unwrap().unwrap();
            down.flow_control().release_capacity(data.len()).unwrap();
            echoed.extend_from_slice(&data);
        }
        assert_eq!(echoed, piece);
    }
    up.send_data(Bytes::new(), true).unwrap();
    assert!(client.wait(down.data()).is_none());
    assert_eq!(client.wait(down.trailers()).unwrap().unwrap()["x-sum"], "7");
}

#[test]
fn a_full_window_pauses_the_producer() {
    let (produced, counted) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let own = produced.clone();
    let endless = move |_: Request| {
        Response::new().with_body(Body::source(Pieces {
            left: usize::MAX,
            size: 1000,
            produced: own.clone(),
            end: || None,
        }))
    };
    let server = start(routes().route(get("/endless", endless)));
    // The stream's window is 10,000 bytes, the connection's 65,535.
    let mut peer = Peer::connect_with(&server, &[(4, 10_000)]);
    peer.get(1, "/endless");
    peer.reply(1);
    while counted.load(Ordering::Relaxed) < 10_000 {
        let data = peer.wait(|frame| frame.kind == DATA);
        counted.fetch_add(data.payload.len(), Ordering::Relaxed);
    }
    peer.get(3, "/small");
    assert_eq!(peer.body(3), b"small", "a full stream window must not affect other streams");
    peer.expect_silence(Duration::from_millis(100));
    let taken = produced.load(Ordering::SeqCst);
    assert!(taken <= 11, "{taken} pieces of 1,000 bytes were taken for a window of 10,000");
    peer.send(frame(WINDOW_UPDATE, 0, 1, 5000_u32.to_be_bytes()));
    let mut more = 0;
    while more < 5000 {
        more += peer.wait(|frame| frame.kind == DATA).payload.len();
    }
    assert!(produced.load(Ordering::SeqCst) <= 16);
}

#[test]
fn a_client_that_does_not_read_its_socket_pauses_the_producer() {
    let produced = Arc::new(AtomicUsize::new(0));
    let own = produced.clone();
    let endless = move |_: Request| {
        Response::new().with_body(Body::source(Pieces {
            left: usize::MAX,
            size: 10_000,
            produced: own.clone(),
            end: || None,
        }))
    };
    let server = start(Router::new().route(get("/endless", endless)));
    let mut peer = Peer::connect_with(&server, &[(4, 0x7fff_ffff)]);
    peer.send(frame(WINDOW_UPDATE, 0, 0, 0x7fff_0000_u32.to_be_bytes()));
    peer.get(1, "/endless");
    let taken = || produced.load(Ordering::SeqCst);
    eventually("the producer runs", || taken() > 50);
    let mut before = taken();
    eventually("the producer is paused", || {
        std::thread::sleep(Duration::from_millis(50));
        std::mem::replace(&mut before, taken()) == taken()
    });
    // Includes the kernel's buffers of both sides, some MiB, and the server's of 1 MiB.
    assert!(taken() * 10_000 < 16 << 20, "{} bytes were taken", taken() * 10_000);
    for _ in 0..1000 {
        peer.wait(|frame| frame.kind == DATA);
    }
    eventually("the producer continues", || taken() > before);
}

#[test]
fn a_window_that_stays_almost_closed_resets_its_stream_and_no_other() {
    let mut timeouts = endless();
    timeouts.write_stall = Some(Duration::from_millis(300));
    let server = builder(routes()).timeouts(timeouts).start().unwrap();
    let mut peer = Peer::connect_with(&server, &[(4, 10)]);
    peer.get(1, "/streamed");
    peer.get(3, "/large");
    peer.get(5, "/small");
    assert_eq!(peer.body(5), b"small");
    // Opening the window byte by byte does not help.
    let mut reset = 0;
    while reset < 2 {
        for stream in [1, 3] {
            peer.send(frame(WINDOW_UPDATE, 0, stream, 1_u32.to_be_bytes()));
        }
        let frame = peer.wait(|frame| frame.kind == DATA || frame.kind == RST_STREAM);
        if frame.kind == RST_STREAM {
            assert_eq!(frame.code(), CANCEL);
            reset += 1;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    peer.get(7, "/small");
    assert_eq!(peer.body(7), b"small");
    eventually("both stalls are counted", || {
        metric(&server, "windlass_timeouts_total{timer=\"write_stall\"}") == 2.0
    });
}

#[test]
fn a_reply_whose_producer_stalls_is_reset() {
    let mut timeouts = endless();
    timeouts.stream_idle = Some(Duration::from_millis(200));
    let idle = |_: Request| {
        let (sender, body) = Body::channel(1000);
        // The sender stays alive but sends nothing.
        std::mem::forget(sender);
        Response::new().with_body(body)
    };
    let server = builder(routes().route(get("/idle", idle))).timeouts(timeouts).start().unwrap();
    let mut client = Client::connect(&server);
    let (response, _) = client.send.send_request(request(Method::GET, "/idle"), true).unwrap();
    let error = client.wait(read(response)).unwrap_err();
    assert_eq!(error.reason(), Some(::h2::Reason::INTERNAL_ERROR));
    assert_eq!(client.get("/small").text(), "small");
    assert_eq!(metric(&server, "windlass_timeouts_total{timer=\"stream_idle\"}"), 1.0);
}

#[test]
fn a_client_that_sent_a_fin_receives_its_replies() {
    let slow = async |_: Request| {
        tokio::time::sleep(Duration::from_millis(100)).await;
        "slow"
    };
    let server = start(routes().route(get("/slow", slow).run_async()));
    let mut peer = Peer::connect(&server);
    peer.send(frame(WINDOW_UPDATE, 0, 0, 1_000_000_u32.to_be_bytes()));
    peer.get(1, "/slow");
    peer.get(3, "/streamed-async");
    peer.headers(5, &frames::request("POST", "/both"), false);
    peer.finish();
    let mut received = [0; 6];
    while let Some(frame) = peer.next() {
        if frame.kind == DATA {
            received[frame.stream as usize] += frame.payload.len();
        }
        assert!(frame.stream != 5 || frame.flags & END_STREAM == 0);
    }
    assert_eq!(
        (received[1], received[3]),
        (4, 65_535),
        "each reply must be sent as far as its window allows"
    );
}

#[test]
fn an_endless_reply_that_starts_after_the_clients_fin_is_reset() {
    let (router, gate) = endless_reply_routes();
    let server = builder(router).cores(Cores::Unpinned(1)).start().unwrap();
    let mut peer = Peer::connect(&server);
    peer.get(1, "/inline");
    peer.get(3, "/async");
    peer.finish();
    assert_eq!(connect(&server).get("/small").text(), "small", "the only shard has processed the FIN");
    gate.add_permits(2);
    let resets: Vec<_> =
        std::iter::from_fn(|| peer.next()).filter(|frame| frame.kind == RST_STREAM).collect();
    assert!(resets.len() == 2 && resets.iter().all(|reset| reset.code() == CANCEL), "{resets:?}");
}

#[test]
fn endless_empty_frames_do_not_block_the_shard() {
    let router = Router::new()
        .route(get("/endless", |_: Request| body(usize::MAX, 0, || None)))
        .route(get("/small", |_: Request| "small"));
    let server = builder(router).cores(Cores::Unpinned(1)).start().unwrap();
    let mut client = Client::connect(&server);
    let (response, _) = client.open(request(Method::GET, "/endless"));
    assert_eq!(client.get("/small").text(), "small", "the same connection goes on");
    assert_eq!(connect(&server).get("/small").text(), "small", "and another one");
    drop(response);
}
