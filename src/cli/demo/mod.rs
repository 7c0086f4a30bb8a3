//! Demo routes: one of each kind, to try out and to measure.
//!
//! This module must not know the configuration.

#[cfg(feature = "ws")]
mod chat;
mod items;

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;

use super::html::{self, Hashes};
use windlass::{Group, Json, Request, Response, Router, get, post, static_route};
#[cfg(feature = "ws")]
use windlass::{
    websocket_with,
    ws::{Deflate, Settings, Socket},
};

/// Longest sleep that a request may ask for.
const SLEEP_MAX_MS: u64 = 60_000;

const DEMO_HASHES: Hashes = Hashes { script: None, style: "rH1LWlfc8USIzPFS1FW/5oJu9AjS+6IbyGqLqw64nys=" };
const SSE_HASHES: Hashes = Hashes {
    script: Some("3VEfLn0EzV8KEJ3jfKjEZAF06fY/7Delkdc0E1Mzo9Q="),
    style: "VzFuTc4GWncY0Y4G6FMaFqVwqFfO6J2IPfPQ6TEdrjY=",
};
#[cfg(feature = "ws")]
const CHAT_HASHES: Hashes = Hashes {
    script: Some("M7Xt9/yWpD6gQ1Zi+ybo1d6BLREWIPTiDqUpiYURq8Q="),
    style: "rsOkpWMW8R/1DIoTwQB/JGmqfNnRVYM257qLyBXf5IA=",
};

/// Body of `/demo/large`: 1 MiB.
static LARGE: [u8; 1 << 20] = [b'.'; 1 << 20];

/// Adds the demo routes and the page that links them.
pub(super) fn add(router: Router, blocking: bool) -> Router {
    let page = html::page(include_str!("demo.html"), &DEMO_HASHES);
    router.route(static_route("/demo", page)).group("/demo", |demo| routes(demo, blocking))
}

/// Adds the chat, whose members belong to this hub.
#[cfg(feature = "ws")]
pub(super) fn add_chat(router: Router, hub: &windlass::hub::Hub) -> Router {
    let page = static_route("/ws", html::page(include_str!("ws.html"), &CHAT_HASHES));
    router.group("/demo", |demo| demo.route(page).route(chat::route(hub)))
}

fn routes(demo: Group, blocking: bool) -> Group {
    let plaintext = Response::typed(HeaderValue::from_static("text/plain"), "Hello, World!");
    let large = Response::typed(HeaderValue::from_static("text/plain"), Bytes::from_static(&LARGE));
    #[cfg(feature = "ws")]
    let demo =
        demo.route(websocket_with("/ws-echo", Settings::new().compression(Deflate::default()), ws_echo));
    let demo = demo
        .route(static_route("/plaintext", plaintext))
        .route(static_route("/large", large))
        .route(static_route("/sse", html::page(include_str!("sse.html"), &SSE_HASHES)))
        .route(get("/json", |_: Request| Json(Greeting { message: "Hello, World!" })))
        .route(get("/items", |_: Request| Json(&items::PAGE)))
        .route(get("/hello/{name}", hello))
        .route(get("/work", work).run_async())
        .route(post("/echo", echo))
        .route(post("/upload", upload).streamed());
    if !blocking {
        return demo;
    }
    demo.route(get("/block", block).run_async()).route(get("/burn", burn).run_async())
}

/// Response of `/demo/json`.
#[derive(Serialize)]
struct Greeting {
    message: &'static str,
}

/// Response of `/demo/upload`.
#[derive(Serialize)]
struct Uploaded {
    bytes: u64,
}

fn hello(request: Request) -> Response {
    Response::text(format!("Hello, {}!\n", request.param("name").unwrap_or_default()))
}

fn milliseconds(request: &Request) -> Result<Duration, Response> {
    let ms = request.query_value("ms").map_or(Ok(0), |ms| ms.parse());
    match ms {
        Ok(ms @ 0..=SLEEP_MAX_MS) => Ok(Duration::from_millis(ms)),
        _ => Err(Response::text("Invalid query: ms must be a number from 0 to 60000.\n")
            .with_status(StatusCode::BAD_REQUEST)),
    }
}

/// Sleeps on a worker, which runs other jobs meanwhile.
async fn work(request: Request) -> Result<String, Response> {
    let duration = milliseconds(&request)?;
    tokio::time::sleep(duration).await;
    Ok(format!("worked for {} ms\n", duration.as_millis()))
}

/// Sleeps on a blocking thread of the pool.
fn block(request: Request) -> Result<String, Response> {
    let duration = milliseconds(&request)?;
    std::thread::sleep(duration);
    Ok(format!("blocked for {} ms\n", duration.as_millis()))
}

/// Computes on a blocking thread of the pool.
fn burn(request: Request) -> Result<String, Response> {
    let duration = milliseconds(&request)?;
    let until = Instant::now() + duration;
    while Instant::now() < until {
        std::hint::spin_loop();
    }
    Ok(format!("computed for {} ms\n", duration.as_millis()))
}

fn echo(mut request: Request) -> Response {
    let content_type =
        request.header_bytes(header::CONTENT_TYPE).and_then(|t| HeaderValue::from_bytes(t).ok());
    let mut response = Response::new().with_body(request.take_body());
    if let Some(content_type) = content_type {
        response.fields_mut().insert(header::CONTENT_TYPE, content_type);
    }
    response
}

/// Sends every message back.
#[cfg(feature = "ws")]
async fn ws_echo(mut socket: Socket) {
    while let Some(Ok(message)) = socket.recv().await {
        if socket.send(message).await.is_err() {
            return;
        }
    }
}

/// Counts the bytes of a streamed body of any size.
async fn upload(mut request: Request) -> Result<Json<Uploaded>, Response> {
    let mut bytes = 0;
    while let Some(chunk) = request.body_mut().next().await {
        match chunk {
            Ok(chunk) => bytes += chunk.len() as u64,
            Err(error) => {
                return Err(Response::text(format!("{error}\n")).with_status(StatusCode::BAD_REQUEST));
            }
        }
    }
    Ok(Json(Uploaded { bytes }))
}
