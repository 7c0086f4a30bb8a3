//! Send buffers that are not in use: an idle connection holds none.

use super::{Outbox, outbox::Segment};

/// Buffers kept at most: those of a batch.
const BUFFERS: usize = 1024;
/// Capacity a new buffer has: a usual response with its head.
const BUFFER_BYTES: usize = 4096;
/// A buffer that grew beyond this is not kept.
const LARGE_BYTES: usize = 64 * 1024;

/// Lent buffers that wait to be returned at most: they are taken back after each send.
const LENT: usize = 64;

/// The free send buffers of one shard, and those to return to who lent them.
pub(super) struct BufferPool {
    free: Vec<Vec<u8>>,
    lent: Vec<Vec<u8>>,
}

impl BufferPool {
    pub(super) fn new() -> Self {
        Self { free: Vec::with_capacity(BUFFERS), lent: Vec::new() }
    }

    /// Gives an outbox a buffer to append to, unless it has one.
    pub(super) fn lend(&mut self, outbox: &mut Outbox) {
        if outbox.lacks_buffer() {
            outbox.refill(self.free.pop().unwrap_or_else(|| Vec::with_capacity(BUFFER_BYTES)));
        }
    }

    /// Takes the buffer of an outbox back if nothing is in it.
    pub(super) fn reclaim(&mut self, outbox: &mut Outbox) {
        if let Some(buffer) = outbox.release() {
            self.give(buffer);
        }
    }

    /// Keeps a buffer for the next one who asks.
    pub(super) fn give(&mut self, mut buffer: Vec<u8>) {
        if self.free.len() < BUFFERS && (1..=LARGE_BYTES).contains(&buffer.capacity()) {
            buffer.clear();
            self.free.push(buffer);
        }
    }

    /// Takes the memory of a segment that is done with.
    pub(super) fn recycle(&mut self, segment: Segment) {
        match segment {
            Segment::Owned(buffer) => self.give(buffer),
            Segment::Lent(buffer) if self.lent.len() < LENT => self.lent.push(buffer),
            Segment::Lent(_) | Segment::Shared(_) => {}
        }
    }

    /// Returns a buffer that was lent and is not needed any more.
    pub(super) fn lent(&mut self) -> Option<Vec<u8>> {
        self.lent.pop()
    }
}
