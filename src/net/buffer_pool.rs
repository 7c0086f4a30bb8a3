//! The pool of unused send buffers of one shard. An idle connection holds no buffer.

use super::outbox::{Outbox, Segment};

/// Maximum number of unused buffers: one for each connection of a full batch.
const MAX_FREE: usize = 1024;
/// Capacity of a new buffer. A usual response and its head fit.
const BUFFER_BYTES: usize = 4096;
/// Largest capacity of a buffer in the pool. Larger ones are freed.
const MAX_POOLED_BYTES: usize = 64 * 1024;

/// Maximum number of sent buffers that wait for [`BufferPool::pop_lent`]. The engine calls it after each
/// send.
const MAX_LENT: usize = 64;

/// Unused send buffers, and sent buffers that belong to the handler.
pub(super) struct BufferPool {
    free: Vec<Vec<u8>>,
    lent: Vec<Vec<u8>>,
}

impl BufferPool {
    pub(super) fn new() -> Self {
        Self { free: Vec::with_capacity(MAX_FREE), lent: Vec::new() }
    }

    /// Gives an outbox a buffer to append to, unless it has one.
    pub(super) fn supply(&mut self, outbox: &mut Outbox) {
        if outbox.lacks_buffer() {
            outbox.refill(self.free.pop().unwrap_or_else(|| Vec::with_capacity(BUFFER_BYTES)));
        }
    }

    /// Takes the buffer of an outbox back if it is empty.
    pub(super) fn reclaim(&mut self, outbox: &mut Outbox) {
        if let Some(buffer) = outbox.release() {
            self.put(buffer);
        }
    }

    /// Puts a buffer into the pool, or frees it if the pool is full or the buffer too large.
    fn put(&mut self, mut buffer: Vec<u8>) {
        if self.free.len() < MAX_FREE && (1..=MAX_POOLED_BYTES).contains(&buffer.capacity()) {
            buffer.clear();
            self.free.push(buffer);
        }
    }

    /// Takes the memory of a segment that was sent or dropped.
    pub(super) fn recycle(&mut self, segment: Segment) {
        match segment {
            Segment::Owned(buffer) => self.put(buffer),
            Segment::Lent(buffer) if self.lent.len() < MAX_LENT => self.lent.push(buffer),
            Segment::Lent(_) | Segment::Shared(_) => {}
        }
    }

    /// Removes and returns a recycled buffer that belongs to the handler, or `None` if there is none.
    pub(super) fn pop_lent(&mut self) -> Option<Vec<u8>> {
        self.lent.pop()
    }
}
