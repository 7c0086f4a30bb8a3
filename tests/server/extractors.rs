//! Extractors: arguments of every kind arrive, and what is missing or invalid is refused as documented.

use std::{collections::HashMap, future::Future, net::SocketAddr, sync::Arc, time::Duration};

use windlass::{
    Body, Html, Json, Next, Redirect, Rejection, Request, Router, StartError,
    extract::{ConnectInfo, Extension, Form, FromRequest, FromRequestParts, Path, Query, State},
    get,
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, Version},
    local, post,
};

use crate::common::{Peer, builder, connect, start};

#[derive(serde::Deserialize, serde::Serialize)]
struct Item {
    name: String,
    count: u32,
}

#[derive(serde::Deserialize, Debug)]
#[serde(rename_all = "lowercase")]
enum Color {
    Red,
}

#[derive(Clone)]
struct User(&'static str);

/// An extractor that has to wait.
struct Slow(u64);

impl FromRequestParts for Slow {
    type Rejection = Rejection;

    async fn from_request_parts(request: &mut Request) -> Result<Self, Rejection> {
        windlass::sleep(Duration::from_millis(1)).await;
        Ok(Self(request.query_value_as("slow")?.unwrap_or_default()))
    }
}

/// An extractor that breaks its promise to be ready at once.
struct Broken;

impl FromRequestParts for Broken {
    type Rejection = Rejection;

    const IMMEDIATE: bool = true;

    fn from_request_parts(_: &mut Request) -> impl Future<Output = Result<Self, Rejection>> + Send {
        std::future::pending()
    }
}

async fn root() -> &'static str {
    "root"
}

#[expect(clippy::too_many_arguments, reason = "handlers take up to 16 arguments")]
async fn many(
    method: Method,
    uri: Uri,
    version: Version,
    headers: HeaderMap,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    State(word): State<&'static str>,
    State(number): State<Arc<u64>>,
    Extension(user): Extension<User>,
    Path((name, id)): Path<(String, u8)>,
    Query(query): Query<HashMap<String, String>>,
    body: String,
) -> String {
    let (host, ip) = (headers["host"].to_str().unwrap(), peer.ip());
    let (user, more) = (user.0, &query["q"]);
    format!("{method} {uri} {version:?} {host} {ip} {word} {number} {user} {name} {id} {more} {body}")
}

async fn add(Path(factor): Path<u32>, Json(item): Json<Item>) -> Json<Item> {
    Json(Item { count: item.count * factor, ..item })
}

async fn maybe(factor: Option<Path<u32>>, item: Option<Json<Item>>) -> String {
    format!("{:?} {:?}", factor.map(|path| path.0), item.map(|item| item.0.count))
}

async fn outcome(query: Result<Query<Item>, Rejection>) -> String {
    query.map_or_else(|error| format!("refused: {error}"), |query| query.0.name)
}

fn routes() -> Router {
    let attach = |mut request: Request, next: Next| {
        request.extensions_mut().insert(User("ann"));
        next.run(request)
    };
    Router::new()
        .state("word")
        .state(Arc::new(7_u64))
        .route(get("/", root))
        .route(post("/many/{name}/{id}", many).with(attach))
        .route(post("/many-async/{name}/{id}", many).with(attach).run_async())
        .route(post("/no-user/{name}/{id}", many))
        .route(post("/add/{factor}", add))
        .route(post("/add-streamed/{factor}", add).streamed())
        .route(post("/add-async/{factor}", add).run_async())
        .route(post("/add-plain/{factor}", |Path(n): Path<u32>, Json(item): Json<Item>| {
            format!("{}", n * item.count)
        }))
        .route(post("/plain-streamed", |text: String| text).streamed())
        .route(post("/maybe", maybe))
        .route(post("/maybe/{factor}", maybe))
        .route(get("/outcome", outcome))
        .route(get("/slow", async |Slow(n): Slow, method: Method| format!("{n} {method}")))
        .route(get("/slow-plain", |_: Slow| "never"))
        .route(get("/broken", async |_: Broken| "never"))
        .route(get("/color/{color}", |Path(color): Path<Color>| format!("{color:?}")))
        .route(get("/map/{a}/{b}", |Path(all): Path<Vec<(String, u8)>>| format!("{all:?}")))
        .route(get("/one/{a}/{b}", |_: Path<u8>| "never"))
        .route(get("/three/{a}/{b}", |_: Path<(u8, u8, u8)>| "never"))
        .route(get("/named/{a}", |_: Path<Item>| "never"))
        .route(get("/form", |Form(item): Form<Item>| item.name))
        .route(post("/form", |Form(item): Form<Item>| item.name))
        .route(post("/echo", |body: Body| body))
        .route(post("/text", async |text: String| text))
        .route(get(
            "/local",
            local(async |_: Request| {
                let kept = std::rc::Rc::new(1);
                windlass::sleep(Duration::from_millis(1)).await;
                kept.to_string()
            }),
        ))
        .route(get("/html", || Html("<p>")))
        .route(get("/see", || Redirect::to("/there")))
        .route(get("/headers", || {
            let mut headers = HeaderMap::new();
            headers.append("x-a", HeaderValue::from_static("1"));
            headers.append("x-a", HeaderValue::from_static("2"));
            headers.insert("content-type", HeaderValue::from_static("text/x"));
            (StatusCode::ACCEPTED, headers, "body")
        }))
}

#[track_caller]
fn send(peer: &mut Peer, path: &str, kind: &str, body: &str) -> (u16, String) {
    let length = body.len();
    let kind = if kind.is_empty() { String::new() } else { format!("Content-Type: {kind}\r\n") };
    peer.send(format!("POST {path} HTTP/1.1\r\nHost: t\r\n{kind}Content-Length: {length}\r\n\r\n{body}"));
    let reply = peer.reply();
    (reply.status, reply.text())
}

const JSON: &str = "application/json";

#[test]
fn a_handler_takes_any_number_of_arguments() {
    let server = start(routes());
    let mut peer = connect(&server);
    assert_eq!(peer.get("/").text(), "root");
    for path in ["/many/bob/3", "/many-async/bob/3"] {
        let (status, text) = send(&mut peer, &format!("{path}?q=x%20y"), "", "hi");
        let expected = format!("POST {path}?q=x%20y HTTP/1.1 t 127.0.0.1 word 7 ann bob 3 x y hi");
        assert_eq!((status, text), (200, expected));
    }
    assert_eq!(peer.get("/slow?slow=5").text(), "5 GET");
    assert_eq!(peer.get("/local").text(), "1");
    assert_eq!(send(&mut peer, "/echo", "", "body").1, "body");
}

#[test]
fn an_argument_that_is_missing_or_invalid_is_refused() {
    let server = start(routes());
    let mut peer = connect(&server);
    let item = r#"{"name":"nut","count":2}"#;
    for path in ["/add/3", "/add-async/3", "/add-streamed/3"] {
        assert_eq!(send(&mut peer, path, JSON, item).1, r#"{"name":"nut","count":6}"#, "{path}");
        assert_eq!(send(&mut peer, path, "text/plain", item).0, 415, "{path}");
        assert_eq!(send(&mut peer, path, JSON, "{").0, 400, "{path}");
        assert_eq!(send(&mut peer, path, JSON, "{}").0, 422, "{path}");
    }
    assert_eq!(send(&mut peer, "/add-plain/3", JSON, item).1, "6");
    let (status, text) = send(&mut peer, "/add/-3", JSON, item);
    let problem =
        "invalid path: parameter `factor` is `-3`, expected a whole number of 32 bits without sign\n";
    assert_eq!((status, text.as_str()), (400, problem));
    assert_eq!(send(&mut peer, "/no-user/bob/3?q=x", "", "").0, 500, "no middleware has attached the user");
    for path in ["/one/1/2", "/three/1/2", "/named/1", "/slow-plain", "/broken"] {
        let reply = peer.get(path);
        assert_eq!((reply.status, reply.text().contains("failed to handle")), (500, true), "{path}");
    }
    assert_eq!((peer.get("/color/red").text().as_str(), peer.get("/color/blue").status), ("Red", 400));
    assert_eq!(peer.get("/map/1/2").text(), r#"[("a", 1), ("b", 2)]"#);
    assert_eq!(peer.get("/form?name=a+b&count=1").text(), "a b");
    assert_eq!(send(&mut peer, "/form", "application/x-www-form-urlencoded", "name=c&count=1").1, "c");
    peer.send("POST /text HTTP/1.1\r\nHost: t\r\nContent-Length: 1\r\n\r\n");
    peer.send([0xff]);
    assert_eq!(peer.reply().status, 400, "the text is not UTF-8");
}

#[test]
fn an_optional_argument_is_absent_or_valid() {
    let server = start(routes());
    let mut peer = connect(&server);
    let item = r#"{"name":"nut","count":2}"#;
    assert_eq!(send(&mut peer, "/maybe", "", "").1, "None None");
    assert_eq!(send(&mut peer, "/maybe/4", JSON, item).1, "Some(4) Some(2)");
    assert_eq!(send(&mut peer, "/maybe/x", "", "").0, 400);
    assert_eq!(send(&mut peer, "/maybe", JSON, "{").0, 400);
    assert_eq!(peer.get("/outcome?name=a&count=1").text(), "a");
    assert!(peer.get("/outcome?name=a").text().starts_with("refused: invalid query: missing field"));
}

#[test]
fn a_plain_handler_of_a_streamed_body_is_refused_only_while_the_body_is_incomplete() {
    let server = start(routes());
    let mut peer = connect(&server);
    peer.send("POST /plain-streamed HTTP/1.1\r\nHost: t\r\nContent-Length: 9\r\n\r\npart");
    assert_eq!(peer.reply().status, 500);
}

#[test]
fn a_server_without_the_state_of_a_handler_does_not_start() {
    let take = |State(_): State<u8>| "never";
    let started = builder(Router::new().route(get("/needs", take))).start();
    let Err(StartError::Routes(error)) = started else { panic!("it started") };
    let text = error.to_string();
    assert!(text.contains("GET /needs") && text.contains("State<u8>"), "{text}");
    let server = start(Router::new());
    let refused = server.routes().add_blocking(get("/needs", take)).unwrap_err().to_string();
    assert!(refused.contains("State<u8>"), "{refused}");
}

#[test]
fn responses_of_every_shape() {
    let server = start(routes());
    let mut peer = connect(&server);
    assert_eq!(peer.get("/html").header("content-type"), Some("text/html; charset=utf-8"));
    let seen = peer.get("/see");
    assert_eq!((seen.status, seen.header("location")), (303, Some("/there")));
    let reply = peer.get("/headers");
    assert_eq!((reply.status, reply.header("content-type")), (202, Some("text/x")));
    let values = reply.headers.iter().filter(|(name, _)| name == "x-a").count();
    assert_eq!(values, 2, "{:?}", reply.headers);
}

/// Handlers of other shapes are no `FromRequest` of two bodies: this only has to compile.
#[allow(dead_code, reason = "a test of the compiler")]
fn a_request_and_a_head_can_be_last() {
    fn last<M, T: FromRequest<M>>() {}
    last::<_, Request>();
    last::<_, Method>();
}
