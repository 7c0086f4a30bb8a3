//! Windlass: an HTTP and push server for Linux, built on actors.
//!
//! It serves HTTP/1.1, HTTP/2, WebSockets and server-sent events. Each core runs one *shard*: a pinned event
//! loop with its own sockets, connections and actors. Shards communicate by messages.
//!
//! ```no_run
//! use windlass::{Request, Router, Server, get};
//!
//! let router = Router::new().route(get("/hello/{name}", |request: Request| {
//!     format!("Hello, {}!", request.param("name").unwrap_or_default())
//! }));
//! let server = Server::builder().listen("127.0.0.1:8080").router(router).start()?;
//! # drop(server);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Getting started
//!
//! [Embedding](docs::embedding) explains how to run a server inside a program. There are complete
//! [examples](docs::examples).
//!
//! # Overview
//!
//! - **Server.** [`Server::builder`] configures and starts a [`Server`]. [`Server::routes`] changes its
//!   routes while it runs, and [`Server::drain`] stops it gracefully. [`Limits`], [`Timeouts`] and
//!   [`PoolSettings`] bound the resources that peers can occupy.
//! - **Routes.** A [`Router`] has routes ([`get`], [`post`], [`static_route`]), groups, [`Middleware`] and
//!   shared state. A route runs inline on its connection's shard, or on a pool of threads
//!   ([`Route::run_async`]).
//! - **Handlers.** A [`Handler`] is a function from a [`Request`] to a [`Response`], or to any type that
//!   implements [`IntoResponse`]. A [`Body`] is complete or streamed. The types convert to and from those of
//!   the [`http`] crate. [`Rejection`] and [`HandlerError`] are error types for handlers.
//! - **Middleware.** [`middleware`] has CORS, request identifiers, traces and basic authentication.
//! - **Files.** [`static_dir`] serves the files of a directory, and [`static_file`] one file.
//! - **Tests.** A [`TestClient`] calls a router without a server.
//! - **Tower.** [`mount`](mount()) serves an axum `Router` or another tower service at a path.
//! - **Topics.** A [`broker`] delivers events to many subscribers and keeps a history ([`replay`]).
//!   [`topic_routes`] adds HTTP routes to publish and subscribe. An [`identity`] decides who may.
//! - **Event streams.** [`event_stream`] creates a route whose handler sends events to one client ([`sse`]).
//! - **WebSockets.** [`websocket`] creates a route whose handler has a socket ([`ws`]). A [`hub`] broadcasts
//!   to many sockets.
//! - **Actors.** [`actors`] is the runtime beneath, usable without the server. [`Builder::with_actors`]
//!   spawns actors on the server's shards.
//! - **Operations.** [`Hooks`] call back for each request. [`Snapshot`] and [`Collector`] export metrics.
//!
//! # Guides
//!
//! [Actors](docs::actors), [architecture](docs::architecture), [configuration](docs::configuration),
//! [embedding](docs::embedding), [event streams](docs::events), [files](docs::files), [gRPC](docs::grpc),
//! [HTTP/2](docs::http2), [identity](docs::identity), [operating](docs::operating), [TLS](docs::tls),
//! [topics](docs::topics), [WebSocket](docs::websocket).
#![cfg_attr(
    not(any(feature = "io-uring", feature = "epoll")),
    allow(dead_code, reason = "without an engine nothing drives the connections")
)]
mod body;
mod conn;
pub mod docs;
pub mod extract;
#[cfg(feature = "files")]
pub mod files;
mod hooks;
pub mod identity;
mod limits;
mod metrics;
pub mod middleware;
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
mod waiting;
#[cfg(feature = "ws")]
pub mod ws;

#[doc(hidden)]
pub use body::OutletAnswer;
pub use body::{Body, BodyError, BodySender, BoxError, Frame, Source};
#[cfg(feature = "files")]
pub use files::{static_dir, static_dir_with, static_file, static_file_with};
pub use hooks::{Hooks, RefusedRequest, RequestEnd, RequestStart};
pub use http;
pub use limits::{Http2Limits, Limits, Timeouts};
pub use metrics::{Collector, Snapshot};
pub use net::{BindError, Listen, ListenError, ListenOptions};
pub use proto::origin::Origins;
#[cfg(feature = "ws")]
pub use pubsub::hub;
pub use pubsub::topics::{TopicAccess, TopicAction, TopicCheck, admin_routes, routes as topic_routes};
pub use pubsub::{broker, sse};
pub use request::{MissingState, Peer, Request, TrustedProxies};
#[cfg(feature = "json")]
pub use response::Json;
pub use response::{Fields, HandlerError, Html, IntoResponse, Redirect, Rejection, Response};
pub use routing::handler::{ErrorCause, ErrorContext, Handler, LocalHandler, Middleware, Next, local};
#[cfg(feature = "tower")]
pub use routing::mount::{OriginalUri, mount};
pub use routing::route::{Dispatch, Route, any, delete, get, head, options, patch, post, put, static_route};
#[doc(hidden)]
pub use routing::router::Lookup;
pub use routing::router::{Group, Router, RouterError, RouterHandle};
pub use routing::table::RouteError;
#[cfg(feature = "signal")]
pub use server::StopSignal;
#[cfg(feature = "ws")]
pub use server::TestSocket;
pub use server::{
    Builder, DrainReport, EngineKind, Listener, Operations, PoolSettings, Server, StartError, TestClient,
    TestConnection, TestEnd, TestStream,
};
pub use sse::{event_stream, event_stream_with};
#[cfg(feature = "tls")]
pub use tls::{Tls, TlsError};
pub use waiting::{Elapsed, Interval, interval, timeout};
pub use windlass_actors::{self as actors, sleep, sleep_until};
#[cfg(feature = "ws")]
pub use ws::{websocket, websocket_with};
