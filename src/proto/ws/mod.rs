//! WebSocket (RFC 6455, 7692, 8441) without I/O. It must not know HTTP connections or handlers.
//!
//! ```text
//!  header fields ──► handshake ──► Accepted: response, subprotocol, compression parameters
//!
//!  bytes ──► frame::Reader ──► Mask ──► Message ──► Event    Session: state of one connection
//!            headers           copy     UTF-8, size,         Scratch: memory shared by a shard
//!                                       inflation
//!  Outgoing ──► Deflater ──► frame::Header ──► bytes         Prepared: frames shared by many
//! ```
//!
//! The result never depends on how the bytes are split: the same bytes give the same events and the same
//! fault. Invalid UTF-8 is rejected at the first byte that makes the text invalid.

pub mod close;
mod code;
mod compression;
pub mod deflate;
mod event;
mod fault;
pub mod frame;
pub mod handshake;
mod limits;
mod mask;
mod message;
mod prepared;
mod refusal;
mod scratch;
mod session;
mod text;

pub use super::origin::Origins;
pub use close::{Close, Closing};
pub use code::Code;
pub use event::{Closed, Event, Outgoing, Role};
pub use fault::Fault;
pub use handshake::{Accepted, Opening, Policy, Subprotocols, accept};
pub use limits::Limits;
pub use mask::Mask;
pub use prepared::Prepared;
pub use refusal::Refusal;
pub use scratch::Scratch;
pub use session::Session;
