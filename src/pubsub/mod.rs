//! Publish and subscribe: one event for many subscribers.
//!
//! - `event`: events and their encodings for server-sent events and WebSockets.
//! - `stream`: the parts that all event streams share: response head, heartbeats, history.
//! - `broker`: topics with history and a bounded mailbox for each subscriber.
//! - `hub`: broadcasts to WebSockets, without history.
//! - `sse`: event streams that a handler writes to one client.
//! - `topics`: HTTP routes that publish to a broker and subscribe to it.
//!
//! This module builds on requests, responses, WebSockets and the replay store. It must not know connections,
//! sockets or the server.

pub mod broker;
pub(crate) mod event;
#[cfg(feature = "ws")]
pub mod hub;
pub mod sse;
mod stream;
pub(crate) mod topics;
