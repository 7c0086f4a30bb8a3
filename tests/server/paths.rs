//! Percent-encoding in paths: one rule for routes, parameters and topics, over every protocol.

use windlass::{
    Request, Router,
    broker::{Broker, BrokerSettings},
    get, post, static_route, topic_routes,
};

use crate::common::{base_builder, builder, connect, start};

fn describe(name: &'static str) -> impl Fn(Request) -> String + Clone {
    move |request: Request| {
        let segments: Vec<_> = request.param_segments(name).collect();
        assert_eq!(request.params().next(), Some((name, request.param(name).unwrap())));
        format!(
            "{} {} {}",
            request.param_raw(name).unwrap(),
            request.param(name).unwrap(),
            segments.join("|")
        )
    }
}

fn routes() -> Router {
    Router::new()
        .route(static_route("/static", "static"))
        .route(get("/a/b", |_: Request| "a/b"))
        .route(get("/caf%c3%a9", |_: Request| "café"))
        .route(get("/tilde~/%7Eplain", |_: Request| "tilde"))
        .route(get("/slash%2fed", |_: Request| "slashed"))
        .route(get("/colon:x", |_: Request| "colon"))
        .route(get("/one/{id}", describe("id")))
        .route(get("/one/{id}/two", describe("id")))
        .route(get("/rest/{*path}", describe("path")))
        .route(post("/posted", |_: Request| "posted"))
}

/// Requests and their replies: status and body.
const CASES: &[(&str, u16, &str)] = &[
    // Encoded unreserved characters are equal to plain ones, in every kind of route.
    ("/%73tatic", 200, "static"),
    ("/%61/%62", 200, "a/b"),
    ("/a/%2562", 404, ""),
    ("/caf%C3%A9", 200, "café"),
    ("/caf%c3%A9", 200, "café"),
    ("/tilde%7e/~plain", 200, "tilde"),
    ("/%6fne/7", 200, "7 7 7"),
    ("/one/%37/tw%6F", 200, "7 7 7"),
    ("/one/%7e%2D%5f", 200, "~-_ ~-_ ~-_"),
    // Encoded reserved characters never separate, and are not equal to plain ones.
    ("/a%2Fb", 404, ""),
    ("/a%2fb", 404, ""),
    ("/slash%2Fed", 200, "slashed"),
    ("/slash/ed", 404, ""),
    ("/colon%3Ax", 404, ""),
    ("/one/a%2Fb", 200, "a%2Fb a/b a/b"),
    ("/one/a%2fb/two", 200, "a%2Fb a/b a/b"),
    ("/one/7%2Ftwo", 200, "7%2Ftwo 7/two 7/two"),
    ("/rest/a/b", 200, "a/b a/b a|b"),
    ("/rest/a%2Fb", 200, "a%2Fb a%2Fb a/b"),
    ("/rest/a%2fb/%20c", 200, "a%2Fb/%20c a%2Fb/ c a/b| c"),
    ("/rest%2Fa", 404, ""),
    // A path is decoded once.
    ("/one/%252F", 200, "%252F %2F %2F"),
    ("/rest/%2561", 200, "%2561 %61 %61"),
    ("/%2561/b", 404, ""),
    // What is no valid encoding stands for itself.
    ("/one/100%", 200, "100% 100% 100%"),
    ("/one/%zz%61", 200, "%zz%61 %zza %zza"),
    // Text that is not UTF-8, or holds a NUL, is refused.
    ("/one/%ff", 400, ""),
    ("/rest/a/%00", 400, ""),
    // The query is not part of the path.
    ("/%61/b?x=%2F", 200, "a/b"),
];

fn check(path: &str, expected: (u16, &str), status: u16, body: &str) {
    assert_eq!(status, expected.0, "{path}");
    if status == 200 {
        assert_eq!(body, expected.1, "{path}");
    }
}

#[test]
fn encoded_characters_never_separate_and_unreserved_ones_are_equal_to_plain_ones() {
    let server = start(routes());
    for (path, status, body) in CASES {
        let reply = connect(&server).get(path);
        check(path, (*status, body), reply.status, &reply.text());
    }
    let mut peer = connect(&server);
    peer.request("GET", "/%70osted");
    assert_eq!(peer.reply().header("allow"), Some("POST, OPTIONS"), "405 must apply to the same path");
}

#[cfg(feature = "http2")]
#[test]
fn http2_has_the_same_rule_for_paths() {
    let server = start(routes());
    let mut client = crate::h2::client::Client::connect(&server);
    for (path, status, body) in CASES {
        let reply = client.get(path);
        check(path, (*status, body), reply.status, reply.text());
    }
}

#[test]
fn routes_that_differ_only_in_encoding_are_the_same() {
    let twice = Router::new().route(get("/a", |_: Request| "")).route(get("/%61", |_: Request| ""));
    let error = builder(twice).start().unwrap_err().to_string();
    assert!(error.contains("GET /%61: a route with this method and path exists already"), "{error}");
    let server = start(Router::new().route(get("/caf%c3%a9", |_: Request| "")));
    assert!(server.routes().add_blocking(get("/caf%C3%A9", |_: Request| "")).is_err());
    server.routes().remove_blocking(windlass::http::Method::GET, "/c%61f%C3%A9").unwrap();
    assert_eq!(connect(&server).get("/caf%C3%A9").status, 404);
}

#[test]
fn a_group_protects_encoded_forms_of_its_paths() {
    let no = |_: &Request| Err::<(), _>(windlass::http::StatusCode::FORBIDDEN);
    let router = Router::new()
        .group("/private", |group| group.route(get("/{*path}", |_: Request| "secret")).authorize(no))
        .route(get("/{*path}", describe("path")));
    let server = start(router);
    for path in ["/private/x", "/%70rivate/x", "/priv%61te/%78"] {
        assert_eq!(connect(&server).get(path).status, 403, "{path}");
    }
    // A route that is added later is covered in whatever spelling.
    for path in ["/private/later", "/%70rivate/lat%65r2"] {
        server.routes().add_blocking(get(path, |_: Request| "secret")).unwrap();
        assert_eq!(connect(&server).get(path).status, 403, "{path}");
    }
    let reply = connect(&server).get("/private%2Fx");
    assert_eq!(reply.text(), "private%2Fx private%2Fx private/x", "an encoded slash is no separator");
}

#[test]
fn an_encoded_slash_does_not_separate_the_segments_of_a_topic() {
    let broker = Broker::new(BrokerSettings::default()).unwrap();
    let router = topic_routes(Router::new(), &broker, windlass::TopicAccess::default());
    let server = base_builder().listen("127.0.0.1:0").router(router).broker(&broker).start().unwrap();
    let mut peer = connect(&server);
    assert_eq!(peer.post("/topics/private/x", "secret").status, 202);
    for path in
        ["/topics/private%2Fx", "/topics/private%2fx", "/topics/%70rivate%2Fx", "/topics/private%252Fx"]
    {
        assert_eq!(connect(&server).post(path, "forged").status, 400, "{path}");
        assert_eq!(connect(&server).get(&format!("{path}?last_event_id=earliest")).status, 400, "{path}");
    }
    // The same topic, in other spellings.
    for path in ["/topics/%70rivate/x", "/t%6Fpics/private/%78"] {
        assert_eq!(connect(&server).post(path, "again").status, 202, "{path}");
    }
    assert_eq!(connect(&server).post("/topics/user%3A7%40host", "x").status, 202);
    let mut topics: Vec<_> =
        broker.topics_stats().into_iter().map(|(name, stats)| (name.to_string(), stats.published)).collect();
    topics.sort();
    assert_eq!(topics, [("private/x".to_owned(), 3), ("user:7@host".to_owned(), 1)]);
}
