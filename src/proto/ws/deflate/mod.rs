//! The permessage-deflate extension (RFC 7692): negotiation and codec. It must not know frames or sessions.
//!
//! ```text
//!  Sec-WebSocket-Extensions ──► extensions ──► negotiate ──► Params ──► Inflater, Deflater
//!                               grammar        Settings
//! ```
//!
//! Compression contexts dominate the memory of a connection: 372 KiB to compress and 47 KiB to inflate. By
//! default no context outlives its message, so the connections of a shard share contexts. [`Settings`] can
//! change that.

mod codec;
mod extensions;
mod negotiate;

pub use codec::{Deflater, Inflater};
pub use negotiate::{Agreed, Malformed, negotiate};

/// Smallest supported LZ77 window as a power of two. zlib does not support 8 for raw streams.
pub(super) const MIN_WINDOW_BITS: u8 = 9;
/// Largest LZ77 window as a power of two: 32 KiB.
pub(super) const MAX_WINDOW_BITS: u8 = 15;

/// Lifetime of the compression context of one direction. A message may refer to earlier messages of its
/// context.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Context {
    /// A new context for each message ("no context takeover"). The connections of a shard share its memory.
    #[default]
    Fresh,
    /// One context for the connection. Many similar small messages compress better, for 372 KiB (sending) or
    /// 47 KiB (receiving) per connection.
    Kept,
}

/// Server settings of permessage-deflate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Context of the server's messages. Default: [`Context::Fresh`]. A client may require `Fresh`.
    pub server: Context,
    /// Context of the client's messages. Default: [`Context::Fresh`]. A client may choose `Fresh` itself.
    pub client: Context,
    /// Minimum size of a message to compress, in bytes. Default: 1024. With a fresh context a message of 1
    /// KiB costs about 9 µs of CPU, mostly to clear the context, so compressing shorter messages rarely pays.
    pub threshold_bytes: usize,
    /// Compression level from 1 to 9. Other values are clamped. Default: 2. Compared with level 6, JSON of 64
    /// KiB gets 6 % longer for a quarter of the CPU time. Compared with level 2, level 1 makes it 50 % longer
    /// for three quarters of the CPU time.
    pub level: u8,
}

impl Default for Settings {
    fn default() -> Self {
        Self { server: Context::Fresh, client: Context::Fresh, threshold_bytes: 1024, level: 2 }
    }
}

/// Negotiated parameters of one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Direction {
    /// Lifetime of the context.
    pub context: Context,
    /// LZ77 window as a power of two, from 9 to 15.
    pub window_bits: u8,
}

/// Negotiated parameters of both directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Params {
    /// Parameters of the server's messages.
    pub server: Direction,
    /// Parameters of the client's messages.
    pub client: Direction,
}
