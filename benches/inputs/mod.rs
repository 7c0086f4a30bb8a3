//! What the benches work on; shared, so that the counted instructions are those of what is timed.
#![allow(dead_code, reason = "each bench uses its part")]

pub(crate) mod audience;
pub(crate) mod http;
pub(crate) mod http2;
pub(crate) mod routes;
pub(crate) mod telling;
