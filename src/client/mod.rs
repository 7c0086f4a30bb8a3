//! What a client that measures is made of, for `windlass load` and for the benches' load generator.
//!
//! - [`fault`]: what can be wrong with a server, counted by kind.
//! - [`latency`]: how long answers took.
//! - [`pacing`]: when the requests of an open loop are due.
//! - [`response`]: a strict parser of HTTP/1.1 responses.

pub mod fault;
pub mod latency;
pub mod pacing;
pub mod response;
