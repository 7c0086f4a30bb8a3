//! WebSocket (RFC 6455, 7692, 8441), sans-I/O; must not know HTTP connections or handlers.
//!
//! ```text
//!  header fields ──► handshake ──► Accepted: answer, subprotocol, terms of compression
//!
//!  bytes ──► frame::Reader ──► Mask ──► Message ──► Event       Session: the state of one connection
//!            headers           copy     UTF-8, size,            Scratch: what a shard lends to all of them
//!                                       inflation
//!  Outgoing ──► Deflater ──► frame::Header ──► bytes            Prepared: frames made once for many
//! ```
//!
//! A verdict never depends on how the bytes were cut: the same bytes give the same events and the same fault,
//! and a text that can only be invalid is refused at the byte that makes it so.

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
pub use handshake::{Accepted, Opening, Policy, accept};
pub use limits::Limits;
pub use mask::Mask;
pub use prepared::Prepared;
pub use refusal::Refusal;
pub use scratch::Scratch;
pub use session::Session;
