//! What the engines share about accepting: how long a listener waits after a failure, how it is emptied at its end.

use std::{
    io,
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

use rustix::{io::Errno, net::SocketFlags};

use super::EventHandler;

/// Wait after the first failed accept; doubled by each further one.
const FIRST_WAIT: Duration = Duration::from_millis(10);
/// Wait at most.
const LAST_WAIT: Duration = Duration::from_millis(500);

/// Connections taken from one listener's kernel queue at most when it stops: more than any backlog.
const MAX_QUEUED: usize = 1 << 16;

/// A socket that was accepted and has no slot yet.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) fd: OwnedFd,
    /// Index of its listener.
    pub(super) listener: usize,
    /// Another shard accepted it.
    pub(super) is_adopted: bool,
}

impl Taken {
    /// Takes what an accept of this shard gave.
    pub(super) fn accepted(fd: OwnedFd, listener: usize) -> Self {
        Self { fd, listener, is_adopted: false }
    }

    /// Lets the handler give it to another shard, unless one gave it to this.
    pub(super) fn unless_handed_over<C: EventHandler>(self, handler: &mut C) -> Option<Self> {
        if self.is_adopted {
            return Some(self);
        }
        let Self { fd, listener, .. } = self;
        handler.hand_over(fd, listener).map(|fd| Self::accepted(fd, listener))
    }
}

/// Keeps a listener from accepting again at once where that would fail again.
#[derive(Debug)]
pub(super) struct Backoff {
    /// Wait after the next failure.
    wait: Duration,
    /// No accept before this.
    retry: Option<Instant>,
}

impl Backoff {
    pub(super) fn new() -> Self {
        Self { wait: FIRST_WAIT, retry: None }
    }

    /// Returns when the wait is over; `None` outside of one.
    pub(super) fn retry(&self) -> Option<Instant> {
        self.retry
    }

    /// Ends a wait that is over.
    pub(super) fn look(&mut self, now: Instant) {
        if self.retry.is_some_and(|retry| retry <= now) {
            self.retry = None;
        }
    }

    /// Ends a wait whatever is left of it.
    pub(super) fn end(&mut self) {
        self.retry = None;
    }

    /// Notes that an accept worked.
    pub(super) fn succeeded(&mut self) {
        self.wait = FIRST_WAIT;
    }

    /// Judges a failed accept: the peer's or network's trouble with one connection is over with it; anything else
    /// would fail again at once, so the listener waits.
    pub(super) fn failed(&mut self, errno: i32) -> io::Error {
        match errno {
            libc::EINTR | libc::ECONNABORTED | libc::EPROTO => {}
            libc::EPERM | libc::ENETDOWN | libc::ENOPROTOOPT | libc::EHOSTDOWN => {}
            libc::ENONET | libc::EHOSTUNREACH | libc::EOPNOTSUPP | libc::ENETUNREACH => {}
            _ => {
                self.retry = Some(Instant::now() + self.wait);
                self.wait = (self.wait * 2).min(LAST_WAIT);
            }
        }
        io::Error::from_raw_os_error(errno)
    }
}

/// Takes what the kernel has queued for a listener in non-blocking mode.
pub(super) fn take_queued(listener: &OwnedFd, flags: SocketFlags, mut take: impl FnMut(OwnedFd)) {
    for _ in 0..MAX_QUEUED {
        match rustix::net::accept_with(listener, flags) {
            Ok(accepted) => take(accepted),
            Err(Errno::INTR | Errno::CONNABORTED) => {}
            Err(_) => return,
        }
    }
}
