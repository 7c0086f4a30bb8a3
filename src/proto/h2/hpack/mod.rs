//! HPACK (RFC 7541): header compression, in both directions with bounded memory. It must not know what a
//! message is.
//!
//! ```text
//!  block ──► Decoder ──► Line by line: name and value appended to a buffer, and what is known of both
//!              │ ▲
//!              ▼ │ static table, dynamic table (one arena, bounded by the limit)
//!
//!  status, fields ──► encode ──► block    static table and literals only: no state for a peer
//! ```
//!
//! The encoder uses no dynamic table. A response's block then depends on the response alone, so it can be
//! built once and sent to every connection, and an idle connection holds nothing for it.

mod decode;
mod dynamic;
pub mod encode;
pub mod huffman;
mod integer;
mod static_table;

pub use decode::{Decoder, Line, Short};

/// Size of the dynamic table, in bytes, until a setting changes it (RFC 9113 §6.5.2).
pub const DEFAULT_TABLE_BYTES: usize = 4096;

/// Bytes that an entry of a table counts beyond its name and value (RFC 7541 §4.1).
pub const ENTRY_OVERHEAD_BYTES: usize = 32;

/// A block that is not HPACK, or breaks a limit of it: the connection cannot go on (RFC 9113 §4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;
