//! Server tests over real sockets. Each file covers one subject; `common` holds a client that sends raw
//! bytes.
#![allow(clippy::unwrap_used, reason = "a failed test panics")]

mod common;

mod actors;
mod addresses;
mod attacks;
mod bodies;
mod crowd;
#[cfg(all(feature = "http2", feature = "tls", feature = "ws"))]
mod direct;
mod dispatch;
mod drain;
mod embedding;
mod engine;
mod error_answers;
mod events;
mod examples;
#[cfg(feature = "json")]
mod extractors;
#[cfg(feature = "files")]
mod files;
#[cfg(feature = "http2")]
mod h2;
mod hooks;
#[cfg(feature = "ws")]
mod hub;
#[cfg(feature = "jwt")]
mod identity;
mod layers;
mod limits;
mod lingering;
mod listeners;
mod live;
mod metrics;
mod middleware;
#[cfg(feature = "tower")]
mod mounted;
mod order;
mod overload;
mod panics;
mod paths;
mod pipelines;
#[cfg(feature = "signal")]
mod programs;
mod replies;
mod routes;
mod rules;
mod running;
#[cfg(all(feature = "stream", feature = "multipart"))]
mod streams;
mod stuck;
mod test_client;
mod timeouts;
#[cfg(feature = "tls")]
mod tls;
mod topics;
#[cfg(feature = "json")]
mod typed;
mod virtual_time;
mod waiting;
#[cfg(feature = "io-uring")]
#[path = "../support/without_io_uring.rs"]
mod without_io_uring;
#[cfg(feature = "ws")]
mod ws;
