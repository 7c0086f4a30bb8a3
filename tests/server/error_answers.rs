//! Responses that the server creates itself: middleware sees them, and a hook shapes them.

use std::{thread, time::Duration};

use windlass::{
    ErrorContext, Next, Request, Response, Router, Server, get,
    http::{Method, StatusCode},
    post, static_route,
};

use crate::common::{Peer, Reply, builder, connect, endless, eventually, start};

/// Middleware that gives each response the identifier of its request.
async fn request_id(request: Request, next: Next) -> Response {
    let id = request.header("x-request-id").unwrap_or("none").to_owned();
    next.run(request).await.with_header("x-id", id)
}

/// Middleware that answers preflight requests itself, and allows pages to read all other responses.
async fn cors(request: Request, next: Next) -> Response {
    let response = match request.method() == Method::OPTIONS {
        true => Response::status_only(StatusCode::NO_CONTENT),
        false => next.run(request).await,
    };
    response.with_header("access-control-allow-origin", "*")
}

/// Describes an error as a line of the program's own shape.
fn shape(context: &ErrorContext<'_>, response: Response) -> Response {
    let status = response.status().as_u16();
    let text = format!(
        "{status} {:?} {} {} {} {}",
        context.cause(),
        context.method().map_or("-", Method::as_str),
        context.path().unwrap_or("-"),
        context.route().unwrap_or("-"),
        context.header("x-request-id").unwrap_or("-"),
    );
    response.with_body(text).with_header("x-shaped", "1")
}

fn boom(_: Request) -> &'static str {
    panic!("deliberate panic of the test")
}

async fn late_boom(_: Request) -> &'static str {
    windlass_yield().await;
    panic!("deliberate panic of the test")
}

/// Waits once.
async fn windlass_yield() {
    let mut waited = false;
    std::future::poll_fn(|cx| {
        cx.waker().wake_by_ref();
        if std::mem::replace(&mut waited, true) {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
}

fn routes() -> Router {
    Router::new()
        .route(static_route("/static", "static"))
        .route(get("/inline", |_: Request| "inline"))
        .route(get("/a/{id}", |_: Request| "a"))
        .route(post("/small", |_: Request| "small").body_limit(10))
        .route(post("/small-async", |_: Request| "small").body_limit(10).run_async())
        .route(get("/boom", boom))
        .route(get("/late-boom", late_boom))
        .route(get("/boom-blocking", boom).run_async())
        .route(get("/boom-async", late_boom).run_async())
        .route(get("/interim", |_: Request| Response::status_only(StatusCode::PROCESSING)))
}

/// Requests, the status of each, and the line with which the hook describes it.
const CASES: &[(&str, &str, usize, u16, &str)] = &[
    ("GET", "/nowhere", 0, 404, "404 NotFound GET /nowhere - 7"),
    ("POST", "/nowhere", 20, 404, "404 NotFound POST /nowhere - 7"),
    ("DELETE", "/inline", 0, 405, "405 MethodNotAllowed DELETE /inline - 7"),
    ("POST", "/static", 5, 405, "405 MethodNotAllowed POST /static - 7"),
    ("BREW", "/inline", 0, 501, "501 NotImplemented BREW /inline - 7"),
    ("BREW", "/nowhere", 0, 501, "501 NotImplemented BREW /nowhere - 7"),
    ("GET", "/a/%ff", 0, 400, "400 InvalidRequest GET /a/%ff - 7"),
    ("POST", "/small", 11, 413, "413 BodyTooLarge POST /small /small 7"),
    ("POST", "/small-async", 11, 413, "413 BodyTooLarge POST /small-async /small-async 7"),
    ("GET", "/boom", 0, 500, "500 HandlerFailed GET /boom /boom 7"),
    ("GET", "/late-boom", 0, 500, "500 HandlerFailed GET /late-boom /late-boom 7"),
    ("GET", "/boom-blocking", 0, 500, "500 HandlerFailed GET /boom-blocking /boom-blocking 7"),
    ("GET", "/boom-async", 0, 500, "500 HandlerFailed GET /boom-async /boom-async 7"),
    ("GET", "/interim", 0, 500, "500 HandlerFailed - - /interim -"),
];

fn ask(server: &Server, method: &str, path: &str, body: usize) -> Reply {
    let mut peer = connect(server);
    let length = if body > 0 { format!("Content-Length: {body}\r\n") } else { String::new() };
    peer.send(format!("{method} {path} HTTP/1.1\r\nHost: t\r\nX-Request-Id: 7\r\n{length}\r\n"));
    peer.send("x".repeat(body));
    peer.reply_to(method)
}

#[test]
fn middleware_sees_every_answer_of_the_server() {
    let server = start(routes().with(request_id).with(cors));
    for (method, path, body, status, _) in CASES.iter().filter(|case| case.1 != "/interim") {
        let reply = ask(&server, method, path, *body);
        assert_eq!(reply.status, *status, "{method} {path}");
        assert_eq!(reply.header("x-id"), Some("7"), "{method} {path}");
        assert_eq!(reply.header("access-control-allow-origin"), Some("*"), "{method} {path}");
    }
    let preflight = ask(&server, "OPTIONS", "/inline", 0);
    assert_eq!((preflight.status, preflight.header("access-control-allow-origin")), (204, Some("*")));
}

#[test]
fn automatic_answers_to_options_pass_the_middleware_of_their_path() {
    let marked = |request, next: Next| async move { next.run(request).await.with_header("x-marked", "1") };
    let no = |_: &Request| Err::<(), _>(StatusCode::FORBIDDEN);
    let router = Router::new()
        .group("/g", |group| {
            group.route(get("/x", |_: Request| "")).route(post("/x", |_: Request| "")).with(marked)
        })
        .group("/private", |group| group.route(get("/x", |_: Request| "")).authorize(no))
        .route(get("/own", |_: Request| "").with(marked))
        .route(get("/mixed", |_: Request| "").with(marked))
        .route(post("/mixed", |_: Request| ""));
    let server = start(router);
    for (path, allow, mark) in [
        ("/g/x", "GET, HEAD, POST, OPTIONS", Some("1")),
        ("/own", "GET, HEAD, OPTIONS", Some("1")),
        ("/mixed", "GET, HEAD, POST, OPTIONS", None),
    ] {
        for (method, status) in [("OPTIONS", 204), ("DELETE", 405)] {
            let reply = ask(&server, method, path, 0);
            assert_eq!((reply.status, reply.header("allow")), (status, Some(allow)), "{path}");
            assert_eq!(reply.header("x-marked"), mark, "{method} {path}");
        }
    }
    assert_eq!(ask(&server, "OPTIONS", "/private/x", 0).status, 403);
    assert_eq!(ask(&server, "DELETE", "/private/x", 0).status, 403);
    assert_eq!(ask(&server, "OPTIONS", "*", 0).status, 204);
}

#[test]
fn the_hook_shapes_every_answer_of_the_server() {
    let server = start(routes().on_error_response(shape));
    for (method, path, body, status, text) in CASES {
        let reply = ask(&server, method, path, *body);
        assert_eq!((reply.status, reply.text().as_str()), (*status, *text), "{method} {path}");
        assert_eq!(reply.header("x-shaped"), Some("1"));
    }
    for (bytes, text) in [
        ("GET / HTTP/1.1\r\n\r\n", "400 InvalidRequest - - - -"),
        ("GET / HTTP/3.0\r\nHost: t\r\n\r\n", "505 InvalidRequest - - - -"),
        ("CONNECT t:80 HTTP/1.1\r\nHost: t:80\r\nX-Request-Id: 7\r\n\r\n", "501 NotImplemented CONNECT  - 7"),
    ] {
        let mut peer = connect(&server);
        peer.send(bytes);
        assert_eq!(peer.reply().text(), text, "{bytes}");
    }
    let fine = ask(&server, "GET", "/inline", 0);
    assert_eq!((fine.status, fine.header("x-shaped")), (200, None));
    let options = ask(&server, "OPTIONS", "/inline", 0);
    assert_eq!((options.status, options.header("x-shaped")), (204, None), "it is no error");
}

#[test]
fn middleware_sees_what_the_hook_made() {
    async fn shout(request: Request, next: Next) -> Response {
        let mut response = next.run(request).await;
        let body = response.take_body().as_bytes().unwrap_or_default().to_vec();
        response.with_body(body.to_ascii_uppercase())
    }
    let server = start(routes().with(shout).on_error_response(shape));
    assert_eq!(ask(&server, "GET", "/nowhere", 0).text(), "404 NOTFOUND GET /NOWHERE - 7");
    assert_eq!(ask(&server, "POST", "/small", 11).text(), "413 BODYTOOLARGE POST /SMALL /SMALL 7");
    assert_eq!(
        ask(&server, "GET", "/boom-async", 0).text(),
        "500 HANDLERFAILED GET /BOOM-ASYNC /BOOM-ASYNC 7"
    );
}

#[test]
fn a_full_pool_and_a_late_job_pass_the_hook() {
    let slow = |_: Request| {
        thread::sleep(Duration::from_millis(300));
        "slow"
    };
    let router =
        Router::new().route(get("/slow", slow).run_async()).with(request_id).on_error_response(shape);
    let mut pool = windlass::PoolSettings::default();
    (pool.blocking_threads, pool.blocking_queue) = (1, 1);
    let server = builder(router).pool(pool).start().unwrap();
    let mut peers: Vec<Peer> = (0..6).map(|_| connect(&server)).collect();
    for peer in &mut peers {
        peer.send("GET /slow HTTP/1.1\r\nHost: t\r\nX-Request-Id: 7\r\n\r\n");
    }
    let replies: Vec<_> = peers.iter_mut().map(Peer::reply).collect();
    let refused: Vec<_> = replies.iter().filter(|reply| reply.status == 503).collect();
    assert!(!refused.is_empty());
    for reply in refused {
        assert_eq!(reply.text(), "503 Overloaded GET /slow /slow 7");
        assert!(reply.header("retry-after").is_some());
        assert_eq!(reply.header("x-id"), Some("7"));
    }

    let mut timeouts = endless();
    timeouts.job = Some(Duration::from_millis(50));
    let router = Router::new().route(get("/slow", slow).run_async()).on_error_response(shape);
    let server = builder(router).timeouts(timeouts).start().unwrap();
    assert_eq!(ask(&server, "GET", "/slow", 0).text(), "503 TimedOut GET /slow /slow 7");
}

#[test]
fn a_panicking_hook_costs_only_its_shape() {
    let server = start(routes().on_error_response(|_, _| panic!("deliberate panic of the test")));
    let reply = ask(&server, "GET", "/nowhere", 0);
    assert_eq!((reply.status, reply.header("content-type")), (404, Some("text/plain; charset=utf-8")));
    assert_eq!(ask(&server, "GET", "/inline", 0).status, 200);
    eventually("the panic is counted", || {
        crate::common::metric(&server, "windlass_panics_total{place=\"hook\"}") == 1.0
    });
}

#[cfg(feature = "http2")]
#[test]
fn middleware_and_hook_see_every_answer_over_http2() {
    use crate::h2::client::{Client, request};
    let server = start(routes().with(request_id).on_error_response(shape));
    let mut client = Client::connect(&server);
    for (method, path, body, status, text) in CASES.iter().filter(|case| case.1 != "/interim") {
        let mut request = request(Method::from_bytes(method.as_bytes()).unwrap(), path);
        request.headers_mut().insert("x-request-id", "7".parse().unwrap());
        let reply = client.request(request, "x".repeat(*body).into());
        assert_eq!((reply.status, reply.text()), (*status, *text), "{method} {path}");
        assert_eq!(reply.header("x-id"), Some("7"), "{method} {path}");
    }
    let reply = client.call(Method::OPTIONS, "/inline", "");
    assert_eq!((reply.status, reply.header("x-id")), (204, Some("none")));
}

#[cfg(feature = "http2")]
#[test]
fn requests_that_break_a_rule_and_late_jobs_pass_the_hook_over_http2() {
    use crate::h2::client::{Client, request};
    let slow = |_: Request| {
        thread::sleep(Duration::from_millis(300));
        "slow"
    };
    let mut timeouts = endless();
    timeouts.job = Some(Duration::from_millis(50));
    let router = routes().route(get("/slow", slow).run_async()).on_error_response(shape);
    let server = builder(router).timeouts(timeouts).start().unwrap();
    let mut client = Client::connect(&server);
    for (path, name, value, status, text) in [
        ("/inline", "expect", "200-ok", 417, "417 InvalidRequest - - - -"),
        ("/inline", "host", "a/b", 400, "400 InvalidRequest - - - -"),
        ("/slow", "x-request-id", "7", 503, "503 TimedOut GET /slow /slow 7"),
    ] {
        let mut request = request(Method::GET, path);
        request.headers_mut().insert(name, value.parse().unwrap());
        let reply = client.request(request, Default::default());
        assert_eq!((reply.status, reply.text(), reply.header("x-shaped")), (status, text, Some("1")));
    }
}
