//! The receive buffers all connections of a shard share.
//!
//! The kernel takes a buffer when bytes arrive and names it in the completion; the ring gives it back within the
//! same batch. So memory for receiving does not grow with the connections.
//!
//! A newer kernel fills a buffer piece by piece, each receive behind the one before: few large buffers then hold many
//! small messages or a few large ones, and stay in the processor's cache. Where a piece begins follows from the order of
//! the completions alone, so that order has to be the order in which the pieces were filled.

use std::{
    alloc::{self, Layout},
    io,
    ptr::NonNull,
    sync::atomic::{AtomicU16, Ordering},
};

use io_uring::types::BufRingEntry;

use super::queues::{Completion, Queues};
use crate::net::EngineOptions;

/// The one buffer group a ring registers.
pub(super) const GROUP: u16 = 0;

/// Buffers at most: the kernel's limit of a group.
const MAX_BUFFERS: u16 = 1 << 15;

/// Registers buffers that are filled piece by piece (`IOU_PBUF_RING_INC`).
const PIECE_BY_PIECE: u16 = 2;

/// The first kernel that has it and completes receives in the order in which it filled buffers, whether they receive once
/// or again and again (6.12 has the flag; until commit 687b2bae0eff of 6.15 one kind could overtake the other).
const IN_ORDER_SINCE: (u32, u32) = (6, 16);

/// A buffer that is filled piece by piece is as large as so many, …
const TIMES_AS_LARGE: usize = 32;

/// … and stands for so many: large ones are few enough to stay in the cache.
const INSTEAD_OF: u16 = 128;

/// The kernel wants the ring of entries to start on a page.
const PAGE_BYTES: usize = 4096;

/// A ring of entries that offers buffers to the kernel, and the buffers.
pub(super) struct Buffers {
    entries: Block,
    memory: Block,
    /// Buffers, a power of two.
    count: u16,
    buffer_bytes: usize,
    /// The kernel fills them so.
    piece_by_piece: bool,
    /// Bytes of each that were claimed since it was offered.
    used: Box<[usize]>,
    /// Entries written so far, wrapping.
    tail: u16,
    /// `tail` as the kernel knows it.
    published: u16,
}

impl Buffers {
    /// Offers buffers as [`EngineOptions`] says: filled piece by piece where that is wanted and the kernel does it.
    ///
    /// # Errors
    ///
    /// The kernel refuses to register them.
    pub(super) fn offered(queues: &Queues, options: &EngineOptions) -> io::Result<Self> {
        let EngineOptions { buffers, buffer_bytes, piece_by_piece, .. } = *options;
        if piece_by_piece && fills_in_order() {
            let (few, large) = ((buffers / INSTEAD_OF).max(2), buffer_bytes.saturating_mul(TIMES_AS_LARGE));
            if let Ok(buffers) = Self::register(queues, few, large, PIECE_BY_PIECE) {
                return Ok(buffers);
            }
        }
        Self::register(queues, buffers, buffer_bytes, 0)
    }

    /// Allocates `count` buffers (rounded up to a power of two) of `buffer_bytes` and registers them.
    fn register(queues: &Queues, count: u16, buffer_bytes: usize, flags: u16) -> io::Result<Self> {
        let count = count.clamp(1, MAX_BUFFERS).next_power_of_two();
        let buffer_bytes = buffer_bytes.clamp(1, i32::MAX as usize);
        let entries = Block::new(usize::from(count) * size_of::<BufRingEntry>(), PAGE_BYTES)?;
        let memory = Block::new(usize::from(count) * buffer_bytes, 1)?;
        // SAFETY: `entries` is page aligned, large enough for `count` entries, and lives until the ring is closed
        // or the group unregistered (`Ring` frees it after either, or leaks it).
        unsafe {
            let address = entries.start.as_ptr() as u64;
            queues.uring().submitter().register_buf_ring_with_flags(address, count, GROUP, flags)?;
        }
        let used = vec![0; usize::from(count)].into_boxed_slice();
        let piece_by_piece = flags & PIECE_BY_PIECE != 0;
        let mut buffers =
            Self { entries, memory, count, buffer_bytes, piece_by_piece, used, tail: 0, published: 0 };
        (0..count).for_each(|id| buffers.offer(id));
        buffers.publish();
        Ok(buffers)
    }

    /// Returns how many buffers there are.
    pub(super) fn count(&self) -> usize {
        usize::from(self.count)
    }

    /// Returns the bytes a completion brought, nothing if it names no buffer. A buffer whose last bytes they are is queued
    /// to be given back.
    ///
    /// The kernel may write to them again after [`publish`](Self::publish) only, and that cannot be called while they are
    /// borrowed. So a panic of their reader does not lose the buffer. Every completion has to come here, in order.
    pub(super) fn claim(&mut self, completion: Completion) -> &[u8] {
        let Some(id) = completion.buffer() else { return &[] };
        let id = id & (self.count - 1);
        let start = self.used[usize::from(id)];
        let len = usize::try_from(completion.result).unwrap_or(0).min(self.buffer_bytes - start);
        // What the completion says of the rest of the buffer is not relied on: kernels have been wrong about it.
        if self.piece_by_piece && start + len < self.buffer_bytes {
            self.used[usize::from(id)] += len;
        } else {
            self.offer(id);
        }
        // SAFETY: `id` is in range and `start + len` at most the buffer's length, so the range lies in `memory`, which is
        // initialised (zeroed, then written by the kernel). The kernel owns what it has not named in a completion since
        // the buffer was published: of this one, what is behind the range.
        unsafe { std::slice::from_raw_parts(self.buffer(id).add(start), len) }
    }

    /// Gives the claimed buffers back to the kernel and returns how many.
    pub(super) fn publish(&mut self) -> usize {
        let returned = self.tail.wrapping_sub(self.published);
        if returned > 0 {
            // SAFETY: `entries` holds at least one entry; the tail lies inside it, aligned for a `u16`, and is
            // accessed atomically by us and the kernel only.
            unsafe {
                let tail = BufRingEntry::tail(self.entries.start.as_ptr().cast()).cast_mut();
                AtomicU16::from_ptr(tail).store(self.tail, Ordering::Release);
            }
            self.published = self.tail;
        }
        usize::from(returned)
    }

    /// Returns how many buffers were claimed since the last publication.
    #[cfg(test)]
    pub(super) fn claimed(&self) -> usize {
        usize::from(self.tail.wrapping_sub(self.published))
    }

    /// Takes claims of buffers back that no completion named.
    #[cfg(test)]
    pub(super) fn forget_claims(&mut self) {
        self.tail = self.published;
    }

    /// Gives the memory up for good: the kernel may still write to it.
    pub(super) fn leak(&mut self) {
        self.entries.leaked = true;
        self.memory.leaked = true;
    }

    fn offer(&mut self, id: u16) {
        let (address, len) = (self.buffer(id) as u64, self.buffer_bytes as u32);
        let index = usize::from(self.tail & (self.count - 1));
        // SAFETY: `index` is below `count`, so the entry lies in `entries`, zeroed at first. The kernel reads
        // entries before the published tail only. The setters leave the tail, which overlaps entry 0, alone.
        unsafe {
            let entry = &mut *self.entries.start.as_ptr().cast::<BufRingEntry>().add(index);
            entry.set_addr(address);
            entry.set_len(len);
            entry.set_bid(id);
        }
        self.used[usize::from(id)] = 0;
        self.tail = self.tail.wrapping_add(1);
    }

    fn buffer(&self, id: u16) -> *mut u8 {
        // SAFETY: `id` is below `count`, so the offset stays inside `memory`.
        unsafe { self.memory.start.as_ptr().add(usize::from(id) * self.buffer_bytes) }
    }
}

/// Says whether the kernel fills buffers piece by piece and completes receives in that order.
fn fills_in_order() -> bool {
    let uname = rustix::system::uname();
    let release = uname.release().to_string_lossy();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= IN_ORDER_SINCE
}

/// Zeroed memory at an address that does not change, freed unless leaked.
struct Block {
    start: NonNull<u8>,
    layout: Layout,
    leaked: bool,
}

impl Block {
    fn new(bytes: usize, align: usize) -> io::Result<Self> {
        let layout = Layout::from_size_align(bytes.max(1), align).map_err(|_| io::ErrorKind::OutOfMemory)?;
        // SAFETY: the layout's size is not 0.
        let start = NonNull::new(unsafe { alloc::alloc_zeroed(layout) }).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { start, layout, leaked: false })
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        if !self.leaked {
            // SAFETY: allocated with this layout, freed once.
            unsafe { alloc::dealloc(self.start.as_ptr(), self.layout) }
        }
    }
}
