//! The server, spoken to over real sockets. One file a topic; `common` is a peer that speaks bytes.
#![allow(clippy::unwrap_used)]

mod common;

mod actors;
mod addresses;
mod dispatch;
mod drain;
mod hooks;
mod layers;
mod metrics;
mod order;
mod routes;
