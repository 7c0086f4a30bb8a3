//! Routes, handlers and the table that a request is looked up in.
//!
//! This room knows requests and responses. It must not know connections, sockets or the server.

pub(crate) mod handler;
#[cfg(feature = "tower")]
pub(crate) mod mount;
pub(crate) mod route;
pub(crate) mod router;
pub(crate) mod table;
