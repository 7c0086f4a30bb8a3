//! Building blocks of a measuring client; must not know anything of the server.
//!
//! `windlass load` and the load generator of the benches use them.
//!
//! - [`fault`]: errors of a server under load, counted by kind.
//! - [`latency`]: histogram of response times.
//! - [`pacing`]: arrival times of an open-loop load.
//! - [`response`]: strict parser of HTTP/1.1 responses.

pub mod fault;
pub mod latency;
pub mod pacing;
pub mod response;
