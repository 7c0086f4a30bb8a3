//! The receive buffers that all connections of a shard share.
//!
//! The kernel takes a buffer when bytes arrive and names it in the completion. The ring gives the buffer back
//! at the end of the same batch. The memory for receiving thus does not grow with the number of connections.
//!
//! A newer kernel supports incremental buffers: it fills a buffer with several receives, one behind the
//! other. A few large buffers then hold many small messages or some large ones, and stay in the processor's
//! cache. The position of a receive within its buffer follows only from the order of the completions. So the
//! completions must arrive in the order in which the kernel filled the buffers.

use std::{
    alloc::{self, Layout},
    io,
    ptr::NonNull,
    sync::atomic::{AtomicU16, Ordering},
};

use io_uring::types::BufRingEntry;

use super::queues::{Completion, Queues};
use crate::net::engine::EngineOptions;

/// Id of the only buffer group that a ring registers.
pub(super) const GROUP: u16 = 0;

/// Maximum number of buffers in a group. It is the kernel's limit.
const MAX_BUFFERS: u16 = 1 << 15;

/// The flag that registers incremental buffers (`IOU_PBUF_RING_INC`).
const INCREMENTAL: u16 = 2;

/// The first kernel version whose incremental buffers can be used.
///
/// The flag exists since Linux 6.12. Until commit 687b2bae0eff of 6.15, a single receive could complete
/// before an earlier multishot receive, and the other way round, which broke the order.
const INCREMENTAL_SINCE: (u32, u32) = (6, 16);

/// Size of an incremental buffer, as a multiple of [`EngineOptions::buffer_bytes`].
const INCREMENTAL_SIZE_FACTOR: usize = 32;

/// Number of usual buffers that one incremental buffer replaces. The few buffers then fit the cache.
const BUFFERS_PER_INCREMENTAL: u16 = 128;

/// Alignment of the ring of entries: the kernel requires a page.
const PAGE_BYTES: usize = 4096;

/// Receive buffers, and the ring of entries that provides them to the kernel.
pub(super) struct Buffers {
    entries: Block,
    memory: Block,
    /// Number of buffers, a power of two.
    count: u16,
    buffer_bytes: usize,
    /// The kernel fills the buffers incrementally.
    incremental: bool,
    /// For each buffer, the number of bytes claimed since it was provided.
    used: Box<[usize]>,
    /// Number of entries written so far, wrapping.
    tail: u16,
    /// Value of `tail` at the last [`publish`](Self::publish): the kernel may read the entries before it.
    published: u16,
}

impl Buffers {
    /// Registers the buffers that `options` ask for: incremental ones if the kernel supports them.
    ///
    /// # Errors
    ///
    /// Fails if the kernel refuses to register them.
    pub(super) fn register(queues: &Queues, options: &EngineOptions) -> io::Result<Self> {
        let EngineOptions { buffers, buffer_bytes, incremental_buffers, .. } = *options;
        if incremental_buffers && supports_incremental() {
            let count = (buffers / BUFFERS_PER_INCREMENTAL).max(2);
            let bytes = buffer_bytes.saturating_mul(INCREMENTAL_SIZE_FACTOR);
            if let Ok(buffers) = Self::register_group(queues, count, bytes, INCREMENTAL) {
                return Ok(buffers);
            }
        }
        Self::register_group(queues, buffers, buffer_bytes, 0)
    }

    /// Allocates and registers `count` buffers of `buffer_bytes`. The count is rounded up to a power of two.
    fn register_group(queues: &Queues, count: u16, buffer_bytes: usize, flags: u16) -> io::Result<Self> {
        let count = count.clamp(1, MAX_BUFFERS).next_power_of_two();
        let buffer_bytes = buffer_bytes.clamp(1, i32::MAX as usize);
        let entries = Block::new(usize::from(count) * size_of::<BufRingEntry>(), PAGE_BYTES)?;
        let memory = Block::new(usize::from(count) * buffer_bytes, 1)?;
        // SAFETY: `entries` is page aligned and holds `count` entries. It lives until the kernel's ring is
        // closed: `Ring` frees it only afterwards, or leaks it.
        unsafe {
            let address = entries.start.as_ptr() as u64;
            queues.uring().submitter().register_buf_ring_with_flags(address, count, GROUP, flags)?;
        }
        let used = vec![0; usize::from(count)].into_boxed_slice();
        let incremental = flags & INCREMENTAL != 0;
        let mut buffers =
            Self { entries, memory, count, buffer_bytes, incremental, used, tail: 0, published: 0 };
        (0..count).for_each(|id| buffers.provide(id));
        buffers.publish();
        Ok(buffers)
    }

    /// Returns the size of one buffer.
    pub(super) fn buffer_bytes(&self) -> usize {
        self.buffer_bytes
    }

    /// Returns the number of bytes that no completion has named since their buffer was provided.
    pub(super) fn free_bytes(&self) -> usize {
        usize::from(self.count) * self.buffer_bytes - self.used.iter().sum::<usize>()
    }

    /// Returns the received bytes of a completion, or no bytes if the completion names no buffer.
    ///
    /// A buffer whose last bytes these are is queued for the next [`publish`](Self::publish). The kernel may
    /// overwrite the bytes only after that call, and the borrow of `self` prevents the call while they are
    /// used. If their reader panics, the buffer is not lost.
    ///
    /// Every completion must be passed to this function, in order.
    pub(super) fn claim(&mut self, completion: Completion) -> &[u8] {
        let Some(id) = completion.buffer() else { return &[] };
        let id = id & (self.count - 1);
        let start = self.used[usize::from(id)];
        let len = usize::try_from(completion.result).unwrap_or(0).min(self.buffer_bytes - start);
        // The completion also has a flag for a buffer with room left. Some kernels set it wrongly, so it is
        // ignored.
        if self.incremental && start + len < self.buffer_bytes {
            self.used[usize::from(id)] += len;
        } else {
            self.provide(id);
        }
        // SAFETY: `id` is below `count` and `start + len` is at most the length of a buffer. So the range
        // lies in `memory`, which is initialised (zeroed, then written by the kernel). The kernel writes only
        // to bytes that no completion has named since the buffer was published. In this buffer they are
        // behind the range.
        unsafe { std::slice::from_raw_parts(self.buffer(id).add(start), len) }
    }

    /// Gives the provided buffers to the kernel and returns their size in bytes.
    pub(super) fn publish(&mut self) -> usize {
        let returned = self.tail.wrapping_sub(self.published);
        if returned > 0 {
            // SAFETY: `entries` holds at least one entry. The tail lies inside it and is aligned for a `u16`.
            // Only this function and the kernel access the tail, both atomically.
            unsafe {
                let tail = BufRingEntry::tail(self.entries.start.as_ptr().cast()).cast_mut();
                AtomicU16::from_ptr(tail).store(self.tail, Ordering::Release);
            }
            self.published = self.tail;
        }
        usize::from(returned) * self.buffer_bytes
    }

    /// Returns the number of buffers that were provided but not published.
    #[cfg(test)]
    pub(super) fn unpublished(&self) -> usize {
        usize::from(self.tail.wrapping_sub(self.published))
    }

    /// Reverts the provision of unpublished buffers. A test uses it for completions that it made up.
    #[cfg(test)]
    pub(super) fn discard_unpublished(&mut self) {
        self.tail = self.published;
    }

    /// Leaks the memory, because the kernel may still write to it.
    pub(super) fn leak(&mut self) {
        self.entries.leaked = true;
        self.memory.leaked = true;
    }

    /// Writes the entry of an empty buffer. [`publish`](Self::publish) shows it to the kernel.
    fn provide(&mut self, id: u16) {
        let (address, len) = (self.buffer(id) as u64, self.buffer_bytes as u32);
        let index = usize::from(self.tail & (self.count - 1));
        // SAFETY: `index` is below `count`, so the entry lies in `entries`, which was zeroed. The kernel
        // reads only entries before the published tail. The tail overlaps entry 0, but these setters do not
        // write to it.
        unsafe {
            let entry = &mut *self.entries.start.as_ptr().cast::<BufRingEntry>().add(index);
            entry.set_addr(address);
            entry.set_len(len);
            entry.set_bid(id);
        }
        self.used[usize::from(id)] = 0;
        self.tail = self.tail.wrapping_add(1);
    }

    /// Returns the start of a buffer.
    fn buffer(&self, id: u16) -> *mut u8 {
        // SAFETY: `id` is below `count`, so the offset stays inside `memory`.
        unsafe { self.memory.start.as_ptr().add(usize::from(id) * self.buffer_bytes) }
    }
}

/// Returns `true` if the kernel supports incremental buffers and completes receives in order.
fn supports_incremental() -> bool {
    let uname = rustix::system::uname();
    let release = uname.release().to_string_lossy();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= INCREMENTAL_SINCE
}

/// Zeroed memory at a fixed address. It is freed on drop, unless it is leaked.
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
            // SAFETY: the memory was allocated with this layout and is freed only here.
            unsafe { alloc::dealloc(self.start.as_ptr(), self.layout) }
        }
    }
}
