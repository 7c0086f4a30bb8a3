//! A message that is encoded once for many sockets.

use super::{Deflate, scratch::with_scratch};
use crate::proto::ws;

/// A message whose frames are already encoded: a plain one, and optionally a compressed one.
///
/// Sending it to many sockets costs one encoding. Clones share the frames.
///
/// ```
/// use windlass::ws::{Deflate, Prepared};
/// let news = Prepared::text("something happened").with_deflate(&Deflate::default());
/// assert_eq!(news.len(), 18);
/// ```
#[derive(Clone, Debug)]
pub struct Prepared(pub(crate) ws::Prepared);

impl Prepared {
    /// Wraps encoded frames.
    pub(crate) fn of(frames: ws::Prepared) -> Self {
        Self(frames)
    }

    /// Encodes a text message. Copies the text once.
    pub fn text(text: &str) -> Self {
        Self(ws::Prepared::new(ws::Outgoing::Text(text)))
    }

    /// Encodes a binary message. Copies the bytes once.
    pub fn binary(bytes: &[u8]) -> Self {
        Self(ws::Prepared::new(ws::Outgoing::Binary(bytes)))
    }

    /// Adds a compressed frame, for sockets that negotiated compression.
    ///
    /// Adds none if the message is shorter than the threshold of `deflate`, or if compression does not make
    /// it shorter.
    #[must_use]
    pub fn with_deflate(self, deflate: &Deflate) -> Self {
        Self(with_scratch(|scratch| self.0.with_deflate(deflate, scratch)))
    }

    /// Returns the length of the payload, bytes.
    pub fn len(&self) -> usize {
        self.0.payload_bytes()
    }

    /// Returns `true` if the payload is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the payload. Shares its memory.
    pub fn bytes(&self) -> bytes::Bytes {
        self.0.payload()
    }

    /// Returns the memory that the frames occupy, bytes. A mailbox counts this against its limit.
    pub fn held_bytes(&self) -> usize {
        self.0.len_bytes()
    }
}
