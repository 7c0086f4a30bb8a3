//! The permessage-deflate extension (RFC 7692): negotiation and codec; must not know frames or sessions.
//!
//! ```text
//!  Sec-WebSocket-Extensions ──► extensions ──► negotiate ──► Params ──► Inflater, Deflater
//!                               grammar        Settings
//! ```
//!
//! Contexts dominate the memory of a connection (372 KiB to compress, 47 KiB to inflate), so unless
//! [`Settings`] ask for it no context outlives its message, and one of each kind serves all connections of a
//! shard.

mod codec;
mod extensions;
mod negotiate;

pub use codec::{Deflater, Inflater};
pub use negotiate::{Agreed, Malformed, negotiate};

/// Smallest LZ77 window that can be asked of us, as a power of two: what zlib calls 8 it never did for raw
/// streams.
pub(super) const MIN_WINDOW_BITS: u8 = 9;
/// Largest LZ77 window, as a power of two: 32 KiB.
pub(super) const MAX_WINDOW_BITS: u8 = 15;

/// Whether a direction's messages may refer to the messages before them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Context {
    /// Each message stands for itself ("no context takeover"): the context of the shard serves it.
    #[default]
    Fresh,
    /// The context stays with the connection: better compression of many similar small messages, for 372 KiB
    /// (sending) or 47 KiB (receiving) a connection.
    Kept,
}

/// What a server wants of permessage-deflate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Context of what the server sends. Default [`Context::Fresh`]; a client may insist on that.
    pub server: Context,
    /// Context of what clients send. Default [`Context::Fresh`]; a client may announce that by itself.
    pub client: Context,
    /// Shortest message that is compressed, bytes. Default 1024. With a fresh context a message of 1 KiB
    /// costs about 9 µs of CPU, most of it to clear the context, so that compressing shorter ones rarely
    /// pays.
    pub threshold_bytes: usize,
    /// Effort, 1 to 9; others are taken for the nearest. Default 2: JSON of 64 KiB gets 6 % longer than with
    /// 6, for a quarter of the CPU; with 1 it gets half as long again, for three quarters of the CPU of 2.
    pub level: u8,
}

impl Default for Settings {
    fn default() -> Self {
        Self { server: Context::Fresh, client: Context::Fresh, threshold_bytes: 1024, level: 2 }
    }
}

/// One direction, as agreed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Direction {
    /// Whether its messages may refer to earlier ones.
    pub context: Context,
    /// Its LZ77 window, as a power of two: 9 to 15.
    pub window_bits: u8,
}

/// Both directions, as agreed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Params {
    /// What the server sends.
    pub server: Direction,
    /// What the client sends.
    pub client: Direction,
}
