//! A header block that takes several frames (RFC 9113 §4.3), while it is received.

use super::{ErrorCode, Head, Key, StreamFault, frame::FrameHeader};

/// Purpose of a header block. Every block is decoded, as the next one depends on it (RFC 9113 §4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Request,
    Trailers(Key),
    /// None: the stream is reset with this code, without a fault of the peer.
    Refused(ErrorCode),
    /// None: the stream is reset for this fault.
    Faulty(StreamFault),
    /// None: the stream was reset before, or is beyond the last that is served.
    Ignored,
}

/// A block that does not come in one frame.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) header: FrameHeader,
    pub(super) purpose: Purpose,
    pub(super) head: Head,
    /// Received start of a field line that is not complete.
    pub(super) rest: Vec<u8>,
    pub(super) continuations: u32,
}

impl Block {
    pub(super) fn stream(&self) -> u32 {
        self.header.stream
    }

    pub(super) fn held_bytes(&self) -> usize {
        size_of::<Self>() + self.rest.capacity() + self.head.held_bytes()
    }
}
