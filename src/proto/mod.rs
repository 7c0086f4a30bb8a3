//! Sans-I/O protocols: bytes in, events and bytes out. They must not know sockets or other modules, nor read
//! a clock: time is an argument.
//!
//! A protocol never fails for lack of data: it reports that it needs more. It never panics on a peer's input.
//! So tests and fuzzers run the same code as both socket engines.
//!
//! - [`h1`]: HTTP/1.1 and HTTP/1.0: parser of requests, encoder of responses, and a parser of response heads
//!   for clients.
//! - [`h2`]: HTTP/2, the server's side of a connection, with HPACK.
//! - [`origin`]: check of the Origin header field.
//! - `percent`: percent-encoding in paths.
//! - [`proxy`]: parser of the PROXY protocol preamble, versions 1 and 2.
//! - [`semantics`]: the rules of HTTP that hold for every version.
//! - [`sse`]: encoder of server-sent events.
//! - `ws`: WebSocket with handshake and compression (feature `ws`).

pub mod h1;
pub mod h2;
pub mod origin;
pub(crate) mod percent;
pub mod proxy;
pub mod semantics;
pub mod sse;
#[cfg(feature = "ws")]
pub mod ws;
