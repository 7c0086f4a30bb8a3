//! The eventfd by which other threads end a ring's wait.

use std::{
    io::{self, IoSliceMut},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::io::ReadWriteFlags;

use super::{
    ops::{self, Kind, Tag},
    queues::{Completion, Queues},
};

/// An eventfd polled by the ring, again and again.
///
/// Each write to it completes the poll, which ends a wait; it is then read, so that it does not stay readable. A
/// write between completion and read is read with it: its message was queued before, and the shard looks at its
/// queues after each turn.
pub(super) struct Doorbell {
    fd: OwnedFd,
}

impl Doorbell {
    pub(super) fn new(fd: BorrowedFd<'_>) -> io::Result<Self> {
        Ok(Self { fd: fd.try_clone_to_owned()? })
    }

    /// Puts the poll into the kernel.
    pub(super) fn arm(&self, queues: &mut Queues) {
        let entry = ops::poll_readable(self.fd.as_fd(), Tag::own(Kind::Doorbell, 0));
        // SAFETY: names no memory; the descriptor lives as long as the ring.
        unsafe { queues.push(&entry) }
    }

    /// Takes what the poll completed with.
    ///
    /// # Errors
    ///
    /// The poll failed: wake-ups would be lost.
    pub(super) fn rung(&self, completion: Completion, queues: &mut Queues) -> io::Result<()> {
        if completion.result < 0 {
            return Err(io::Error::from_raw_os_error(-completion.result));
        }
        self.hush();
        if !completion.more() {
            self.arm(queues);
        }
        Ok(())
    }

    /// Reads it. Does not block, also where its creator left it in blocking mode.
    fn hush(&self) {
        let mut count = [0; 8];
        // Nothing to read is nothing to do: an earlier read took this ring too.
        let _ = rustix::io::preadv2(
            &self.fd,
            &mut [IoSliceMut::new(&mut count)],
            u64::MAX,
            ReadWriteFlags::NOWAIT,
        );
    }
}
