//! Windlass: an actor-model HTTP server for Linux.
#![cfg_attr(
    not(any(feature = "io-uring", feature = "epoll")),
    allow(dead_code, reason = "without an engine nothing drives the connections")
)]
mod body;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod cli;
mod conn;
#[doc(hidden)]
pub mod doctor;
mod handler;
mod hooks;
mod limits;
mod metrics;
#[doc(hidden)]
pub mod net;
#[doc(hidden)]
pub mod proto;
mod request;
mod response;
mod route;
mod router;
mod server;
mod shard;
mod table;
#[cfg(test)]
mod testing;

pub use body::{Body, BodyError, BodySender, BoxError, Frame, Source};
pub use handler::{Handler, Middleware, Next};
pub use hooks::{Hooks, RequestEnd, RequestStart};
pub use http;
pub use limits::{Limits, Timeouts};
pub use metrics::{Collector, Snapshot};
pub use net::{BindError, Listen, ListenOptions};
pub use request::{Peer, Request, TrustedProxies};
pub use response::{Fields, IntoResponse, Response};
pub use route::{Dispatch, Route, delete, get, head, options, patch, post, put, static_route};
pub use router::{Group, Router, RouterError, RouterHandle};
pub use server::{Builder, DrainReport, EngineKind, Operations, PoolSettings, Server, StartError};
pub use table::RouteError;
pub use windlass_actors as actors;
