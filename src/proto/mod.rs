//! Sans-I/O protocols: bytes in, events and bytes out; must not know sockets, clocks or other modules.
//!
//! A protocol never fails for lack of data: it reports that it needs more. It never panics on a peer's input.
//! So tests and fuzzers run the same code as both socket engines.
//!
//! - [`h1`]: HTTP/1.1 and HTTP/1.0, parser of requests and encoder of responses.
//! - [`h2`]: inspection of HTTP/2 bytes ahead of the HTTP/2 engine.
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
