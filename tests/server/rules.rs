//! Rules of HTTP that clients and proxies in the field depend on.

use windlass::{
    Body, Request, Response, Router, TopicAccess,
    broker::{Broker, BrokerSettings, Event},
    get, post, static_route, topic_routes,
};

use crate::common::{Peer, base_builder, builder, connect, logs, start};

fn stream(_: Request) -> Body {
    let (mut sender, body) = Body::channel(1024);
    pollster::block_on(sender.send("streamed".into())).unwrap();
    sender.finish();
    body
}

fn routes() -> Router {
    Router::new()
        .route(static_route("/static", "static"))
        .route(get("/inline", |_: Request| "inline"))
        .route(get("/async", async |_: Request| "async").run_async())
        .route(get("/stream", stream))
        .route(get("/stream-async", async |request: Request| stream(request)).run_async())
        .route(get("/closes", |_: Request| Response::text("closes").with_header("connection", "close")))
        .route(post("/whole", |_: Request| "whole").body_limit(1000))
        .route(post("/discarded", |_: Request| "discarded").streamed())
}

/// Sends bytes on a new connection, and returns it.
fn sent(server: &windlass::Server, bytes: &str) -> Peer {
    let mut peer = connect(server);
    peer.send(bytes);
    peer
}

#[test]
fn a_refused_head_request_gets_no_content() {
    let server = start(routes());
    for (bytes, status) in [
        ("HEAD / HTTP/1.1\r\n\r\n".to_owned(), 400),
        ("HEAD / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n".to_owned(), 400),
        ("HEAD / HTTP/3.0\r\nHost: t\r\n\r\n".to_owned(), 505),
        (format!("HEAD /{} HTTP/1.1\r\nHost: t\r\n\r\n", "x".repeat(9000)), 414),
        (format!("HEAD / HTTP/1.1\r\nHost: t\r\nx: {}\r\n\r\n", "x".repeat(40_000)), 431),
        ("HEAD / HTTP/1.1\r\nHost: t\r\nContent-Length: 1\r\nExpect: x\r\n\r\n".to_owned(), 417),
        ("HEAD /nowhere HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n".to_owned(), 404),
    ] {
        let mut peer = sent(&server, &bytes);
        let reply = peer.reply_to("HEAD");
        assert_eq!((reply.status, reply.closes()), (status, true), "{bytes:.80}");
        let rest = peer.read_to_end();
        assert!(rest.is_empty(), "{bytes:.80}: {}", rest.escape_ascii());
    }
}

#[test]
fn every_response_before_a_close_announces_it() {
    let server = start(routes());
    for path in ["/static", "/inline", "/async", "/stream", "/stream-async", "/closes", "/nowhere"] {
        for (version, field) in
            [("1.1", "Connection: close\r\n"), ("1.1", "Connection: x, CLOSE\r\n"), ("1.0", "")]
        {
            let mut peer = sent(&server, &format!("GET {path} HTTP/{version}\r\nHost: t\r\n{field}\r\n"));
            assert!(peer.reply().closes(), "{path} {version} {field}");
            peer.expect_close();
        }
        // The FIN comes before the response.
        let mut peer = connect(&server);
        peer.send(format!("GET {path} HTTP/1.1\r\n"));
        peer.send("Host: t\r\n");
        peer.finish();
        peer.expect_close();
    }
    // A body that is too long to be discarded.
    for path in ["/nowhere", "/discarded", "/static"] {
        let mut peer =
            sent(&server, &format!("POST {path} HTTP/1.1\r\nHost: t\r\nContent-Length: 99999999\r\n\r\n"));
        assert!(peer.reply().closes(), "{path}");
    }
}

#[test]
fn a_later_minor_version_is_answered_as_1_1() {
    let server = start(routes());
    for version in ["1.2", "1.9"] {
        let mut peer = sent(&server, &format!("GET /inline HTTP/{version}\r\nHost: t\r\n\r\n"));
        let reply = peer.reply();
        assert_eq!((reply.status, reply.closes()), (200, false), "{version}");
        assert_eq!(peer.get("/inline").text(), "inline", "{version}: the connection is kept");
    }
}

#[test]
fn methods_that_nobody_knows_are_not_implemented() {
    let server =
        start(routes().route(windlass::any("/any", |request: Request| request.method().to_string())));
    for (request, status) in [
        ("BREW /inline", 501),
        ("BREW /nowhere", 501),
        ("get /inline", 501),
        ("BREW /any", 200),
        ("DELETE /inline", 405),
        ("TRACE /inline", 405),
        ("DELETE /nowhere", 404),
    ] {
        let mut peer = sent(&server, &format!("{request} HTTP/1.1\r\nHost: t\r\n\r\n"));
        assert_eq!(peer.reply().status, status, "{request}");
    }
    assert_eq!(sent(&server, "CONNECT t:80 HTTP/1.1\r\nHost: t:80\r\n\r\n").reply().status, 501);
}

#[cfg(feature = "http2")]
#[test]
fn http2_refuses_the_same_methods() {
    use windlass::http::Method;
    let server = start(routes());
    let mut client = crate::h2::client::Client::connect(&server);
    let brew = Method::from_bytes(b"BREW").unwrap();
    for (method, path, status) in [
        (brew.clone(), "/inline", 501),
        (brew, "/nowhere", 501),
        (Method::DELETE, "/inline", 405),
        (Method::DELETE, "/nowhere", 404),
    ] {
        assert_eq!(client.call(method.clone(), path, "").status, status, "{method} {path}");
    }
}

#[test]
fn an_empty_expectation_is_none() {
    let server = start(routes());
    for value in ["", " ", ","] {
        let head =
            format!("POST /whole HTTP/1.1\r\nHost: t\r\nContent-Length: 1\r\nExpect: {value}\r\n\r\nx");
        assert_eq!(sent(&server, &head).reply().text(), "whole", "{value:?}");
    }
    let head = "POST /whole HTTP/1.1\r\nHost: t\r\nContent-Length: 1\r\nExpect: 200-ok\r\n\r\nx";
    assert_eq!(sent(&server, head).reply().status, 417);
}

#[test]
fn a_chunk_beyond_the_limit_is_refused_at_its_size_line() {
    let server = start(routes());
    let start = "POST /whole HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (chunks, status) in [
        ("3e9\r\n", 413),
        ("7fffffffffffffff\r\n", 413),
        ("1f4\r\n", 0),
        ("8000000000000000\r\n", 400),
        ("ffffffffffffffff\r\n", 400),
        ("fffffffffffffffff", 400),
        ("5;\r\n", 400),
        ("5;=b\r\n", 400),
        ("5;a=\"b\r\n", 400),
    ] {
        let mut peer = sent(&server, &format!("{start}{chunks}"));
        if status == 0 {
            peer.expect_silence(std::time::Duration::from_millis(100));
        } else {
            let reply = peer.reply();
            assert_eq!((reply.status, reply.closes()), (status, true), "{chunks:?}");
        }
    }
    // The second chunk exceeds what the first has left.
    let first = format!("{start}1f4\r\n{}\r\n1f5\r\n", "x".repeat(500));
    assert_eq!(sent(&server, &first).reply().status, 413);
    // White space before the `;`.
    let spaced = format!("{start}5 ;a\t; b = \"c\"\r\nabcde\r\n0\r\n\r\n");
    assert_eq!(sent(&server, &spaced).reply().text(), "whole");
}

#[cfg(feature = "ws")]
#[test]
fn upgrade_required_names_the_connection_option() {
    let socket = windlass::websocket("/ws", |_| async { Ok::<(), windlass::BoxError>(()) });
    let server = start(Router::new().route(socket));
    let mut peer = sent(&server, "GET /ws HTTP/1.1\r\nHost: t\r\n\r\n");
    let reply = peer.reply();
    assert_eq!((reply.status, reply.header("upgrade")), (426, Some("websocket")));
    assert_eq!(reply.header("connection"), Some("upgrade"));
}

#[test]
fn a_head_of_32_kib_is_accepted() {
    let server = start(routes());
    let fields = |bytes: usize| {
        let field = |index| format!("X-Field-{index}: {}\r\n", "x".repeat(bytes / 8));
        (0..8).map(field).collect::<String>()
    };
    let mut peer = sent(&server, &format!("GET /inline HTTP/1.1\r\nHost: t\r\n{}\r\n", fields(32_000)));
    assert_eq!(peer.reply().text(), "inline");
    peer.send(format!("GET /inline HTTP/1.1\r\nHost: t\r\n{}\r\n", fields(40_000)));
    assert_eq!(peer.reply().status, 431);
}

#[cfg(feature = "http2")]
#[test]
fn a_header_list_of_32_kib_is_accepted_over_http2() {
    use crate::h2::client::{Client, request};
    let server = start(routes());
    let mut client = Client::connect(&server);
    let mut large = request(windlass::http::Method::GET, "/inline");
    large.headers_mut().insert("x-field", "x".repeat(32_000).parse().unwrap());
    assert_eq!(client.request(large, Default::default()).text(), "inline");
}

#[test]
fn several_spaces_may_follow_the_scheme_bearer() {
    let broker = Broker::new(BrokerSettings::default()).unwrap();
    let mut access = TopicAccess::default();
    access.publish_token = Some("secret".to_owned());
    let router = topic_routes(Router::new(), &broker, access);
    let server = base_builder().listen("127.0.0.1:0").router(router).broker(&broker).start().unwrap();
    for (value, status) in [
        ("Bearer secret", 202),
        ("Bearer   secret", 202),
        ("bearer  secret", 202),
        ("Bearer", 401),
        ("Bearer ", 401),
        ("Bearer sec ret", 401),
        ("Bearersecret", 401),
    ] {
        let head = format!(
            "POST /topics/t HTTP/1.1\r\nHost: t\r\nAuthorization: {value}\r\nContent-Length: 1\r\n\r\nx"
        );
        assert_eq!(sent(&server, &head).reply().status, status, "{value:?}");
    }
}

#[test]
fn a_route_in_foreign_syntax_is_refused_at_the_start() {
    for (foreign, ours) in [("/t/:id", "/t/{id}"), ("/t/<id>", "/t/{id}"), ("/t/*", "/t/{*rest}")] {
        let error =
            builder(Router::new().route(get(foreign, |_: Request| ""))).start().unwrap_err().to_string();
        assert!(error.contains(foreign) && error.contains(&format!("write `{ours}`")), "{error}");
        assert!(!error.contains('\n'), "{error}");
    }
    let twice = Router::new().route(get("/a/{b}", |_: Request| "")).route(get("/a/{c}/d", |_: Request| ""));
    let twice = twice.route(get("/a/{x}", |_: Request| ""));
    let error = builder(twice).start().unwrap_err().to_string();
    assert_eq!(
        error,
        "invalid route GET /a/{x}: the route `/a/{b}` matches the same paths; give the parameters the \
         same names"
    );
    let server = start(routes());
    let error = server.routes().add_blocking(get("/t/:id", |_: Request| "")).unwrap_err().to_string();
    assert!(error.contains("write `/t/{id}`"), "{error}");
}

#[test]
fn a_broker_without_a_server_says_so_once() {
    logs::record();
    let broker = Broker::new(BrokerSettings::default()).unwrap();
    let topic = "lonely".parse().unwrap();
    for _ in 0..3 {
        assert!(pollster::block_on(broker.publish(&topic, Event::new("x"))).is_err());
    }
    let lines = logs::lines(&["WARN", "broker belongs to no server", "`Builder::broker`"]);
    // Another test of this process may have a broker without a server too.
    assert!((1..=2).contains(&lines.len()), "{lines:?}");
}

#[cfg(feature = "ws")]
#[test]
fn a_hub_without_a_server_says_so() {
    logs::record();
    let hub = windlass::hub::Hub::new(Default::default());
    for _ in 0..3 {
        let _ = hub.broadcast("x");
    }
    assert!(!logs::lines(&["WARN", "hub belongs to no server", "`Builder::hub`"]).is_empty());
}
