//! The demo routes: one of each kind, to try and to measure.

#[cfg(feature = "ws")]
mod chat;
mod items;

use std::time::{Duration, Instant};

use http::{HeaderValue, StatusCode, header};

use windlass::{Group, Request, Response, Router, get, post, static_route};
#[cfg(feature = "ws")]
use windlass::{
    websocket_with,
    ws::{Deflate, Settings, Socket},
};

/// Longest sleep a request may ask for, milliseconds.
const SLEEP_MAX: u64 = 60_000;

/// Adds the demo routes and the page that links them.
pub(super) fn add(router: Router, blocking: bool) -> Router {
    let page = Response::html(include_str!("demo.html"));
    router.route(static_route("/demo", page)).group("/demo", |demo| routes(demo, blocking))
}

/// Adds the chat, whose members are one hub's.
#[cfg(feature = "ws")]
pub(super) fn add_chat(router: Router, hub: &windlass::hub::Hub) -> Router {
    let page = static_route("/ws", Response::html(include_str!("ws.html")));
    router.group("/demo", |demo| demo.route(page).route(chat::route(hub)))
}

fn routes(demo: Group, blocking: bool) -> Group {
    let plaintext = Response::typed(HeaderValue::from_static("text/plain"), "Hello, World!");
    #[cfg(feature = "ws")]
    let demo =
        demo.route(websocket_with("/ws-echo", Settings::new().compression(Deflate::default()), ws_echo));
    let demo = demo
        .route(static_route("/plaintext", plaintext))
        .route(static_route("/sse", Response::html(include_str!("sse.html"))))
        .route(get("/json", |_: Request| Response::json_text(r#"{"message":"Hello, World!"}"#)))
        .route(get("/items", items))
        .route(get("/hello/{name}", hello))
        .route(get("/work", work).run_async())
        .route(post("/echo", echo))
        .route(post("/upload", upload).streamed());
    if !blocking {
        return demo;
    }
    demo.route(get("/block", block).run_async()).route(get("/burn", burn).run_async())
}

/// Serialises a page of a catalogue for each request: about 1 KiB of JSON.
fn items(_: Request) -> Result<Response, Response> {
    match serde_json::to_vec(&items::PAGE) {
        Ok(text) => Ok(Response::json_text(text)),
        Err(_) => {
            Err(Response::text("The page cannot be serialised.\n")
                .with_status(StatusCode::INTERNAL_SERVER_ERROR))
        }
    }
}

fn hello(request: Request) -> Response {
    Response::text(format!("Hello, {}!\n", request.param("name").unwrap_or_default()))
}

fn milliseconds(request: &Request) -> Result<Duration, Response> {
    let ms = request.query_value("ms").map_or(Ok(0), |ms| ms.parse());
    match ms {
        Ok(ms @ 0..=SLEEP_MAX) => Ok(Duration::from_millis(ms)),
        _ => {
            Err(Response::text("ms must be a number from 0 to 60000.\n").with_status(StatusCode::BAD_REQUEST))
        }
    }
}

/// Sleeps on a worker, among others.
async fn work(request: Request) -> Result<String, Response> {
    let duration = milliseconds(&request)?;
    tokio::time::sleep(duration).await;
    Ok(format!("worked for {} ms\n", duration.as_millis()))
}

/// Sleeps on a thread of its own.
fn block(request: Request) -> Result<String, Response> {
    let duration = milliseconds(&request)?;
    std::thread::sleep(duration);
    Ok(format!("blocked for {} ms\n", duration.as_millis()))
}

/// Computes on a thread of its own.
fn burn(request: Request) -> Result<String, Response> {
    let duration = milliseconds(&request)?;
    let until = Instant::now() + duration;
    while Instant::now() < until {
        std::hint::spin_loop();
    }
    Ok(format!("burnt {} ms\n", duration.as_millis()))
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

/// Counts a body of any size as it streams in.
async fn upload(mut request: Request) -> Result<Response, Response> {
    let mut bytes = 0;
    while let Some(chunk) = request.body_mut().next().await {
        match chunk {
            Ok(chunk) => bytes += chunk.len() as u64,
            Err(error) => {
                return Err(Response::text(format!("{error}\n")).with_status(StatusCode::BAD_REQUEST));
            }
        }
    }
    Ok(Response::json_text(serde_json::json!({ "bytes": bytes }).to_string()))
}
