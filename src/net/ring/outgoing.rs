//! The send of a connection, and the memory that it needs.

use std::{
    collections::VecDeque,
    os::fd::{AsRawFd, BorrowedFd},
};

use io_uring::{opcode, squeue, types::Fd};

use super::ops::Tag;
use crate::net::{
    buffer_pool::BufferPool,
    outbox::{Outbox, Segment},
};

/// Maximum number of segments in one send. [`Gather`] holds an `iovec` for each.
const MAX_SEGMENTS: usize = 16;

/// Number of bytes after which a send takes no further segment. A socket buffer does not take more at once.
const GATHER_BYTES: usize = 1 << 20;

/// Maximum number of bytes of a single segment in one send, because the length field has 32 bits.
const MAX_SEND_BYTES: usize = 1 << 30;

/// Flags of every send. A send to a closed connection raises no signal.
const FLAGS: i32 = libc::MSG_NOSIGNAL;

/// Bytes that the kernel is sending, or the rest after a short send. They stay at their address until the
/// send has completed.
pub(super) enum Outgoing {
    /// No bytes.
    Empty,
    /// One segment, of which `sent` bytes are sent.
    One { segment: Segment, sent: usize },
    /// Several segments.
    Many(Box<Gather>),
}

/// Several segments that one operation sends.
pub(super) struct Gather {
    segments: VecDeque<Segment>,
    /// Number of bytes of the first segment that are sent.
    sent: usize,
    vectors: [libc::iovec; MAX_SEGMENTS],
    header: libc::msghdr,
}

impl Outgoing {
    /// Takes segments from the outbox, up to the limits of one send.
    pub(super) fn load(&mut self, outbox: &mut Outbox, pool: &mut SendPool) {
        let Some(first) = outbox.take() else { return };
        if outbox.is_empty() {
            *self = Self::One { segment: first, sent: 0 };
            return;
        }
        let mut gather = pool.gather();
        let mut bytes = first.as_slice().len();
        gather.segments.push_back(first);
        while gather.segments.len() < MAX_SEGMENTS && bytes < GATHER_BYTES {
            let Some(segment) = outbox.take() else { break };
            bytes += segment.as_slice().len();
            gather.segments.push_back(segment);
        }
        *self = Self::Many(gather);
    }

    /// Returns `true` if no bytes are left to send.
    pub(super) fn is_empty(&self) -> bool {
        matches!(self, Self::Empty)
    }

    /// Returns the entry that sends the remaining bytes, or `None` if there are none.
    ///
    /// With `last`, the end of the stream follows. The kernel may then delay the bytes, so that they share a
    /// segment with the FIN.
    ///
    /// The entry points into this value. Until its completion, the value must not be loaded, advanced or
    /// dropped.
    pub(super) fn entry(&mut self, fd: BorrowedFd<'_>, tag: Tag, last: bool) -> Option<squeue::Entry> {
        let fd = Fd(fd.as_raw_fd());
        let flags = if last { FLAGS | libc::MSG_MORE } else { FLAGS };
        let entry = match self {
            Self::Empty => return None,
            Self::One { segment, sent } => {
                let rest = &segment.as_slice()[*sent..];
                let len = rest.len().min(MAX_SEND_BYTES) as u32;
                opcode::Send::new(fd, rest.as_ptr(), len).flags(flags).build()
            }
            Self::Many(gather) => {
                gather.set_vectors();
                opcode::SendMsg::new(fd, &raw const gather.header).flags(flags as u32).build()
            }
        };
        Some(entry.user_data(tag.pack()))
    }

    /// Removes the first `bytes` bytes after the kernel has sent them, and recycles complete segments.
    pub(super) fn advance(&mut self, bytes: usize, pool: &mut SendPool) {
        let done = match self {
            Self::Empty => true,
            Self::One { segment, sent } => {
                *sent += bytes;
                *sent >= segment.as_slice().len()
            }
            Self::Many(gather) => gather.advance(bytes, pool),
        };
        if done {
            self.recycle(pool);
        }
    }

    /// Discards the remaining bytes and recycles their memory. Must not be called while the kernel sends
    /// them.
    pub(super) fn recycle(&mut self, pool: &mut SendPool) {
        pool.put(std::mem::replace(self, Self::Empty));
    }

    /// Leaks the memory, because the kernel may still read it.
    pub(super) fn leak(&mut self) {
        std::mem::forget(std::mem::replace(self, Self::Empty));
    }
}

impl Gather {
    fn new() -> Box<Self> {
        // SAFETY: both are C structures of integers and pointers, for which all zeroes are a valid value.
        let (vectors, header) = unsafe { (std::mem::zeroed(), std::mem::zeroed()) };
        Box::new(Self { segments: VecDeque::with_capacity(MAX_SEGMENTS), sent: 0, vectors, header })
    }

    /// Sets the vectors to the unsent bytes of the segments, and the header to the vectors.
    fn set_vectors(&mut self) {
        let mut skip = self.sent;
        for (vector, segment) in self.vectors.iter_mut().zip(&self.segments) {
            let rest = &segment.as_slice()[std::mem::take(&mut skip)..];
            *vector = libc::iovec { iov_base: rest.as_ptr().cast_mut().cast(), iov_len: rest.len() };
        }
        self.header.msg_iov = self.vectors.as_mut_ptr();
        self.header.msg_iovlen = self.segments.len().min(MAX_SEGMENTS);
    }

    /// Removes the first `bytes` bytes. Returns `true` if none are left.
    fn advance(&mut self, bytes: usize, pool: &mut SendPool) -> bool {
        self.sent += bytes;
        while let Some(first) = self.segments.front() {
            if self.sent < first.as_slice().len() {
                return false;
            }
            self.sent -= first.as_slice().len();
            if let Some(done) = self.segments.pop_front() {
                pool.buffers.recycle(done);
            }
        }
        true
    }
}

/// Unused memory for sending. An idle connection holds none.
pub(super) struct SendPool {
    buffers: BufferPool,
    #[expect(clippy::vec_box, reason = "a gather in flight points into itself, so its address is fixed")]
    gathers: Vec<Box<Gather>>,
}

impl SendPool {
    /// Maximum number of unused gathers.
    const MAX_GATHERS: usize = 64;

    pub(super) fn new() -> Self {
        Self { buffers: BufferPool::new(), gathers: Vec::with_capacity(Self::MAX_GATHERS) }
    }

    /// Gives an outbox a buffer to append to, unless it has one.
    pub(super) fn supply(&mut self, outbox: &mut Outbox) {
        self.buffers.supply(outbox);
    }

    /// Takes the buffer of an outbox back if it is empty.
    pub(super) fn reclaim(&mut self, outbox: &mut Outbox) {
        self.buffers.reclaim(outbox);
    }

    /// Removes and returns a sent buffer that belongs to the handler.
    pub(super) fn pop_lent(&mut self) -> Option<Vec<u8>> {
        self.buffers.pop_lent()
    }

    fn gather(&mut self) -> Box<Gather> {
        self.gathers.pop().unwrap_or_else(Gather::new)
    }

    fn put(&mut self, outgoing: Outgoing) {
        match outgoing {
            Outgoing::One { segment, .. } => self.buffers.recycle(segment),
            Outgoing::Many(mut gather) if self.gathers.len() < Self::MAX_GATHERS => {
                gather.segments.clear();
                gather.sent = 0;
                self.gathers.push(gather);
            }
            _ => {}
        }
    }
}
