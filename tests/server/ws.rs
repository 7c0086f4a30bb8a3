//! WebSocket over HTTP/1.1.

mod attacks;
mod closing;
mod figures;
mod handshakes;
mod messages;
mod peer;
mod sources;
mod timers;
