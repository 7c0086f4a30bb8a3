//! Pipelining on every kind of route: replies leave in request order, and no request is lost or run twice.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use tokio::sync::Barrier;
use windlass::{Request, Route, Router, get, post, put, static_route};

use crate::common::{Peer, connect, start};

async fn delayed_reply(request: Request) -> String {
    let ms = request.query_value("ms").map_or(0, |ms| ms.parse().unwrap());
    tokio::time::sleep(Duration::from_millis(ms)).await;
    format!("async {}", request.query_value("n").unwrap_or_default())
}

/// A route whose jobs answer as soon as this many run at the same time.
fn together(jobs: usize) -> Route {
    let all = Arc::new(Barrier::new(jobs));
    get("/together", move |request: Request| {
        let all = all.clone();
        async move {
            all.wait().await;
            format!("async {}", request.query_value("n").unwrap_or_default())
        }
    })
    .run_async()
}

fn inline_reply(request: Request) -> String {
    format!("inline {}", request.query_value("n").unwrap_or_default())
}

async fn echo(mut request: Request) -> Vec<u8> {
    request.take_body().collect(usize::MAX).await.unwrap().to_vec()
}

fn routes() -> Router {
    Router::new()
        .route(static_route("/static", "static"))
        .route(get("/inline", inline_reply))
        .route(get("/async", delayed_reply).run_async())
        .route(post("/echo", echo))
        .route(post("/echo-async", echo).run_async())
        .route(post("/echo-streamed", echo).streamed())
        .route(post("/echo-streamed-async", echo).streamed().run_async())
}

fn request(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: t\r\n\r\n")
}

fn post_request(path: &str, body: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: t\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

fn chunked_request(path: &str, chunks: &[&str]) -> String {
    let chunks: String = chunks.iter().map(|chunk| format!("{:x}\r\n{chunk}\r\n", chunk.len())).collect();
    format!("POST {path} HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n")
}

#[track_caller]
fn expect(peer: &mut Peer, texts: &[&str]) {
    for text in texts {
        assert_eq!(peer.reply().text(), *text);
    }
}

#[test]
fn pipelined_inline_after_async_keeps_order() {
    let server = start(routes());
    let mut peer = connect(&server);
    peer.send(
        request("/async?ms=60&n=1") + &request("/inline?n=2") + &request("/static") + &request("/async?n=3"),
    );
    expect(&mut peer, &["async 1", "inline 2", "static", "async 3"]);
}

#[test]
fn pipelined_async_after_inline_keeps_order_without_delaying_earlier_replies() {
    let server = start(routes().route(together(2)));
    let (mut peer, mut other) = (connect(&server), connect(&server));
    peer.send(request("/inline?n=1") + &request("/static") + &request("/together?n=2"));
    // The job waits for that of the other connection.
    expect(&mut peer, &["inline 1", "static"]);
    other.send(request("/together?n=3"));
    expect(&mut peer, &["async 2"]);
}

#[test]
fn pipelined_safe_requests_overlap_on_the_pool() {
    let server = start(routes().route(together(10)));
    let mut peer = connect(&server);
    peer.send((0..10).map(|n| request(&format!("/together?n={n}"))).collect::<String>());
    for n in 0..10 {
        expect(&mut peer, &[&format!("async {n}")]);
    }
}

#[test]
fn pipelined_unsafe_requests_do_not_overlap() {
    let running = Arc::new(AtomicUsize::new(0));
    let max_running = Arc::new(AtomicUsize::new(0));
    let counted = {
        let (running, max_running) = (running.clone(), max_running.clone());
        move |_: Request| {
            let (running, max_running) = (running.clone(), max_running.clone());
            async move {
                max_running.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(20)).await;
                running.fetch_sub(1, Ordering::SeqCst);
                "done"
            }
        }
    };
    let router =
        Router::new().route(get("/r", counted.clone()).run_async()).route(put("/r", counted).run_async());
    let server = start(router);
    let mut peer = connect(&server);
    let put = "PUT /r HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\n\r\n";
    peer.send(request("/r") + put + put + &request("/r"));
    expect(&mut peer, &["done", "done", "done", "done"]);
    assert_eq!(max_running.load(Ordering::SeqCst), 1);
}

#[test]
fn bodies_of_pipelined_requests_reach_their_own_handler() {
    let server = start(routes());
    for path in ["/echo", "/echo-async", "/echo-streamed", "/echo-streamed-async"] {
        let mut peer = connect(&server);
        peer.send(
            request("/async?ms=20&n=1")
                + &post_request(path, "first body")
                + &request("/inline?n=2")
                + &post_request(path, "second")
                + &chunked_request(path, &["abc", "de"])
                + &request("/static"),
        );
        expect(&mut peer, &["async 1", "first body", "inline 2", "second", "abcde", "static"]);
    }
}

#[test]
fn twelve_requests_in_one_write_are_answered_in_order() {
    let server = start(routes());
    let mut peer = connect(&server);
    let paths = ["/static", "/inline?n=x", "/async?ms=5&n=y", "/async?n=z"];
    let texts = ["static", "inline x", "async y", "async z"];
    peer.send((0..12).map(|n| request(paths[n % 4])).collect::<String>());
    for n in 0..12 {
        expect(&mut peer, &[texts[n % 4]]);
    }
}

#[test]
fn requests_split_at_any_byte_are_answered() {
    let server = start(routes());
    let bytes = request("/async?ms=1&n=1") + &post_request("/echo-async", "body") + &request("/inline?n=2");
    for cut in 1..bytes.len() {
        let mut peer = connect(&server);
        peer.send(&bytes[..cut]);
        // The two parts may or may not arrive together: every interleaving must work.
        thread::yield_now();
        peer.send(&bytes[cut..]);
        expect(&mut peer, &["async 1", "body", "inline 2"]);
    }
}

#[test]
fn requests_over_the_pipeline_limit_are_all_answered() {
    let server = start(routes());
    let mut peer = connect(&server);
    peer.send((0..200).map(|n| request(&format!("/async?ms=1&n={n}"))).collect::<String>());
    for n in 0..200 {
        expect(&mut peer, &[&format!("async {n}")]);
    }
}

#[test]
fn a_client_that_sends_a_fin_still_receives_every_reply() {
    let server = start(routes());
    let mut peer = connect(&server);
    peer.send(request("/async?ms=50&n=1") + &post_request("/echo-async", "body") + &request("/inline?n=2"));
    peer.finish();
    expect(&mut peer, &["async 1", "body", "inline 2"]);
    peer.expect_close();
}

#[test]
fn connection_close_ends_the_connection_after_its_reply() {
    let server = start(routes());
    for path in ["/static", "/inline?n=1", "/async?ms=10&n=1"] {
        let mut peer = connect(&server);
        peer.send(
            format!("GET {path} HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n") + &request("/static"),
        );
        assert!(peer.reply().closes(), "{path}");
        peer.expect_close();
    }
}

#[test]
fn replies_do_not_cross_between_connections() {
    let server = start(routes());
    let failures = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for client in 0..300 {
            let (server, failures) = (&server, &failures);
            scope.spawn(move || {
                let mut peer = connect(server);
                for round in 0..10 {
                    let n = format!("{client}-{round}");
                    peer.send(
                        request(&format!("/async?ms={}&n={n}", round % 3))
                            + &request(&format!("/inline?n={n}")),
                    );
                    for want in [format!("async {n}"), format!("inline {n}")] {
                        let got = peer.reply().text();
                        if got != want {
                            failures.lock().unwrap().push((want, got));
                        }
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "{failures:?}");
}
