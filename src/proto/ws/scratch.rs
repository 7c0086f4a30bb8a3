//! Memory that all WebSocket connections of a shard share.

use std::fmt;

use super::{
    Fault, Mask,
    deflate::{Deflater, Inflater},
};

/// Maximum number of free buffers kept.
const MAX_FREE_BUFFERS: usize = 32;
/// Maximum capacity of a free buffer kept, in bytes. A larger buffer is freed.
const MAX_FREE_CAPACITY: usize = 128 * 1024;
/// Size of the pieces in which text is unmasked and checked, in bytes. A piece fits the first-level cache.
const PIECE_BYTES: usize = 8 * 1024;

/// Memory shared by the connections of a shard, borrowed for the time of a call.
///
/// A connection in the middle of a message holds a buffer; an idle connection holds none. A DEFLATE context
/// costs 47 KiB to inflate and 372 KiB to compress, so connections without context takeover share contexts.
/// There is at most one to inflate, and seven to compress: one per window size that a client may ask for.
#[derive(Default)]
pub struct Scratch {
    free_buffers: Vec<Vec<u8>>,
    piece: Vec<u8>,
    pub(super) inflater: Option<Inflater>,
    /// Buffer for inflated pieces before they are checked.
    pub(super) inflated: Vec<u8>,
    pub(super) deflaters: Vec<Deflater>,
}

impl Scratch {
    /// Returns an empty buffer, a recycled one if possible.
    pub(super) fn buffer(&mut self) -> Vec<u8> {
        self.free_buffers.pop().unwrap_or_default()
    }

    /// Keeps the memory of a buffer for a later message. Call it with buffers taken out of events.
    pub fn recycle(&mut self, mut buffer: Vec<u8>) {
        if (1..=MAX_FREE_CAPACITY).contains(&buffer.capacity()) && self.free_buffers.len() < MAX_FREE_BUFFERS
        {
            buffer.clear();
            self.free_buffers.push(buffer);
        }
    }

    /// Unmasks bytes and passes them to `sink` in pieces.
    pub(super) fn unmask(
        &mut self,
        mask: &mut Mask,
        bytes: &[u8],
        mut sink: impl FnMut(&[u8]) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        for piece in bytes.chunks(PIECE_BYTES) {
            self.piece.clear();
            mask.append(&mut self.piece, piece);
            sink(&self.piece)?;
        }
        Ok(())
    }

    /// Returns the capacity of the free buffers in bytes, for metrics.
    pub fn free_bytes(&self) -> usize {
        self.free_buffers.iter().map(Vec::capacity).sum()
    }
}

impl fmt::Debug for Scratch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scratch").field("free_buffers", &self.free_buffers.len()).finish_non_exhaustive()
    }
}
