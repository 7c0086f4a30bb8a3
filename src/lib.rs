//! Windlass: an actor-model HTTP server for Linux.
//!
//! ```no_run
//! use windlass::{Request, Router, Server, get};
//!
//! let router = Router::new().route(get("/hello/{name}", |request: Request| {
//!     format!("Hello, {}!", request.param("name").unwrap_or_default())
//! }));
//! let server = Server::builder().listen("127.0.0.1:8080".parse()?).router(router).start()?;
//! # drop(server);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! New here: [embedding](docs::embedding) starts from what one knows of axum, and has whole [examples](docs::examples).
//!
//! - [`Server`]: built with [`Server::builder`], changed while it serves through [`Server::routes`], ended with
//!   [`Server::drain`]. [`Limits`], [`Timeouts`] and [`PoolSettings`] say what a peer can make it hold and for how long.
//! - [`Router`]: routes ([`get`], [`post`], [`static_route`]), groups, [`Middleware`], state. A route runs inline on its
//!   connection's shard, or async on the pool: [`Route::run_async`].
//! - [`Request`] and [`Response`]: what a [`Handler`] takes and gives; [`IntoResponse`] is what it may return, [`Body`] is
//!   whole or streamed. Both convert to and from the [`http`] crate's types.
//! - [`Rejection`] and [`HandlerError`]: what a handler fails with. [`TestClient`] tests it without a server.
//! - [`mount`](mount()): an axum `Router`, or any other tower service, behind a path.
//! - [`broker`], [`topic_routes`] and [`replay`]: topics with history, published and subscribed to over HTTP.
//!   [`event_stream`] and [`sse`]: streams of your own.
//! - [`websocket`] and [`ws`]: routes that open WebSockets, and what runs on them.
//! - [`actors`]: the runtime beneath, usable by itself; [`Builder::with_actors`] spawns yours on the server's shards.
//! - [`Hooks`], [`Snapshot`] and [`Collector`]: what happens, told to the program and to Prometheus.
//!
//! Pages: [actors](docs::actors), [embedding](docs::embedding), [architecture](docs::architecture), [configuration](docs::configuration), [HTTP/2](docs::http2),
//! [gRPC](docs::grpc), [TLS](docs::tls), [WebSocket](docs::websocket), [topics](docs::topics), [event streams](docs::events),
//! [operating](docs::operating).
#![cfg_attr(
    not(any(feature = "io-uring", feature = "epoll")),
    allow(dead_code, reason = "without an engine nothing drives the connections")
)]
mod body;
mod conn;
pub mod docs;
mod hooks;
mod limits;
mod metrics;
#[doc(hidden)]
pub mod net;
#[doc(hidden)]
pub mod proto;
mod pubsub;
pub mod replay;
mod request;
mod response;
mod routing;
mod server;
mod spread;
#[cfg(test)]
mod testing;
mod tls;
#[cfg(feature = "ws")]
pub mod ws;

#[doc(hidden)]
pub use body::Offer;
pub use body::{Body, BodyError, BodySender, BoxError, Frame, Source};
pub use hooks::{Hooks, RequestEnd, RequestStart};
pub use http;
pub use limits::{Http2Limits, Limits, Timeouts};
pub use metrics::{Collector, Snapshot};
pub use net::{BindError, Listen, ListenOptions};
#[cfg(feature = "ws")]
pub use pubsub::hub;
pub use pubsub::topics::{TopicAccess, TopicAction, TopicCheck, routes as topic_routes};
pub use pubsub::{broker, sse};
pub use request::{MissingState, Peer, Request, TrustedProxies};
#[cfg(feature = "json")]
pub use response::Json;
pub use response::{Fields, HandlerError, IntoResponse, Rejection, Response};
pub use routing::handler::{Handler, Middleware, Next};
#[cfg(feature = "tower")]
pub use routing::mount::{OriginalUri, mount};
pub use routing::route::{Dispatch, Route, any, delete, get, head, options, patch, post, put, static_route};
#[doc(hidden)]
pub use routing::router::Lookup;
pub use routing::router::{Group, Router, RouterError, RouterHandle};
pub use routing::table::RouteError;
pub use server::{
    Builder, DrainReport, EngineKind, Operations, PoolSettings, Server, StartError, TestClient,
    TestConnection, TestEnd, TestStream,
};
pub use sse::{event_stream, event_stream_with};
#[cfg(feature = "tls")]
pub use tls::{Tls, TlsError};
pub use windlass_actors as actors;
#[cfg(feature = "ws")]
pub use ws::{websocket, websocket_with};
