//! A message for many sockets.

use super::{Deflate, scratch::with_scratch};
use crate::proto::ws;

/// A message whose frames are made once and shared by all sockets it is sent to: plain, and compressed if asked for.
/// Cloning it copies no payload.
///
/// ```
/// use windlass::ws::{Deflate, Prepared};
/// let news = Prepared::text("something happened").with_deflate(&Deflate::default());
/// assert_eq!(news.len(), 18);
/// ```
#[derive(Clone, Debug)]
pub struct Prepared(pub(crate) ws::Prepared);

impl Prepared {
    /// Takes frames that are made.
    pub(crate) fn of(frames: ws::Prepared) -> Self {
        Self(frames)
    }

    /// Makes a text message: one copy of the text.
    pub fn text(text: &str) -> Self {
        Self(ws::Prepared::new(ws::Outgoing::Text(text)))
    }

    /// Makes a binary message: one copy of the bytes.
    pub fn binary(bytes: &[u8]) -> Self {
        Self(ws::Prepared::new(ws::Outgoing::Binary(bytes)))
    }

    /// Makes the compressed frame too, for the sockets that agreed on compression, unless the message is shorter than
    /// the threshold or gets no shorter.
    #[must_use]
    pub fn with_deflate(self, deflate: &Deflate) -> Self {
        Self(with_scratch(|scratch| self.0.with_deflate(deflate, scratch)))
    }

    /// Returns the length of the payload, bytes.
    pub fn len(&self) -> usize {
        self.0.payload_bytes()
    }

    /// Says whether the payload is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the payload, shared.
    pub fn bytes(&self) -> bytes::Bytes {
        self.0.payload()
    }

    /// Returns the memory that its frames hold, bytes; a mailbox counts by it.
    pub fn held_bytes(&self) -> usize {
        self.0.len_bytes()
    }
}
