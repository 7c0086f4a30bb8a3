//! The eventfd with which other threads end a ring's wait.

use std::{
    io::{self, IoSliceMut},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::io::ReadWriteFlags;

use super::{
    ops::{self, Kind, Tag},
    queues::{Completion, Queues},
};

/// An eventfd that the ring polls with a multishot operation.
///
/// Each write completes the poll, which ends a wait. The ring then reads the eventfd, so that it becomes
/// unreadable. A write between the completion and the read causes no completion of its own. Its message is
/// not lost: the message was queued before the write, and the shard checks its queues after each turn.
pub(super) struct Doorbell {
    fd: OwnedFd,
}

impl Doorbell {
    pub(super) fn new(fd: BorrowedFd<'_>) -> io::Result<Self> {
        Ok(Self { fd: fd.try_clone_to_owned()? })
    }

    /// Submits the poll.
    pub(super) fn arm(&self, queues: &mut Queues) {
        let entry = ops::poll_readable(self.fd.as_fd(), Tag::of_ring(Kind::Doorbell, 0));
        // SAFETY: the entry refers to no memory, and the descriptor lives as long as the ring.
        unsafe { queues.push(&entry) }
    }

    /// Handles a completion of the poll.
    ///
    /// # Errors
    ///
    /// Fails if the poll failed. Without it, wake-ups would be lost.
    pub(super) fn completed(&self, completion: Completion, queues: &mut Queues) -> io::Result<()> {
        if completion.result < 0 {
            return Err(io::Error::from_raw_os_error(-completion.result));
        }
        self.clear();
        if !completion.has_more() {
            self.arm(queues);
        }
        Ok(())
    }

    /// Reads the eventfd without blocking, even if its creator left it in blocking mode.
    fn clear(&self) {
        let mut count = [0; 8];
        // The read fails if an earlier one has already cleared this write. Then there is nothing to do.
        let _ = rustix::io::preadv2(
            &self.fd,
            &mut [IoSliceMut::new(&mut count)],
            u64::MAX,
            ReadWriteFlags::NOWAIT,
        );
    }
}
