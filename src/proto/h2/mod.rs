//! HTTP/2 (RFC 9113), the server's side, without I/O. It must not know what answers a request.
//!
//! ```text
//!  bytes ──► reader ──► frames ──┬─ HEADERS ──► hpack ──► message ──► Request, Trailers
//!              │                 ├─ DATA ──► windows, length ─────────► Data
//!              ▼                 └─ SETTINGS, PING, … ──► their answers ──┐
//!         a partial frame                                                 ▼
//!                        headers_out, image_out, data_out, reset ──► outbox
//!                                          ▲
//!                        next_turn: windows, priorities
//! ```
//!
//! [`Connection::next`] takes received bytes and returns one [`Event`] at a time. The frames with which the
//! protocol itself answers, it appends to the outbox. A request's head is decoded into the caller's [`Head`],
//! so a request that is answered at once leaves nothing behind. Time is an argument.
//!
//! The core decides which stream sends. The caller reports a stream that has data with [`Connection::want`].
//! [`Connection::next_turn`] then names the stream that is next, and how much its windows allow. So nothing
//! is taken from a producer that cannot be sent.

mod block;
mod connection;
mod control;
mod data;
pub mod encode;
mod error;
mod event;
pub mod field;
pub mod frame;
mod head;
mod header_block;
pub mod hpack;
mod image;
mod limits;
mod message;
pub mod meter;
pub mod preface;
mod priority;
mod reader;
mod schedule;
mod seen;
mod send;
mod settings;
mod state;
mod streams;
pub mod upgrade;
pub mod window;

pub use connection::{Connection, Context};
pub use error::{ErrorCode, Fault, StreamFault};
pub use event::{Event, ResetBy};
pub use head::Head;
pub use image::Image;
pub use limits::{Limits, Rates};
pub use priority::Priority;
pub use send::End;
pub use settings::PeerSettings;
pub use state::{ConnectionState, Sending};
pub use streams::Key;
