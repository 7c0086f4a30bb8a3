//! Cancelled streams: the handler of a stream that ends early is dropped, while other streams continue.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use http::Method;
use tokio::sync::Semaphore;
use windlass::{
    Body, BoxError, Frame, PoolSettings, Request, Response, Router, Server, Source, get, http, post,
};

use super::{
    client::{Client, read, request},
    frames::{self, CANCEL, DATA, Peer, RST_STREAM, frame},
};
use crate::common::{builder, endless, eventually, metric};

/// Counts its live instances.
struct Guard(Arc<AtomicUsize>);

impl Guard {
    fn new(living: &Arc<AtomicUsize>) -> Self {
        living.fetch_add(1, Ordering::SeqCst);
        Self(living.clone())
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A body that never yields data.
struct EndlessBody(#[allow(dead_code, reason = "the guard is dropped with the body")] Guard);

impl Source for EndlessBody {
    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame, BoxError>>> {
        Poll::Pending
    }
}

const LONG: Duration = Duration::from_secs(100);

/// Starts a server with handlers that never finish. Returns it with the number of running handlers.
fn server() -> (Server, Arc<AtomicUsize>) {
    let living = Arc::new(AtomicUsize::new(0));
    let (inline, queued, streams, reads) = (living.clone(), living.clone(), living.clone(), living.clone());
    let silent = living.clone();
    let router = Router::new()
        .route(get("/inline", move |_: Request| {
            let guard = Guard::new(&inline);
            async move {
                windlass::sleep(LONG).await;
                drop(guard);
            }
        }))
        .route(
            get("/async", move |_: Request| {
                let guard = Guard::new(&queued);
                async move {
                    tokio::time::sleep(LONG).await;
                    drop(guard);
                }
            })
            .run_async(),
        )
        .route(
            get("/stream", move |_: Request| {
                let guard = Guard::new(&streams);
                async move {
                    let (mut sender, body) = Body::channel(1000);
                    tokio::spawn(async move {
                        while sender.send("tick".into()).await.is_ok() {
                            tokio::time::sleep(Duration::from_millis(1)).await;
                        }
                        drop(guard);
                    });
                    Response::new().with_body(body)
                }
            })
            .run_async(),
        )
        .route(
            post("/reads", move |mut request: Request| {
                let guard = Guard::new(&reads);
                async move {
                    let read = request.take_body().collect(usize::MAX).await;
                    drop(guard);
                    read.unwrap_or_default()
                }
            })
            .streamed()
            .run_async(),
        )
        .route(
            get("/silent", move |_: Request| {
                let body = Body::source(EndlessBody(Guard::new(&silent)));
                async { Response::new().with_body(body) }
            })
            .run_async(),
        )
        .route(get("/small", |_: Request| "small"));
    let mut pool = PoolSettings::default();
    pool.workers = Some(2);
    (builder(router).pool(pool).start().unwrap(), living)
}

fn begin(peer: &mut Peer, stream: u32, path: &str) {
    match path {
        "/reads" => {
            peer.headers(stream, &frames::request("POST", path), false);
            peer.send(frame(DATA, 0, stream, b"part"));
        }
        _ => peer.get(stream, path),
    }
}

const ALL: [&str; 5] = ["/inline", "/async", "/stream", "/reads", "/silent"];

#[test]
fn a_reset_stream_cancels_its_handler_and_no_other() {
    let (server, living) = server();
    let mut peer = Peer::connect(&server);
    for (stream, path) in (1..).step_by(4).zip(ALL) {
        begin(&mut peer, stream, path);
        begin(&mut peer, stream + 2, path);
        eventually("both handlers run", || living.load(Ordering::SeqCst) == 2);
        peer.send(frame(RST_STREAM, 0, stream, CANCEL.to_be_bytes()));
        eventually("one handler is cancelled", || living.load(Ordering::SeqCst) == 1);
        peer.get(1000 + stream, "/small");
        assert_eq!(peer.body(1000 + stream), b"small", "{path}");
        std::mem::replace(&mut peer, Peer::connect(&server)).reset_connection();
        eventually(&format!("the other handler ends with its connection: {path}"), || {
            living.load(Ordering::SeqCst) == 0
        });
    }
}

#[test]
fn a_reset_connection_cancels_all_its_handlers() {
    let (server, living) = server();
    let mut peer = Peer::connect(&server);
    for stream in (1..81).step_by(2) {
        begin(&mut peer, stream, ALL[stream as usize / 2 % ALL.len()]);
    }
    eventually("all handlers run", || living.load(Ordering::SeqCst) == 40);
    peer.reset_connection();
    eventually("all handlers are cancelled", || living.load(Ordering::SeqCst) == 0);
    eventually("no job runs in the pool", || {
        metric(&server, "windlass_pool_running_jobs{lane=\"async\"}") == 0.0
    });
    assert_eq!(Client::connect(&server).get("/small").text(), "small");
}

#[test]
fn a_stream_error_cancels_its_handler() {
    let (server, living) = server();
    for path in ALL {
        let mut peer = Peer::connect(&server);
        begin(&mut peer, 1, path);
        eventually("the handler runs", || living.load(Ordering::SeqCst) == 1);
        // An increment that takes the window over its maximum.
        peer.send(frame(frames::WINDOW_UPDATE, 0, 1, 0x7fff_ffff_u32.to_be_bytes()));
        assert_eq!(peer.reset(1), frames::FLOW_CONTROL_ERROR, "{path}");
        eventually("the handler is cancelled", || living.load(Ordering::SeqCst) == 0);
        peer.get(3, "/small");
        assert_eq!(peer.body(3), b"small");
    }
}

#[test]
fn a_job_over_its_deadline_is_answered_503_on_its_stream() {
    let living = Arc::new(AtomicUsize::new(0));
    let own = living.clone();
    let over_deadline = move |_: Request| {
        let guard = Guard::new(&own);
        async move {
            tokio::time::sleep(LONG).await;
            drop(guard);
        }
    };
    let mut timeouts = endless();
    timeouts.job = Some(Duration::from_millis(200));
    let router = Router::new()
        .route(get("/late", over_deadline).run_async())
        .route(get("/small", |_: Request| "small"));
    let server = builder(router).timeouts(timeouts).start().unwrap();
    let mut client = Client::connect(&server);
    let (over_deadline, _) = client.send.send_request(request(Method::GET, "/late"), true).unwrap();
    assert_eq!(client.get("/small").text(), "small", "another stream must not wait for the job");
    let reply = client.wait(read(over_deadline)).unwrap();
    assert_eq!((reply.status, reply.header("retry-after").is_some()), (503, true));
    eventually("the job is cancelled", || living.load(Ordering::SeqCst) == 0);
    assert_eq!(metric(&server, "windlass_timeouts_total{timer=\"job\"}"), 1.0);
}

#[test]
fn a_slow_stream_does_not_delay_others() {
    let gate = Arc::new(Semaphore::new(0));
    let closed = gate.clone();
    let slow = move |_: Request| {
        let gate = closed.clone();
        async move {
            gate.acquire().await.unwrap().forget();
            "slow"
        }
    };
    let router =
        Router::new().route(get("/slow", slow).run_async()).route(get("/small", |_: Request| "small"));
    let server = builder(router).start().unwrap();
    let mut peer = Peer::connect(&server);
    peer.get(1, "/slow");
    for stream in (3..2003).step_by(2) {
        peer.get(stream, "/small");
        if stream % 100 == 1 {
            peer.wait(|frame| frame.stream == stream && frame.ends_stream());
        }
    }
    assert_eq!(server.metrics().requests, 1000, "all requests except the slow one are answered");
    gate.add_permits(1);
    assert_eq!(peer.body(1), b"slow");
}
