//! Eventfd: a file descriptor that becomes readable when another thread writes it.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::event::{EventfdFlags, eventfd};

/// An eventfd in blocking mode.
///
/// In this mode a read that is armed on an io_uring waits for the next write instead of failing with
/// `EAGAIN`.
#[derive(Debug)]
pub(crate) struct EventFd(OwnedFd);

impl EventFd {
    /// Creates an eventfd that is not readable.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self(eventfd(0, EventfdFlags::CLOEXEC)?))
    }

    /// Makes the eventfd readable, which ends the current or the next wait for it.
    pub(crate) fn make_readable(&self) {
        // The write only fails when a signal interrupts it. A full counter is readable, which is all that
        // counts.
        while rustix::io::write(&self.0, &1u64.to_ne_bytes()) == Err(rustix::io::Errno::INTR) {}
    }
}

impl AsFd for EventFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
