//! Routes, handlers, and the table that maps a request to its route.
//!
//! - `route`: a method and a path, and the handler or response that serves them.
//! - `handler`: closures that answer requests, and the middleware around them.
//! - `router`: the routes of a server before it starts, and the actor that changes them afterwards.
//! - `table`: the immutable table in which a connection looks up its requests.
//! - `mount`: tower services as routes.
//!
//! This module builds on requests and responses. It must not know connections, sockets or the server.

pub(crate) mod handler;
#[cfg(feature = "tower")]
pub(crate) mod mount;
pub(crate) mod route;
pub(crate) mod router;
pub(crate) mod table;
