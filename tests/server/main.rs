//! The server, spoken to over real sockets. One file a topic; `common` is a peer that speaks bytes.

mod common;

mod actors;
mod addresses;
mod dispatch;
mod hooks;
mod layers;
mod order;
mod routes;
