//! Sans-I/O protocols: byte slices in, facts and byte slices out.
//!
//! Nothing here reads a socket or a clock, runs on an executor or imports anything of the crate. A protocol never
//! fails for lack of data (it says that it needs more) and never panics on what a peer sends. That is what lets
//! tests and fuzzers drive the same code that both engines drive.
//!
//! - [`h1`]: HTTP/1.1 and 1.0 requests in, responses out.
//! - [`h2`]: what is looked at of HTTP/2 before its engine.
//! - [`origin`]: pages of which origin may do what a browser lets any page try.
//! - [`proxy`]: the PROXY protocol preamble, versions 1 and 2.
//! - [`sse`]: server-sent events out.
//! - `ws`: WebSocket, with its handshakes and compression (feature `ws`).

pub mod h1;
pub mod h2;
pub mod origin;
pub mod proxy;
pub mod sse;
#[cfg(feature = "ws")]
pub mod ws;
