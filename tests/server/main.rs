//! The server, spoken to over real sockets. One file a topic; `common` is a peer that speaks bytes.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

mod common;

mod actors;
mod addresses;
mod attacks;
mod bodies;
mod dispatch;
mod drain;
mod engine;
mod events;
#[cfg(feature = "http2")]
mod h2;
mod hooks;
mod layers;
mod limits;
mod live;
mod metrics;
#[cfg(feature = "tower")]
mod mounted;
mod order;
mod pipelines;
mod replies;
mod routes;
mod timeouts;
#[cfg(feature = "tls")]
mod tls;
mod topics;
