//! Send buffers that are not in use: an idle connection holds none.

use super::Outbox;

/// Buffers kept at most: those of a batch.
const BUFFERS: usize = 1024;
/// Capacity a new buffer has: a usual response with its head.
const BUFFER_BYTES: usize = 4096;
/// A buffer that grew beyond this is not kept.
const LARGE_BYTES: usize = 64 * 1024;

/// The free send buffers of one shard.
pub(super) struct Spares(Vec<Vec<u8>>);

impl Spares {
    pub(super) fn new() -> Self {
        Self(Vec::with_capacity(BUFFERS))
    }

    /// Gives an outbox a buffer to append to, unless it has one.
    pub(super) fn lend(&mut self, outbox: &mut Outbox) {
        if outbox.lacks_buffer() {
            outbox.refill(self.0.pop().unwrap_or_else(|| Vec::with_capacity(BUFFER_BYTES)));
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
        if self.0.len() < BUFFERS && (1..=LARGE_BYTES).contains(&buffer.capacity()) {
            buffer.clear();
            self.0.push(buffer);
        }
    }
}
