//! Panics of handlers: the log names the route and what to do, and the response names the request.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use windlass::{Body, BoxError, Frame, Next, Request, Response, Router, Server, get};

use crate::common::{Reply, connect, eventually, logs, start};

fn boom(_: Request) -> &'static str {
    panic!("deliberate panic {}", 42)
}

async fn async_boom(_: Request) -> &'static str {
    panic!("deliberate panic")
}

fn get_with_id(server: &Server, path: &str) -> Reply {
    let mut peer = connect(server);
    peer.send(format!(
        "GET {path} HTTP/1.1\r\nHost: t\r\nX-Request-Id: id-of{}\r\n\r\n",
        path.replace('/', "-")
    ));
    peer.reply()
}

fn expect_line(texts: &[&str]) {
    eventually(&format!("a log line with {texts:?}"), || !logs::lines(texts).is_empty());
}

#[test]
fn a_panic_is_logged_with_its_route_and_request() {
    logs::record();
    let through = |request, next: Next| async move { next.run(request).await };
    let router = Router::new()
        .route(get("/panics/inline/{id}", boom))
        .route(get("/panics/future", async_boom))
        .route(get("/panics/blocking", boom).run_async())
        .route(get("/panics/async", async_boom).run_async())
        .route(get("/panics/layer", boom).with(through));
    let server = start(router);
    for (path, route) in [
        ("/panics/inline/7", "/panics/inline/{id}"),
        ("/panics/future", "/panics/future"),
        ("/panics/blocking", "/panics/blocking"),
        ("/panics/async", "/panics/async"),
        ("/panics/layer", "/panics/layer"),
    ] {
        let reply = get_with_id(&server, path);
        let id = format!("id-of{}", path.replace('/', "-"));
        assert_eq!((reply.status, reply.header("x-request-id")), (500, Some(id.as_str())), "{path}");
        let route = format!("route={route}");
        expect_line(&[
            "ERROR",
            "handler panicked",
            &route,
            &format!("request_id={id}"),
            "deliberate panic",
            "GET",
        ]);
    }
    assert_eq!(server.metrics().handler_panics, 5);
    let mut peer = connect(&server);
    assert_eq!(peer.get("/panics/future").header("x-request-id"), None);
    let long = "x".repeat(100);
    peer.send(format!("GET /panics/future HTTP/1.1\r\nHost: t\r\nX-Request-Id: {long}\r\n\r\n"));
    assert_eq!(peer.reply().header("x-request-id"), None, "a long identifier is not repeated");
}

#[test]
fn a_handler_that_needs_tokio_gets_the_remedy() {
    /// Panics like a function of tokio outside its runtime, on either engine.
    fn needs_tokio(_: Request) -> &'static str {
        std::thread::spawn(|| tokio::spawn(async {}))
            .join()
            .map(|_| "")
            .unwrap_or_else(|payload| std::panic::resume_unwind(payload))
    }
    async fn sleeps(_: Request) -> &'static str {
        std::thread::spawn(|| drop(tokio::time::sleep(std::time::Duration::ZERO)))
            .join()
            .map(|()| "")
            .unwrap_or_else(|payload| std::panic::resume_unwind(payload))
    }
    logs::record();
    let router = Router::new()
        .route(get("/needs-tokio/spawn", needs_tokio))
        .route(get("/needs-tokio/sleep", sleeps))
        .route(get("/needs-tokio/blocking", needs_tokio).run_async());
    let server = start(router);
    for path in ["/needs-tokio/spawn", "/needs-tokio/sleep", "/needs-tokio/blocking"] {
        assert_eq!(connect(&server).get(path).status, 500, "{path}");
    }
    expect_line(&["route=/needs-tokio/spawn", "the code needs a tokio runtime", "`run_async`"]);
    expect_line(&["route=/needs-tokio/sleep", "the code needs a tokio runtime", "`run_async`"]);
    expect_line(&["route=/needs-tokio/blocking", "the code needs a tokio runtime", "`async fn`"]);
}

#[test]
fn a_body_that_panics_is_logged_with_its_route() {
    struct Bad;
    impl windlass::Source for Bad {
        fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame, BoxError>>> {
            panic!("deliberate panic of a body")
        }
    }
    logs::record();
    let router =
        Router::new().route(get("/panics/body", |_: Request| Response::new().with_body(Body::source(Bad))));
    let server = start(router);
    let mut peer = connect(&server);
    peer.request("GET", "/panics/body");
    peer.read_to_close();
    expect_line(&["ERROR", "response body panicked", "route=/panics/body", "deliberate panic of a body"]);
}
