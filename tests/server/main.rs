//! The server, spoken to over real sockets. One file a topic; `common` is a peer that speaks bytes.

mod common;

mod attacks;
mod bodies;
mod dispatch;
mod limits;
mod order;
mod pipelines;
mod replies;
mod timeouts;
