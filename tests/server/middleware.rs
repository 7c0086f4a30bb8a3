//! Ready middleware: CORS, request identifiers, traces, basic authentication; and merged routers.

use http::{HeaderName, Method, StatusCode};
use windlass::{
    Origins, Request, Response, Router, StartError, TestClient,
    extract::Extension,
    get,
    middleware::{BasicAuth, BasicUser, Cors, RequestId, RequestIds, Trace, TraceContext},
    post, static_route,
};

use crate::common::{connect, start};

const APP: &str = "https://app.example";

/// Sends a request with these header lines over HTTP/1.1, and over HTTP/2 where it is built in. Returns
/// status, text and the values of a field.
fn ask(
    router: Router,
    method: &Method,
    path: &str,
    fields: &[(&str, &str)],
    field: &str,
) -> (u16, String, String) {
    let server = start(router);
    let mut peer = connect(&server);
    let lines: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    peer.send(format!("{method} {path} HTTP/1.1\r\nHost: test\r\n{lines}\r\n"));
    let reply = peer.reply_to(method.as_str());
    let answer = (reply.status, reply.text(), reply.header(field).unwrap_or_default().to_owned());
    #[cfg(feature = "http2")]
    {
        let mut client = crate::h2::client::Client::connect(&server);
        let mut request = crate::h2::client::request(method.clone(), path);
        for (name, value) in fields {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            request.headers_mut().append(name, value.parse().unwrap());
        }
        let reply = client.request(request, bytes::Bytes::new());
        let value = reply.header(field).unwrap_or_default().to_owned();
        assert_eq!((reply.status, reply.text(), value), (answer.0, answer.1.as_str(), answer.2.clone()));
    }
    answer
}

fn with_cors() -> Router {
    let cors = Cors::new(Origins::SameOr(vec![APP.to_owned()]))
        .methods([Method::GET, Method::PUT])
        .expose_headers([HeaderName::from_static("x-total")])
        .credentials();
    let denied = |_: &Request| Err::<(), _>(StatusCode::FORBIDDEN);
    let private = |group: windlass::Group| group.authorize(denied).route(get("/x", || ""));
    Router::new().with(cors).route(static_route("/fixed", "fixed")).group("/private", private)
}

#[test]
fn cors_permits_listed_origins_on_every_response() {
    let allowed = "access-control-allow-origin";
    for (path, status) in [("/fixed", 200), ("/private/x", 403), ("/nowhere", 404)] {
        let answer = ask(with_cors(), &Method::GET, path, &[("origin", APP)], allowed);
        assert_eq!((answer.0, answer.2.as_str()), (status, APP), "{path}");
    }
    let other = ask(with_cors(), &Method::GET, "/fixed", &[("origin", "https://evil.example")], allowed);
    assert_eq!((other.0, other.2.as_str()), (200, ""));
    let exposed =
        ask(with_cors(), &Method::GET, "/fixed", &[("origin", APP)], "access-control-expose-headers");
    assert_eq!(exposed.2, "x-total");
    let any = Router::new().with(Cors::new(Origins::Any).credentials()).route(get("/", || ""));
    let fields = [("origin", APP)];
    assert_eq!(ask(any.clone(), &Method::GET, "/", &fields, allowed).2, "*");
    assert_eq!(ask(any, &Method::GET, "/", &fields, "access-control-allow-credentials").2, "");
}

#[test]
fn cors_answers_preflight_requests_before_access_checks() {
    let fields = [
        ("origin", APP),
        ("access-control-request-method", "PUT"),
        ("access-control-request-headers", "x-one, authorization"),
    ];
    let options = Method::OPTIONS;
    for (field, value) in [
        ("access-control-allow-origin", APP),
        ("access-control-allow-methods", "GET, PUT"),
        ("access-control-allow-headers", "x-one, authorization"),
        ("access-control-allow-credentials", "true"),
        ("access-control-max-age", "600"),
    ] {
        let answer = ask(with_cors(), &options, "/private/x", &fields, field);
        assert_eq!((answer.0, answer.2.as_str()), (204, value), "{field}");
    }
    let listed = Cors::new(Origins::Any).request_headers([HeaderName::from_static("x-two")]);
    let router = Router::new().with(listed).route(get("/", || ""));
    assert_eq!(ask(router, &options, "/", &fields, "access-control-allow-headers").2, "x-two");
    let refused = [("origin", "https://evil.example"), ("access-control-request-method", "PUT")];
    let answer = ask(with_cors(), &options, "/fixed", &refused, "access-control-allow-methods");
    assert_eq!((answer.0, answer.2.as_str()), (204, ""));
}

#[test]
fn request_ids_are_accepted_or_made() {
    let router = || {
        Router::new()
            .with(RequestIds::new())
            .route(get("/", |id: RequestId| id.to_string()))
            .route(get("/panic", || -> &'static str { panic!("deliberate panic of the test") }))
    };
    let name = "x-request-id";
    let given = ask(router(), &Method::GET, "/", &[(name, "abc-1")], name);
    assert_eq!((given.1.as_str(), given.2.as_str()), ("abc-1", "abc-1"));
    let panicked = ask(router(), &Method::GET, "/panic", &[(name, "abc-2")], name);
    assert_eq!((panicked.0, panicked.2.as_str()), (500, "abc-2"));
    let client = TestClient::new(router()).unwrap();
    let made: Vec<_> = (0..3).map(|_| client.get("/")).collect();
    for response in &made {
        assert_eq!(response.headers()[name].as_bytes(), response.body().as_ref());
        assert_eq!(response.body().len(), 32);
    }
    assert!(made[0].body() != made[1].body() && made[1].body() != made[2].body());
    let invalid = http::Request::get("/").header(name, "with space").body("").unwrap();
    assert_eq!(client.call(invalid).body().len(), 32);
    assert_eq!(client.get("/nowhere").headers()[name].len(), 32);
    let own =
        Router::new().with(RequestIds::new().ignore_client()).route(get("/", |id: RequestId| id.to_string()));
    let client = TestClient::new(own).unwrap();
    assert_ne!(client.call(http::Request::get("/").header(name, "abc").body("").unwrap()).body(), "abc");
    let without = Router::new().route(get("/", |id: RequestId| id.to_string()));
    assert_eq!(ask(without, &Method::GET, "/", &[], name).0, 500);
}

#[test]
fn a_trace_is_passed_on_with_a_span_of_its_own() {
    let handler = |Extension(trace): Extension<TraceContext>| trace.header();
    let router = || {
        Router::new().with(Trace::new()).route(get("/", handler)).route(get("/async", handler).run_async())
    };
    let client = TestClient::new(router()).unwrap();
    for path in ["/", "/async"] {
        let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let request = http::Request::get(path).header("traceparent", parent).body("").unwrap();
        let header = String::from_utf8(client.call(request).body().to_vec()).unwrap();
        assert!(
            header.starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-") && header.ends_with("-01"),
            "{header}"
        );
        assert_ne!(header, parent);
    }
    let began = String::from_utf8(client.get("/").body().to_vec()).unwrap();
    assert!(began.len() == 55 && began.ends_with("-00"), "{began}");
}

#[test]
fn basic_auth_passes_known_users_only() {
    let router = || {
        let hello = |Extension(user): Extension<BasicUser>| user.name().to_owned();
        let auth = BasicAuth::new("the \"admin\" area").user("ann", "secret").user("bob", "pass:word");
        Router::new()
            .group("/admin", |admin| admin.with(auth).route(get("/", hello)))
            .route(get("/open", || "open"))
    };
    let challenge = "www-authenticate";
    let expected = "Basic realm=\"the \\\"admin\\\" area\", charset=\"UTF-8\"";
    for refused in ["", "Basic", "Basic !", "Bearer YW5uOnNlY3JldA==", "Basic YW5u", "Basic YW5uOnNlY3JldDE="]
    {
        let answer = ask(router(), &Method::GET, "/admin", &[("authorization", refused)], challenge);
        assert_eq!((answer.0, answer.2.as_str()), (401, expected), "{refused}");
    }
    for (credentials, name) in [("Basic YW5uOnNlY3JldA==", "ann"), ("basic Ym9iOnBhc3M6d29yZA==", "bob")] {
        let answer = ask(router(), &Method::GET, "/admin", &[("authorization", credentials)], challenge);
        assert_eq!((answer.0, answer.1.as_str()), (200, name));
    }
    assert_eq!(ask(router(), &Method::GET, "/open", &[], challenge).0, 200);
    assert_eq!(ask(router(), &Method::POST, "/admin", &[], challenge).0, 401);
}

#[test]
fn a_merged_router_keeps_its_layers_state_and_dispatch() {
    let mark = |name: &'static str| {
        move |request, next: windlass::Next| async move {
            let response: Response = next.run(request).await;
            let path =
                format!("{}{name}", response.header("x-path").map_or("", |path| path.to_str().unwrap()));
            response.with_header("x-path", path)
        }
    };
    let thread = || std::thread::current().name().unwrap_or_default().to_owned();
    let items = Router::new()
        .state(7_u8)
        .state("items")
        .run_async()
        .route(get("/items", |request: Request| {
            format!("{} {}", request.state::<&str>().unwrap(), request.state::<u8>().unwrap())
        }))
        .route(get("/items/thread", thread))
        .group("/items/in", |group| group.route(post("/x", || "x")))
        .not_found(|| (StatusCode::NOT_FOUND, "items: nothing here"))
        .with(mark("i"));
    let users = Router::new().state("users").route(get("/users", || "users")).with(mark("u"));
    let server = start(users.merge(items));
    let mut peer = connect(&server);
    let path = |reply: &crate::common::Reply| reply.header("x-path").unwrap_or_default().to_owned();
    let (user, item) = (peer.get("/users"), peer.get("/items"));
    assert_eq!((user.text().as_str(), path(&user).as_str()), ("users", "u"));
    assert_eq!((item.text().as_str(), path(&item).as_str()), ("users 7", "iu"));
    let unmatched = peer.get("/nowhere");
    assert_eq!((unmatched.text().as_str(), path(&unmatched).as_str()), ("items: nothing here", "iu"));
    assert_eq!(path(&peer.post("/items/in/x", "")), "iu");
    assert!(!peer.get("/items/thread").text().starts_with("windlass"), "the handler must run on the pool");
    let twice = Router::new().route(get("/a", || "")).merge(Router::new().route(get("/a", || "")));
    let error = TestClient::new(twice).unwrap_err();
    assert!(matches!(error, StartError::Routes(_)) && error.to_string().contains("GET /a"), "{error}");
}
