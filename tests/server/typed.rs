//! Typed parameters, queries, bodies and responses: valid input becomes a value, invalid input gets an
//! explanation.

use windlass::{HandlerError, Json, Rejection, Request, Router, get, http::StatusCode, post};

use crate::common::{Peer, connect, start};

#[derive(serde::Deserialize, serde::Serialize)]
struct Item {
    name: String,
    count: u32,
    #[serde(default)]
    tag: Vec<String>,
}

impl Item {
    fn describe(&self) -> String {
        format!("{} x {} {:?}", self.count, self.name, self.tag)
    }
}

fn params(request: Request) -> Result<String, Rejection> {
    request.params_as::<Item>().map(|item| item.describe())
}

fn query(request: Request) -> Result<String, Rejection> {
    request.query_as::<Item>().map(|item| item.describe())
}

async fn json(mut request: Request) -> Result<Json<Item>, Rejection> {
    let item: Item = request.json().await?;
    Ok(Json(Item { count: item.count + 1, ..item }))
}

async fn form(mut request: Request) -> Result<String, HandlerError> {
    Ok(request.form::<Item>().await?.describe())
}

async fn fails(request: Request) -> Result<String, HandlerError> {
    request.query_value_as::<u8>("n")?.ok_or(HandlerError::new("a secret"))?;
    Ok(request.need_state::<u64>()?.to_string())
}

fn routes() -> Router {
    Router::new()
        .route(get("/items/{name}/{count}", params))
        .route(get("/square/{n}", |r: Request| r.param_as::<u32>("n").map(|n| (n * n).to_string())))
        .route(get("/query", query))
        .route(post("/json", json))
        .route(post("/json-async", json).run_async())
        .route(post("/json-streamed", json).streamed())
        .route(post("/json-small", json).body_limit(10))
        .route(post("/form", form))
        .route(get("/fails", fails))
        .route(get("/tuple", || (StatusCode::CREATED, [("location", "/7"), ("x-id", "7")], "made")))
        .route(get("/bad-header", || ([("x-bad", "a\nb")], "made")))
}

#[track_caller]
fn post_as(peer: &mut Peer, path: &str, kind: &str, body: &str) -> (u16, String) {
    peer.send(format!(
        "POST {path} HTTP/1.1\r\nHost: t\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    ));
    peer.send(body);
    let reply = peer.reply();
    (reply.status, reply.text())
}

#[test]
fn parameters_and_queries_are_parsed_into_values() {
    let server = start(routes());
    let mut peer = connect(&server);
    assert_eq!(peer.get("/items/nut%20%26%20bolt%3D1/7").text(), "7 x nut & bolt=1 []");
    assert_eq!(peer.get("/query?name=a+b&count=2&tag=x&tag=y").text(), r#"2 x a b ["x", "y"]"#);
    assert_eq!(peer.get("/square/12").text(), "144");
    for (path, describe) in [
        ("/items/nut/many", "parameter `count` is `many`, expected a whole number"),
        ("/query", "missing field `name`"),
        ("/query?name=a&count=-1", "invalid query: "),
        ("/square/x", "invalid path parameter `n`: invalid digit"),
    ] {
        let reply = peer.get(path);
        assert_eq!(
            (reply.status, reply.header("content-type")),
            (400, Some("text/plain; charset=utf-8")),
            "{path}"
        );
        assert!(reply.text().contains(describe), "{}", reply.text());
    }
}

#[test]
fn json_is_parsed_and_written_on_every_kind_of_route() {
    let server = start(routes());
    let mut peer = connect(&server);
    let body = r#"{"name":"nut","count":1}"#;
    for path in ["/json", "/json-async", "/json-streamed"] {
        assert_eq!(
            post_as(&mut peer, path, "application/json; charset=utf-8", body).1,
            r#"{"name":"nut","count":2,"tag":[]}"#
        );
        assert_eq!(post_as(&mut peer, path, "application/problem+json", body).0, 200);
        assert_eq!(post_as(&mut peer, path, "text/plain", body).0, 415, "{path}");
        assert_eq!(post_as(&mut peer, path, "application/json", "{").0, 400, "{path}");
        let (status, text) = post_as(&mut peer, path, "application/json", r#"{"name":"nut"}"#);
        assert_eq!((status, text.contains("missing field `count`")), (422, true), "{text}");
    }
    assert_eq!(post_as(&mut peer, "/json-small", "application/json", body).0, 413);
    let mut peer = connect(&server);
    let large = format!(r#"{{"name":"{}","count":1}}"#, "n".repeat(1 << 20));
    assert_eq!(post_as(&mut peer, "/json-streamed", "application/json", &large).0, 413);
    assert_eq!(connect(&server).get("/tuple").status, 201);
}

#[test]
fn forms_are_parsed_into_values() {
    let server = start(routes());
    let mut peer = connect(&server);
    const FORM: &str = "application/x-www-form-urlencoded";
    assert_eq!(post_as(&mut peer, "/form", FORM, "name=a+b&count=3&tag=x").1, r#"3 x a b ["x"]"#);
    assert_eq!(post_as(&mut peer, "/form", FORM, "count=3").0, 422);
    assert_eq!(post_as(&mut peer, "/form", "application/json", "{}").0, 415);
}

#[test]
fn errors_become_responses_without_internal_details() {
    let server = start(routes());
    let mut peer = connect(&server);
    assert_eq!(peer.get("/fails?n=300").status, 400);
    for path in ["/fails", "/fails?n=3"] {
        let reply = peer.get(path);
        assert_eq!(
            (reply.status, reply.text().contains("secret") || reply.text().contains("u64")),
            (500, false)
        );
    }
}

#[test]
fn tuples_set_status_and_headers() {
    let server = start(routes());
    let mut peer = connect(&server);
    let created = peer.get("/tuple");
    assert_eq!(
        (created.status, created.header("location"), created.header("x-id")),
        (201, Some("/7"), Some("7"))
    );
    assert_eq!(peer.get("/bad-header").status, 500);
}
