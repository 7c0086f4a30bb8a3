//! The WebSocket protocol without sockets: bytes in, events out.
#![allow(clippy::unwrap_used)]

mod closing;
mod common;
mod compression;
mod differential;
mod handshake;
mod messages;
mod prepared;
mod properties;
mod refused;
