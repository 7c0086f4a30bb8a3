//! The doorbell's kernel side: an eventfd.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::event::{EventfdFlags, eventfd};

/// An eventfd in blocking mode: a read armed on a ring waits for the next strike instead of failing with `EAGAIN`.
#[derive(Debug)]
pub(crate) struct EventFd(OwnedFd);

impl EventFd {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self(eventfd(0, EventfdFlags::CLOEXEC)?))
    }

    /// Writes the eventfd: the current or next wait for it returns.
    pub(crate) fn signal(&self) {
        // It can only fail by an interrupted call; a counter that is full is readable, which is all we want.
        while rustix::io::write(&self.0, &1u64.to_ne_bytes()) == Err(rustix::io::Errno::INTR) {}
    }
}

impl AsFd for EventFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
