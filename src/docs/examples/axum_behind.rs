//! An axum application mounted in a Windlass server. The application runs on the pool, hot routes beside it
//! run inline.
//!
//! ```sh
//! cargo run --example axum_behind
//! curl http://127.0.0.1:8080/app/users/7
//! curl -N http://127.0.0.1:8080/app/ticks
//! ```

use std::{convert::Infallible, time::Duration};

use axum::{
    Json,
    extract::{Path, State},
    http::{HeaderValue, header},
    response::sse::{Event, KeepAlive, Sse},
    routing,
};
use tokio_stream::{Stream, StreamExt as _};
use tower_http::set_header::SetResponseHeaderLayer;
use windlass::{Builder, Request, Router, Server, StartError, get, static_route};

#[derive(Clone)]
struct Greeting(&'static str);

async fn user(State(Greeting(greeting)): State<Greeting>, Path(id): Path<u32>) -> Json<serde_json::Value> {
    Json(serde_json::json!({ "id": id, "greeting": greeting }))
}

async fn ticks() -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let clock = tokio::time::interval(Duration::from_millis(100));
    let mut tick = 0_u64;
    let events = tokio_stream::wrappers::IntervalStream::new(clock).map(move |_| {
        tick += 1;
        Ok(Event::default().data(tick.to_string()))
    });
    Sse::new(events).keep_alive(KeepAlive::default())
}

/// Returns the application. axum could serve it unchanged.
fn app() -> axum::Router {
    let server_name = SetResponseHeaderLayer::overriding(header::SERVER, HeaderValue::from_static("axum"));
    axum::Router::new()
        .route("/users/{id}", routing::get(user))
        .route("/ticks", routing::get(ticks))
        .with_state(Greeting("hello"))
        .layer(server_name)
}

/// Starts a server with the application at `/app`.
///
/// # Errors
///
/// The server cannot start.
pub fn start(builder: Builder) -> Result<Server, StartError> {
    let router = Router::new()
        .mount("/app", app())
        .route(static_route("/", "the application is at /app\n"))
        .route(get("/fast/{name}", |r: Request| format!("hello, {}\n", r.param("name").unwrap_or_default())));
    builder.router(router).start()
}

#[allow(dead_code, reason = "the tests call `start` instead")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = start(Server::builder().listen("127.0.0.1:8080"))?;
    println!("serving on {:?}; press Enter to stop", server.addresses());
    std::io::stdin().read_line(&mut String::new())?;
    println!("{}", server.drain(Some(Duration::from_secs(1))));
    Ok(())
}
