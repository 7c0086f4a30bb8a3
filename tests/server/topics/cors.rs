//! Pages of other origins: CORS fields, preflight requests, and the host that a proxy forwards.

use windlass::{
    Origins, Request, Router, Server, TopicAccess, TopicCheck, TrustedProxies,
    broker::{Broker, BrokerSettings},
    http::StatusCode,
    topic_routes,
};

use super::serve;
use crate::common::{Reply, builder, connect};

const APP: &str = "https://app.example";
const OTHER: &str = "http://other.example:8080";

fn listed() -> Origins {
    Origins::SameOr(vec![APP.to_owned(), OTHER.to_owned()])
}

fn broker() -> Broker {
    Broker::new(BrokerSettings::default()).unwrap()
}

fn serve_for(origins: Origins) -> Server {
    let mut access = TopicAccess::default();
    access.origins = origins;
    serve(&broker(), access)
}

/// Sends a request with these fields and a body of this many bytes.
fn ask(server: &Server, request: &str, fields: &str, body: usize) -> Reply {
    let mut peer = connect(server);
    let length = if body > 0 { format!("Content-Length: {body}\r\n") } else { String::new() };
    peer.send(format!("{request} HTTP/1.1\r\nHost: t\r\n{fields}{length}\r\n{}", "x".repeat(body)));
    peer.reply_to(request.split(' ').next().unwrap())
}

fn preflight(server: &Server, path: &str, origin: &str, requested: &str) -> Reply {
    let fields = format!(
        "Origin: {origin}\r\nAccess-Control-Request-Method: POST\r\n\
         Access-Control-Request-Headers: {requested}\r\n"
    );
    ask(server, &format!("OPTIONS {path}"), &fields, 0)
}

#[track_caller]
fn assert_readable(reply: &Reply, origin: &str) {
    assert_eq!(reply.header("access-control-allow-origin"), Some(origin), "{}", reply.text());
    let credentials = (origin != "*").then_some("true");
    assert_eq!(reply.header("access-control-allow-credentials"), credentials);
    assert_eq!(reply.header("vary"), (origin != "*").then_some("origin"));
}

#[track_caller]
fn assert_unreadable(reply: &Reply) {
    for name in ["allow-origin", "allow-credentials", "allow-methods", "allow-headers"] {
        assert_eq!(reply.header(&format!("access-control-{name}")), None, "{name}");
    }
}

#[test]
fn pages_of_each_listed_origin_may_read_with_credentials() {
    let server = serve_for(listed());
    for origin in [APP, OTHER] {
        for (request, body) in [("POST /topics/t", 1), ("GET /topics", 0)] {
            assert_readable(&ask(&server, request, &format!("Origin: {origin}\r\n"), body), origin);
        }
    }
    for fields in
        ["", "Origin: https://evil.example\r\n", "Origin: null\r\n", "Origin: https://app.example.evil\r\n"]
    {
        let reply = ask(&server, "GET /topics", fields, 0);
        assert_unreadable(&reply);
        assert_eq!(reply.header("vary"), Some("origin"), "a cache must not answer another origin with it");
    }
    let any = serve_for(Origins::Any);
    for fields in ["", "Origin: null\r\n", "Origin: https://evil.example\r\n"] {
        assert_readable(&ask(&any, "GET /topics", fields, 0), "*");
    }
    let reply = ask(&serve_for(Origins::Same), "GET /topics", "Origin: http://t\r\n", 0);
    assert_unreadable(&reply);
    assert_eq!(reply.header("vary"), None);
}

#[test]
fn streams_may_be_read_by_listed_origins() {
    let server = serve_for(listed());
    let mut peer = connect(&server);
    peer.send(format!("GET /topics/t HTTP/1.1\r\nHost: t\r\nOrigin: {OTHER}\r\n\r\n"));
    let head = String::from_utf8(peer.until(b"\r\n\r\n")).unwrap().to_lowercase();
    for line in [
        &format!("access-control-allow-origin: {OTHER}\r\n")[..],
        "access-control-allow-credentials: true\r\n",
        "vary: origin\r\n",
        "cache-control: no-store, no-transform\r\n",
    ] {
        assert!(head.contains(line), "{line} is missing: {head}");
    }
}

#[test]
fn a_preflight_permits_the_fields_that_clients_send() {
    let usual = "accept, authorization, cache-control, content-type, last-event-id, pragma, x-requested-with";
    for (server, origin) in [(serve_for(listed()), APP), (serve_for(Origins::Any), "*")] {
        for path in ["/topics/t", "/topics/a/b", "/topics"] {
            let requested = "authorization,last-event-id, X-Trace ,traceparent,b\u{e9}d,,sp ace";
            let reply = preflight(&server, path, APP, requested);
            assert_eq!(reply.status, 204);
            assert_readable(&reply, origin);
            assert_eq!(reply.header("access-control-allow-methods"), Some("GET, POST"));
            assert!(reply.header("access-control-max-age").is_some());
            let permitted: Vec<_> =
                reply.header("access-control-allow-headers").unwrap().split(", ").collect();
            for name in usual.split(", ").chain(["x-trace", "traceparent"]) {
                assert_eq!(
                    permitted.iter().filter(|permitted| **permitted == name).count(),
                    1,
                    "{permitted:?}"
                );
            }
            assert!(!permitted.iter().any(|name| name.contains(' ') || name.is_empty()), "{permitted:?}");
        }
    }
    let server = serve_for(listed());
    assert_unreadable(&preflight(&server, "/topics/t", "https://evil.example", "authorization"));
    let long: Vec<_> = (0..500).map(|n| format!("x-long-name-{n}")).collect();
    let reply = preflight(&server, "/topics/t", APP, &long.join(","));
    assert!(reply.header("access-control-allow-headers").unwrap().len() < 2048);
    // Without an origin it is an ordinary request.
    let reply = ask(&server, "OPTIONS /topics/t", "", 0);
    assert_eq!((reply.status, reply.header("allow")), (204, Some("GET, POST, OPTIONS")));
}

#[test]
fn a_preflight_needs_no_credentials() {
    let mut access = TopicAccess::default();
    access.origins = listed();
    (access.publish_token, access.subscribe_token) = (Some("p".to_owned()), Some("s".to_owned()));
    access.check = Some(TopicCheck::new(|_, _| false));
    let broker = broker();
    let router = topic_routes(Router::new(), &broker, access)
        .authorize(|_: &Request| Err::<(), _>(StatusCode::TOO_MANY_REQUESTS));
    let server = builder(router).broker(&broker).start().unwrap();
    assert_readable(&preflight(&server, "/topics/t", APP, "authorization"), APP);
    let reply = ask(&server, "POST /topics/t", &format!("Origin: {APP}\r\n"), 1);
    assert_eq!(reply.status, 429);
    assert_readable(&reply, APP);
}

#[test]
fn pages_may_read_refusals() {
    let mut access = TopicAccess::default();
    access.origins = listed();
    (access.publish_token, access.subscribe_token) = (Some("p".to_owned()), Some("s".to_owned()));
    access.check = Some(TopicCheck::new(|_, action| !format!("{action:?}").contains("secret")));
    let broker = broker();
    let router = topic_routes(Router::new(), &broker, access);
    let mut limits = windlass::Limits::default();
    limits.body_bytes = 100;
    let server = builder(router).broker(&broker).limits(limits).start().unwrap();
    let token = |token: &str| format!("Origin: {APP}\r\nAuthorization: Bearer {token}\r\n");
    let anonymous = format!("Origin: {APP}\r\n");
    for (request, fields, body, status) in [
        ("GET /topics/t", &anonymous, 0, 401),
        ("GET /topics", &anonymous, 0, 401),
        ("POST /topics/t", &anonymous, 1, 401),
        ("POST /topics/secret", &token("p"), 1, 403),
        ("GET /topics/secret", &token("s"), 0, 403),
        ("POST /topics/a%20b", &token("p"), 1, 400),
        ("GET /topics/%FF", &token("s"), 0, 400),
        ("GET /topics/", &token("s"), 0, 400),
        ("POST /topics/t?event=gap", &token("p"), 1, 400),
        ("PUT /topics/t", &token("p"), 1, 405),
        ("DELETE /topics", &token("p"), 0, 405),
        ("POST /topics/t", &token("p"), 200, 413),
        ("GET /topics/t", &(token("s") + "Upgrade: websocket\r\nConnection: upgrade\r\n"), 0, 426),
    ] {
        let reply = ask(&server, request, fields, body);
        assert_eq!(reply.status, status, "{request}");
        assert_readable(&reply, APP);
    }
    // A broker that belongs to no server.
    let stray = Broker::new(BrokerSettings::default()).unwrap();
    let mut access = TopicAccess::default();
    access.origins = listed();
    let server = builder(topic_routes(Router::new(), &stray, access)).start().unwrap();
    let reply = ask(&server, "POST /topics/t", &anonymous, 1);
    assert_eq!(reply.status, 503);
    assert_readable(&reply, APP);
}

#[cfg(feature = "http2")]
#[test]
fn pages_may_read_refusals_over_http2() {
    use crate::h2::client::{Client, request};
    use windlass::http::Method;

    let mut access = TopicAccess::default();
    (access.origins, access.subscribe_token) = (listed(), Some("s".to_owned()));
    let server = serve(&broker(), access);
    let mut client = Client::connect(&server);
    for (method, path, status) in [
        (Method::GET, "/topics/t", 401),
        (Method::PUT, "/topics/t", 405),
        (Method::POST, "/topics/a%20b", 400),
        (Method::GET, "/topics/%FF", 400),
        (Method::OPTIONS, "/topics/t", 204),
    ] {
        let mut request = request(method, path);
        request.headers_mut().insert("origin", APP.parse().unwrap());
        request.headers_mut().insert("access-control-request-method", "GET".parse().unwrap());
        let reply = client.request(request, "".into());
        assert_eq!(
            (reply.status, reply.header("access-control-allow-origin")),
            (status, Some(APP)),
            "{path}"
        );
    }
    let mut post = request(Method::POST, "/topics/t");
    post.headers_mut().insert("origin", APP.parse().unwrap());
    post.headers_mut().insert("content-length", (3 << 20).into());
    let (response, _body) = client.open(post);
    let response = client.wait(response).unwrap();
    assert_eq!(response.status(), 413);
    assert_eq!(response.headers()["access-control-allow-origin"], APP);
}

#[cfg(feature = "http2")]
#[test]
fn the_forwarded_host_counts_over_http2_too() {
    use crate::h2::client::{Client, request};
    use windlass::http::Method;

    let server = behind("127.0.0.1");
    let mut client = Client::connect(&server);
    for (origin, status) in [("https://app.example", 202), ("http://test", 403)] {
        let mut post = request(Method::POST, "/topics/t");
        post.headers_mut().insert("origin", origin.parse().unwrap());
        post.headers_mut().insert("x-forwarded-host", "app.example".parse().unwrap());
        assert_eq!(client.request(post, "x".into()).status, status, "{origin}");
    }
}

/// Serves topics behind a proxy at this address.
fn behind(proxy: &str) -> Server {
    let broker = broker();
    let router = topic_routes(Router::new(), &broker, TopicAccess::default());
    builder(router).broker(&broker).trusted_proxies(TrustedProxies::parse([proxy]).unwrap()).start().unwrap()
}

#[test]
fn the_origin_is_compared_with_the_host_that_a_trusted_proxy_forwards() {
    let cases = [
        ("X-Forwarded-Host: app.example", "https://app.example", true),
        ("X-Forwarded-Host: forged.example, app.example", "https://app.example", true),
        ("X-Forwarded-Host: forged.example, app.example", "https://forged.example", false),
        ("Forwarded: for=1.2.3.4;host=\"app.example:8443\";proto=https", "https://app.example:8443", true),
        ("X-Forwarded-Host: app.example", "https://evil.example", false),
        ("X-Forwarded-Host: app.example", "http://t", false),
        (
            "Forwarded: for=1.2.3.4;host=evil.example, for=5.6.7.8;host=app.example",
            "http://evil.example",
            false,
        ),
        ("X-Forwarded-For: 1.2.3.4", "http://t", true),
    ];
    let (trusting, other) = (behind("127.0.0.1"), behind("10.0.0.1"));
    for (forwarded, origin, allowed) in cases {
        let fields = format!("{forwarded}\r\nOrigin: {origin}\r\n");
        let status = ask(&trusting, "POST /topics/t", &fields, 1).status;
        assert_eq!(status, if allowed { 202 } else { 403 }, "{fields}");
        // A peer that is not trusted speaks for itself only.
        let status = ask(&other, "POST /topics/t", &fields, 1).status;
        assert_eq!(status, if origin == "http://t" { 202 } else { 403 }, "{fields}");
    }
}

#[cfg(feature = "ws")]
#[test]
fn sockets_compare_the_origin_with_the_forwarded_host() {
    use crate::ws::peer::{echo, opening};
    use windlass::websocket;

    let broker = broker();
    let router = topic_routes(Router::new(), &broker, TopicAccess::default()).route(websocket("/ws", echo));
    let trusted = TrustedProxies::parse(["127.0.0.1"]).unwrap();
    let server = builder(router).broker(&broker).trusted_proxies(trusted).start().unwrap();
    for path in ["/topics/t", "/ws"] {
        for (fields, status) in [
            ("X-Forwarded-Host: app.example\r\nOrigin: https://app.example\r\n", 101),
            ("Forwarded: host=app.example\r\nOrigin: https://app.example\r\n", 101),
            ("X-Forwarded-Host: app.example\r\nOrigin: https://evil.example\r\n", 403),
            ("X-Forwarded-Host: app.example\r\nOrigin: http://test\r\n", 403),
            ("Origin: https://app.example\r\n", 403),
            ("Origin: http://test\r\n", 101),
        ] {
            let mut peer = connect(&server);
            peer.send(opening(path, fields));
            assert_eq!(peer.reply().status, status, "{path} {fields}");
        }
    }
}
