//! WebSocket over HTTP/1.1 and HTTP/2.

mod attacks;
mod closing;
mod figures;
mod handshakes;
mod messages;
#[cfg(feature = "http2")]
mod over_h2;
pub(crate) mod peer;
mod sources;
mod timers;
pub(crate) mod tungstenite;
