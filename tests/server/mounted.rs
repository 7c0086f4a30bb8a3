//! Tower services mounted at a path: axum routers, layers of tower and tower-http, and services that fail.

mod leaving;
mod readiness;
mod streams;

use std::{
    convert::Infallible,
    net::SocketAddr,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Form, Json,
    extract::{ConnectInfo, Path, Query, State},
    response::IntoResponse,
    routing,
};
use http::{Method, StatusCode, header};
use tower::Service;
use tower_http::{
    compression::CompressionLayer, cors::CorsLayer, limit::RequestBodyLimitLayer, services::ServeDir,
    set_header::SetResponseHeaderLayer,
};
use windlass::{Body, Dispatch, Next, OriginalUri, Request, Router, RouterError, Server, any, get, mount};

use crate::common::{builder, connect, start};

/// Sends a request over HTTP/1.1 and, if compiled in, over HTTP/2. Asserts that both replies are equal.
#[track_caller]
fn request_both_protocols(server: &Server, method: Method, path: &str, body: &'static str) -> (u16, String) {
    let mut peer = connect(server);
    peer.send(format!("{method} {path} HTTP/1.1\r\nHost: test\r\nContent-Length: {}\r\n", body.len()));
    peer.send(format!("Content-Type: {}\r\n\r\n{body}", kind_of(body)));
    let reply = peer.reply_to(method.as_str());
    let answer = (reply.status, reply.text());
    #[cfg(feature = "http2")]
    {
        let request = http::Request::builder().method(method).uri(format!("http://test{path}"));
        let request = request.header("content-type", kind_of(body)).body(()).unwrap();
        let reply = crate::h2::client::Client::connect(server).request(request, body.into());
        assert_eq!((reply.status, reply.text()), (answer.0, answer.1.as_str()), "HTTP/2: {path}");
    }
    answer
}

fn kind_of(body: &str) -> &'static str {
    if body.starts_with('{') { "application/json" } else { "application/x-www-form-urlencoded" }
}

#[track_caller]
fn get_from(server: &Server, path: &str) -> (u16, String) {
    request_both_protocols(server, Method::GET, path, "")
}

fn ok(text: &str) -> (u16, String) {
    (200, text.to_owned())
}

#[derive(serde::Deserialize)]
struct Item {
    name: String,
    count: u32,
}

/// An axum application that uses each kind of extractor.
fn app() -> axum::Router {
    axum::Router::new()
        .route("/", routing::get(|| async { "root" }))
        .route("/users/{id}", routing::get(|Path(id): Path<u32>| async move { format!("user {id}") }))
        .route(
            "/find",
            routing::get(|Query(item): Query<Item>| async move { format!("{}x{}", item.count, item.name) }),
        )
        .route(
            "/json",
            routing::post(|Json(item): Json<Item>| async move { format!("{}x{}", item.count, item.name) }),
        )
        .route(
            "/form",
            routing::post(|Form(item): Form<Item>| async move { format!("{}x{}", item.count, item.name) }),
        )
        .route("/state", routing::get(|State(state): State<&'static str>| async move { state }))
        .route("/echo", routing::post(|body: String| async move { body }))
        .route("/big", routing::get(|| async { "big ".repeat(1000) }))
        .route("/uri", routing::get(uri))
        .route("/tokio", routing::get(in_tokio))
        .route("/panic", routing::get(async || -> &'static str { panic!("deliberate panic of the test") }))
        .with_state("the state")
}

async fn uri(request: axum::extract::Request) -> String {
    let original = request.extensions().get::<OriginalUri>().unwrap();
    format!("{} of {}", request.uri(), original.0)
}

async fn in_tokio() -> String {
    tokio::time::sleep(Duration::from_millis(1)).await;
    let spawned = tokio::spawn(async { "spawned" }).await.unwrap();
    let blocking = tokio::task::spawn_blocking(|| "blocking").await.unwrap();
    format!("{spawned} {blocking}")
}

#[test]
fn an_axum_router_answers_with_its_extractors() {
    let server = start(Router::new().mount("/", app()));
    assert_eq!(get_from(&server, "/"), ok("root"));
    assert_eq!(get_from(&server, "/users/7"), ok("user 7"));
    assert_eq!(get_from(&server, "/users/x").0, 400);
    assert_eq!(get_from(&server, "/find?name=a%20b&count=2"), ok("2xa b"));
    assert_eq!(
        request_both_protocols(&server, Method::POST, "/json", r#"{"name":"nut","count":3}"#),
        ok("3xnut")
    );
    assert_eq!(request_both_protocols(&server, Method::POST, "/json", "{").0, 400);
    assert_eq!(request_both_protocols(&server, Method::POST, "/form", "name=nut&count=3"), ok("3xnut"));
    assert_eq!(get_from(&server, "/state"), ok("the state"));
    assert_eq!(get_from(&server, "/big"), ok(&"big ".repeat(1000)));
    assert_eq!(get_from(&server, "/nowhere").0, 404);
    assert_eq!(request_both_protocols(&server, Method::DELETE, "/state", "").0, 405);
    assert_eq!(get_from(&server, "/tokio"), ok("spawned blocking"));
}

#[test]
fn a_service_gets_the_path_below_its_mount_point() {
    let router =
        Router::new().mount("/api", app()).group("/v2", |group| group.route(mount("/in/{tenant}/", app())));
    let server = start(router);
    assert_eq!(get_from(&server, "/api"), ok("root"));
    assert_eq!(get_from(&server, "/api/"), ok("root"));
    assert_eq!(get_from(&server, "/api?x=1"), ok("root"));
    assert_eq!(get_from(&server, "/api/users/7"), ok("user 7"));
    assert_eq!(get_from(&server, "/api/uri?a=%2F"), ok("/uri?a=%2F of /api/uri?a=%2F"));
    assert_eq!(get_from(&server, "/v2/in/7/uri"), ok("/uri of /v2/in/7/uri"));
    assert_eq!(get_from(&server, "/api%2Fusers/7").0, 404);
    assert_eq!(get_from(&server, "/apiary").0, 404);
    assert_eq!(get_from(&server, "/users/7").0, 404);
}

#[test]
fn head_and_small_bodies_have_their_length() {
    let server = start(Router::new().mount("/", app()));
    let mut peer = connect(&server);
    assert_eq!(peer.get("/users/7").header("content-length"), Some("6"));
    peer.request("HEAD", "/users/7");
    let head = peer.reply_to("HEAD");
    assert_eq!((head.status, head.header("content-length")), (200, Some("6")));
    assert_eq!(peer.get("/").text(), "root", "the connection must stay open");
    #[cfg(feature = "http2")]
    {
        let head = crate::h2::client::Client::connect(&server).call(Method::HEAD, "/users/7", "");
        assert_eq!((head.status, head.header("content-length"), head.body.len()), (200, Some("6"), 0));
    }
}

#[test]
fn routes_take_precedence_over_a_mount() {
    let router = Router::new()
        .mount("/", app())
        .route(get("/users/me", |_: Request| "the server's"))
        .route(any("/all/{what}", |r: Request| r.method().to_string()));
    let server = start(router);
    assert_eq!(get_from(&server, "/users/me"), ok("the server's"));
    assert_eq!(get_from(&server, "/users/7"), ok("user 7"));
    assert_eq!(request_both_protocols(&server, Method::PUT, "/all/x", ""), ok("PUT"));
    assert_eq!(request_both_protocols(&server, Method::OPTIONS, "/all/x", ""), ok("OPTIONS"));
    assert_eq!(
        request_both_protocols(&server, Method::from_bytes(b"PURGE").unwrap(), "/all/x", ""),
        ok("PURGE")
    );
    assert_eq!(
        connect(&server).post("/users/me", "").status,
        405,
        "a route must own all methods of its path"
    );
}

#[test]
fn layers_of_tower_http_work() {
    let directory = std::env::temp_dir().join(format!("windlass-mounted-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::write(directory.join("page.html"), "<p>page</p>").unwrap();
    let server_name =
        SetResponseHeaderLayer::overriding(header::SERVER, header::HeaderValue::from_static("axum"));
    let app = app()
        .nest_service("/files", ServeDir::new(&directory))
        .layer(RequestBodyLimitLayer::new(10))
        .layer((CompressionLayer::new(), server_name))
        .layer(CorsLayer::permissive());
    let server = start(Router::new().mount("/", app));
    let mut peer = connect(&server);
    peer.send("GET /big HTTP/1.1\r\nHost: t\r\nAccept-Encoding: gzip\r\n\r\n");
    let zipped = peer.reply();
    assert_eq!((zipped.header("content-encoding"), &zipped.body[..2]), (Some("gzip"), &[0x1f, 0x8b][..]));
    assert!(zipped.body.len() < 200, "{} bytes", zipped.body.len());
    peer.send(
        "OPTIONS /echo HTTP/1.1\r\nHost: t\r\nOrigin: http://o\r\n\
         Access-Control-Request-Method: POST\r\n\r\n",
    );
    assert_eq!(peer.reply_to("OPTIONS").header("access-control-allow-origin"), Some("*"));
    assert_eq!(peer.post("/echo", "0123456789").text(), "0123456789");
    assert_eq!(peer.post("/echo", "0123456789a").status, 413);
    let page = connect(&server).get("/files/page.html");
    assert_eq!((page.text().as_str(), page.header("server")), ("<p>page</p>", Some("axum")));
    assert_eq!(page.header("content-type"), Some("text/html"));
    assert_eq!(connect(&server).get("/files/nowhere").status, 404);
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn middleware_of_the_server_applies_to_a_mount() {
    async fn outside(mut request: Request, next: Next) -> windlass::Response {
        let peer = request.peer().unwrap();
        request.extensions_mut().insert(ConnectInfo(peer));
        next.run(request).await.with_header("x-outside", "1")
    }
    let app = axum::Router::new()
        .route(
            "/who",
            routing::get(|ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { peer.to_string() }),
        )
        .route("/peer", routing::get(peer));
    async fn peer(request: axum::extract::Request) -> String {
        request.extensions().get::<windlass::Peer>().unwrap().address().unwrap().to_string()
    }
    let server = start(Router::new().mount("/", app).with(outside));
    let mut peer = connect(&server);
    let local = peer.local_address().to_string();
    let reply = peer.get("/who");
    assert_eq!((reply.text(), reply.header("x-outside")), (local.clone(), Some("1")));
    assert_eq!(peer.get("/peer").text(), local);
}

#[test]
fn a_panic_in_a_service_answers_500_and_the_connection_stays_open() {
    let server = start(Router::new().mount("/", app()));
    let mut peer = connect(&server);
    assert_eq!(peer.get("/panic").status, 500);
    assert_eq!(peer.get("/").text(), "root");
    assert_eq!(server.metrics().handler_panics, 1);
}

/// A service that is not a router: it answers with a [`Body`], and fails for `/fail`.
#[derive(Clone)]
struct Plain;

impl Service<http::Request<Body>> for Plain {
    type Response = http::Response<Body>;
    type Error = std::io::Error;
    type Future = std::future::Ready<Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        std::future::ready(match request.uri().path() {
            "/fail" => Err(std::io::Error::other("deliberate panic of the test")),
            path => Ok(http::Response::new(Body::from(path.to_owned()))),
        })
    }
}

#[test]
fn any_service_may_be_mounted_and_its_error_text_is_not_exposed() {
    let server = start(Router::new().mount("/plain", Plain));
    assert_eq!(get_from(&server, "/plain/x"), ok("/x"));
    let (status, text) = get_from(&server, "/plain/fail");
    assert_eq!((status, text.contains("expected")), (500, false), "{text}");
}

#[test]
fn a_mount_is_always_async_and_counts_as_one_route() {
    let server = start(Router::new().run_inline().mount("/", app()));
    assert_eq!(get_from(&server, "/").1, "root");
    assert_eq!(server.metrics().async_routes, 1);
    assert_eq!(server.metrics().async_promoted_connections, 1);
    let refused = server.routes().set_dispatch_blocking(None, "/", Dispatch::Inline);
    assert!(matches!(&refused, Err(RouterError::Route(e)) if e.to_string().contains("tokio")), "{refused:?}");
    assert_eq!(get_from(&server, "/").1, "root", "the mount must still be served");
    let inline =
        builder(Router::new().route(mount("/m", app()).run_inline())).start().unwrap_err().to_string();
    assert!(inline.contains("(any) /m: its service needs a tokio runtime"), "{inline}");
}

#[test]
fn a_mount_may_be_added_and_removed_at_run_time() {
    let server = start(Router::new());
    server.routes().add_blocking(mount("/api", app())).unwrap();
    assert_eq!(get_from(&server, "/api/users/7"), ok("user 7"));
    assert!(
        server.routes().add_blocking(mount("/api", app())).is_err(),
        "a second mount at the same path must be refused"
    );
    server.routes().remove_blocking(None, "/api").unwrap();
    assert_eq!(get_from(&server, "/api/users/7").0, 404);
}

#[test]
fn two_applications_share_a_server() {
    let other = axum::Router::new().fallback(async |request: axum::extract::Request| {
        let status = if request.uri().path() == "/" { StatusCode::OK } else { StatusCode::IM_A_TEAPOT };
        Ok::<_, Infallible>((status, request.uri().to_string()).into_response())
    });
    let server = start(Router::new().mount("/one", app()).mount("/two", other));
    assert_eq!(get_from(&server, "/one/users/1"), ok("user 1"));
    assert_eq!(get_from(&server, "/two"), ok("/"));
    assert_eq!(get_from(&server, "/two/x"), (418, "/x".to_owned()));
}
