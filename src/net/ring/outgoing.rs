//! The one send a connection has in flight, and the memory it needs.

use std::{
    collections::VecDeque,
    os::fd::{AsRawFd, BorrowedFd},
};

use io_uring::{opcode, squeue, types::Fd};

use super::ops::Tag;
use crate::net::{Outbox, buffer_pool::BufferPool, outbox::Segment};

/// Segments of one send at most: what a gather needs, small enough to sit in one allocation.
const MAX_SEGMENTS: usize = 16;

/// Bytes after which a send takes no further segment: more than a socket buffer takes at once.
const GATHER_BYTES: usize = 1 << 20;

/// Bytes of one segment sent at once at most; the length field has 32 bits.
const MAX_SEND_BYTES: usize = 1 << 30;

/// A gather never waits for more room than there is, and a peer that is gone raises no signal.
const FLAGS: i32 = libc::MSG_NOSIGNAL;

/// What the kernel is sending, or what is left of it. Its bytes stay where they are until the send completed.
pub(super) enum Outgoing {
    /// Nothing.
    Empty,
    /// One segment, of which `sent` bytes are gone.
    One { segment: Segment, sent: usize },
    /// Several.
    Many(Box<Gather>),
}

/// Several segments sent by one call.
pub(super) struct Gather {
    segments: VecDeque<Segment>,
    /// Bytes of the first segment that are gone.
    sent: usize,
    vectors: [libc::iovec; MAX_SEGMENTS],
    header: libc::msghdr,
}

impl Outgoing {
    /// Takes what the outbox holds, up to the limits of one send.
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

    /// Says whether nothing is left to send.
    pub(super) fn is_empty(&self) -> bool {
        matches!(self, Self::Empty)
    }

    /// Builds the entry that sends what is left; `None` when nothing is.
    ///
    /// With `last`, the end of the stream follows: the kernel may keep the bytes until then, so that both leave as
    /// one segment. The entry points into this flight: it must neither be loaded, advanced nor dropped until the
    /// completion.
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
                gather.point();
                opcode::SendMsg::new(fd, &raw const gather.header).flags(flags as u32).build()
            }
        };
        Some(entry.user_data(tag.pack()))
    }

    /// Forgets `bytes` that the kernel took, recycling what is done with.
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

    /// Throws away what is left, keeping its memory. Not while it is in the kernel.
    pub(super) fn recycle(&mut self, pool: &mut SendPool) {
        pool.take_back(std::mem::replace(self, Self::Empty));
    }

    /// Gives its memory up for good: the kernel may still read it.
    pub(super) fn leak(&mut self) {
        std::mem::forget(std::mem::replace(self, Self::Empty));
    }
}

impl Gather {
    fn new() -> Box<Self> {
        // SAFETY: both are C structures of integers and pointers, for which all zeroes is a valid (null) value.
        let (vectors, header) = unsafe { (std::mem::zeroed(), std::mem::zeroed()) };
        Box::new(Self { segments: VecDeque::with_capacity(MAX_SEGMENTS), sent: 0, vectors, header })
    }

    /// Points the header at the vectors and the vectors at what is left of the segments.
    fn point(&mut self) {
        let mut skip = self.sent;
        for (vector, segment) in self.vectors.iter_mut().zip(&self.segments) {
            let rest = &segment.as_slice()[std::mem::take(&mut skip)..];
            *vector = libc::iovec { iov_base: rest.as_ptr().cast_mut().cast(), iov_len: rest.len() };
        }
        self.header.msg_iov = self.vectors.as_mut_ptr();
        self.header.msg_iovlen = self.segments.len().min(MAX_SEGMENTS);
    }

    /// Forgets bytes; true when nothing is left.
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

/// Memory for sending that is not in use: an idle connection holds none.
pub(super) struct SendPool {
    buffers: BufferPool,
    #[expect(
        clippy::vec_box,
        reason = "a gather points into itself while in flight: it moves as a box only"
    )]
    gathers: Vec<Box<Gather>>,
}

impl SendPool {
    /// Gathers kept at most.
    const GATHERS: usize = 64;

    pub(super) fn new() -> Self {
        Self { buffers: BufferPool::new(), gathers: Vec::with_capacity(Self::GATHERS) }
    }

    /// Gives an outbox a buffer to append to, unless it has one.
    pub(super) fn lend(&mut self, outbox: &mut Outbox) {
        self.buffers.lend(outbox);
    }

    /// Takes the buffer of an outbox back if nothing is in it.
    pub(super) fn reclaim(&mut self, outbox: &mut Outbox) {
        self.buffers.reclaim(outbox);
    }

    /// Returns a buffer that was lent and is not needed any more.
    pub(super) fn lent(&mut self) -> Option<Vec<u8>> {
        self.buffers.lent()
    }

    fn gather(&mut self) -> Box<Gather> {
        self.gathers.pop().unwrap_or_else(Gather::new)
    }

    fn take_back(&mut self, flight: Outgoing) {
        match flight {
            Outgoing::One { segment, .. } => self.buffers.recycle(segment),
            Outgoing::Many(mut gather) if self.gathers.len() < Self::GATHERS => {
                gather.segments.clear();
                gather.sent = 0;
                self.gathers.push(gather);
            }
            _ => {}
        }
    }
}
