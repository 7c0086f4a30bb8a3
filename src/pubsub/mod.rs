//! Topics, hubs and event streams: one event for many subscribers.
//!
//! This room knows requests, responses and the history of topics. It must not know connections, sockets or the server.

pub mod broker;
#[cfg(feature = "ws")]
pub mod hub;
pub mod sse;
pub(crate) mod topics;
