//! What one shard lends to all of its WebSocket connections.

use std::fmt;

use super::{
    Fault, Mask,
    deflate::{Deflater, Inflater},
};

/// Most buffers kept for later messages.
const SPARE_BUFFERS: usize = 32;
/// Largest buffer kept: one that held an unusual message goes back to the allocator.
const SPARE_BYTES: usize = 128 * 1024;
/// Text is unmasked and checked in pieces of this many bytes, which stay in the first-level cache.
const PIECE_BYTES: usize = 8 * 1024;

/// Memory lent for the time of a call: one for each shard, none for each connection.
///
/// A connection in the middle of a message holds a buffer; an idle one holds nothing. A context of DEFLATE
/// costs 47 KiB to inflate and 372 KiB to compress, so connections without context takeover share these: at
/// most one to inflate and seven to compress, one for each window size that a client may ask for.
#[derive(Default)]
pub struct Scratch {
    spares: Vec<Vec<u8>>,
    piece: Vec<u8>,
    pub(super) inflater: Option<Inflater>,
    /// Where inflated pieces go before they are checked.
    pub(super) inflated: Vec<u8>,
    pub(super) deflaters: Vec<Deflater>,
}

impl Scratch {
    /// Lends an empty buffer.
    pub(super) fn buffer(&mut self) -> Vec<u8> {
        self.spares.pop().unwrap_or_default()
    }

    /// Takes a buffer back, above all one that was taken out of an event, so that the next message needs no
    /// new one.
    pub fn recycle(&mut self, mut buffer: Vec<u8>) {
        if (1..=SPARE_BYTES).contains(&buffer.capacity()) && self.spares.len() < SPARE_BUFFERS {
            buffer.clear();
            self.spares.push(buffer);
        }
    }

    /// Unmasks bytes and passes them on, piece by piece.
    pub(super) fn unmasked(
        &mut self,
        mask: &mut Mask,
        bytes: &[u8],
        mut take: impl FnMut(&[u8]) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        for piece in bytes.chunks(PIECE_BYTES) {
            self.piece.clear();
            mask.append(&mut self.piece, piece);
            take(&self.piece)?;
        }
        Ok(())
    }

    /// Returns how many bytes of buffers it keeps, for metrics.
    pub fn spare_bytes(&self) -> usize {
        self.spares.iter().map(Vec::capacity).sum()
    }
}

impl fmt::Debug for Scratch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scratch").field("spares", &self.spares.len()).finish_non_exhaustive()
    }
}
