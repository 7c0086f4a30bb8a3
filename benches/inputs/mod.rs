//! Inputs that the timed benches and the instruction counts share, so that both measure the same work.
#![allow(dead_code, reason = "each bench uses only some of the inputs")]

pub(crate) mod events;
pub(crate) mod http;
pub(crate) mod http2;
pub(crate) mod labels;
pub(crate) mod pair;
pub(crate) mod routes;
pub(crate) mod subscribers;
