//! Counts allocations per request: none on a static route, one for the future or the body of an inline one.
//!
//! This is a separate test binary because it replaces the global allocator.
#![allow(clippy::unwrap_used)]

mod counting;

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use windlass::{Body, EngineKind, Request, Response, Router, Server, actors::Cores, get, static_route};

const REQUESTS: u64 = 1000;

fn sync_handler(_: Request) -> Response {
    Response::json_text(r#"{"message":"Hello, World!"}"#)
}

async fn async_handler(_: Request) -> Response {
    Response::json_text(r#"{"message":"Hello, World!"}"#)
}

fn body_handler(_: Request) -> Response {
    Response::text(Body::from(vec![b'x'; 100]))
}

/// Counts the allocations of the whole process during `REQUESTS` requests on a warm connection.
fn allocations(stream: &mut TcpStream, path: &str) -> u64 {
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: test\r\nAccept: */*\r\n\r\n");
    let mut buffer = [0; 4096];
    let mut round = || {
        stream.write_all(request.as_bytes()).unwrap();
        let count = stream.read(&mut buffer).unwrap();
        assert!(buffer[..count].starts_with(b"HTTP/1.1 200 OK\r\n"));
    };
    (0..REQUESTS).for_each(|_| round());
    let before = counting::allocations();
    (0..REQUESTS).for_each(|_| round());
    counting::allocations() - before
}

/// Tolerated allocations that no request causes, such as a new `Date` each second or a table that grows.
const STRAY: u64 = 8;

/// Measures four routes on one engine: static, sync handler, async handler, handler with a body.
fn measure(engine: EngineKind) {
    let router = Router::new()
        .route(static_route("/static", "Hello, World!"))
        .route(get("/sync", sync_handler))
        .route(get("/async", async_handler))
        .route(get("/body", body_handler));
    let server = Server::builder()
        .engine(engine)
        .listen("127.0.0.1:0")
        .cores(Cores::Unpinned(1))
        .router(router)
        .start()
        .unwrap();
    let mut stream = TcpStream::connect(server.tcp_address().unwrap()).unwrap();
    let mut count = |path| allocations(&mut stream, path);
    let (fixed, sync, future, body) = (count("/static"), count("/sync"), count("/async"), count("/body"));
    println!(
        "{engine}: allocations of {REQUESTS} requests: static {fixed}, sync {sync}, async fn {future}, \
         with a body {body}"
    );
    assert!(fixed <= STRAY, "a static route must not allocate: {fixed} allocations in {REQUESTS} requests");
    assert!(sync <= STRAY, "an inline handler with a static body must not allocate: {sync} allocations");
    assert!(
        future <= REQUESTS + STRAY,
        "an inline async handler may allocate its future only: {future} allocations"
    );
    assert!(body <= REQUESTS + STRAY, "an inline handler may allocate its body only: {body} allocations");
}

/// Runs as a single test, because allocations of parallel tests would be counted too.
#[test]
fn static_routes_allocate_nothing_and_inline_ones_allocate_once() {
    if cfg!(feature = "io-uring") {
        measure(EngineKind::IoUring);
    }
    if cfg!(feature = "epoll") {
        measure(EngineKind::Epoll);
    }
}
