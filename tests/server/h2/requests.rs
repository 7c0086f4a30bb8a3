//! Requests and replies over HTTP/2 that work as over HTTP/1.1.

use bytes::Bytes;
use http::Method;
use windlass::{
    Request, Response, Router, Server, get,
    http::{self, StatusCode},
    post, static_route,
};

use super::client::{Client, request};
use crate::common::{metric, start};

fn server() -> Server {
    let describe = |r: Request| {
        let headers: Vec<_> =
            r.header_pairs().map(|(n, v)| [n, b": ", v].concat().escape_ascii().to_string()).collect();
        format!("{} {:?} {} {:?} {headers:?}", r.method(), r.version(), r.path(), r.query())
    };
    start(
        Router::new()
            .route(static_route("/static", Response::text("static").with_header("x-made", "once")))
            .route(get("/told", describe))
            .route(get("/host", |r: Request| r.host().unwrap().to_owned()))
            .route(get("/hello/{name}", |r: Request| format!("Hello, {}!", r.param("name").unwrap())))
            .route(get("/waits", async |_: Request| {
                windlass::sleep(std::time::Duration::from_millis(5)).await;
                "waited"
            }))
            .route(get("/async", async |_: Request| "from the pool").run_async())
            .route(get("/panics", |_: Request| -> String { panic!("deliberate panic of the test") }))
            .route(get("/nothing", |_: Request| StatusCode::NO_CONTENT))
            .route(get("/connection", |_: Request| {
                let response = Response::text("kept").with_header("keep-alive", "timeout=5");
                response
                    .with_header("transfer-encoding", "chunked")
                    .with_header("upgrade", "x")
                    .with_header("te", "x")
            }))
            .route(post("/echo", |mut r: Request| Response::new().with_body(r.take_body()))),
    )
}

#[test]
fn every_kind_of_route_answers() {
    let server = server();
    let mut client = Client::connect(&server);
    for (path, text) in [
        ("/static", "static"),
        ("/hello/you", "Hello, you!"),
        ("/hello/a%20b", "Hello, a b!"),
        ("/waits", "waited"),
        ("/async", "from the pool"),
    ] {
        let reply = client.get(path);
        assert_eq!((reply.status, reply.text()), (200, text), "{path}");
        assert_eq!(reply.header("content-length"), Some(text.len().to_string().as_str()), "{path}");
        assert_eq!(reply.header("date").unwrap().len(), 29, "{path}");
    }
    assert_eq!(client.get("/static").header("x-made"), Some("once"));
    let echoed = client.call(Method::POST, "/echo", vec![b'x'; 300_000]);
    assert_eq!((echoed.status, echoed.body.len()), (200, 300_000));
}

#[test]
fn a_handler_sees_the_same_request_as_over_http_1() {
    let server = server();
    let mut client = Client::connect(&server);
    let mut described_request = request(Method::GET, "/told?a=1&b=%20");
    let headers = described_request.headers_mut();
    headers.append("x-one", "1".parse().unwrap());
    headers.append("cookie", "a=b".parse().unwrap());
    headers.append("cookie", "c=d".parse().unwrap());
    headers.append("te", "trailers".parse().unwrap());
    let reply = client.request(described_request, Bytes::new());
    assert_eq!(
        reply.text(),
        r#"GET HTTP/2.0 /told Some("a=1&b=%20") ["x-one: 1", "te: trailers", "cookie: a=b; c=d"]"#
    );
    assert_eq!(client.get("/host").text(), "test");
}

#[test]
fn unmatched_requests_are_answered_as_over_http_1() {
    let server = server();
    let mut client = Client::connect(&server);
    let (missing, wrong) = (client.get("/missing"), client.call(Method::DELETE, "/told", ""));
    assert_eq!((missing.status, wrong.status), (404, 405));
    assert_eq!(wrong.header("allow"), Some("GET, HEAD, OPTIONS"));
    let options = client.call(Method::OPTIONS, "/echo", "");
    assert_eq!(
        (options.status, options.header("allow"), options.header("content-length")),
        (204, Some("POST, OPTIONS"), None)
    );
    assert_eq!(client.get("/hello/%ff").status, 400);
    assert_eq!(client.get("/panics").status, 500);
    assert_eq!(client.get("/static").status, 200, "the connection must stay open");
    assert_eq!(server.metrics().handler_panics, 1);
}

#[test]
fn head_has_the_same_headers_as_get() {
    let server = server();
    let mut client = Client::connect(&server);
    for path in ["/static", "/hello/you", "/async"] {
        let (get_reply, head_reply) = (client.get(path), client.call(Method::HEAD, path, ""));
        assert_eq!((head_reply.status, head_reply.body.len()), (200, 0), "{path}");
        assert_eq!(head_reply.header("content-length"), get_reply.header("content-length"), "{path}");
    }
    let nothing = client.get("/nothing");
    assert_eq!((nothing.status, nothing.header("content-length"), nothing.body.len()), (204, None, 0));
}

#[test]
fn connection_specific_fields_are_not_sent() {
    let server = server();
    let reply = Client::connect(&server).get("/connection");
    assert_eq!((reply.status, reply.text()), (200, "kept"));
    for name in ["keep-alive", "transfer-encoding", "upgrade", "te", "connection"] {
        assert!(reply.headers.get(name).is_none(), "{name}");
    }
}

#[test]
fn requests_are_counted_by_protocol_and_route() {
    let server = server();
    let mut client = Client::connect(&server);
    let paths = ["/static", "/static", "/hello/a", "/async", "/missing"];
    paths.iter().for_each(|path| drop(client.get(path)));
    let dispatched = |kind: &str| -> f64 {
        let of = |shard| metric(&server, &sample(kind, shard));
        (0..2).map(of).sum()
    };
    assert_eq!((dispatched("static"), dispatched("inline"), dispatched("async")), (2.0, 2.0, 1.0));
    let hello = "windlass_requests_total{route=\"/hello/{name}\",method=\"GET\",status=\"2xx\"}";
    assert_eq!(metric(&server, hello), 1.0);
    let unmatched = "windlass_requests_total{route=\"(unmatched)\",method=\"(any)\",status=\"4xx\"}";
    assert_eq!(metric(&server, unmatched), 1.0);
    assert_eq!(
        server.metrics().async_promoted_connections,
        0,
        "an HTTP/2 stream must not promote its connection"
    );
}

fn sample(kind: &str, shard: usize) -> String {
    format!("windlass_requests_dispatched_total{{kind=\"{kind}\",protocol=\"h2\",shard=\"{shard}\"}}")
}
