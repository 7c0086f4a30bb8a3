//! The parts of accepting that both socket engines share: the queue of accepted sockets and the pause after a
//! failed accept.

use std::{
    collections::VecDeque,
    io,
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

use rustix::{io::Errno, net::SocketFlags};

use super::engine::EventHandler;

/// Pause after the first failed accept. Each further failure doubles it.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
/// Longest pause after a failed accept.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// Maximum number of connections taken from a listener's backlog when it stops. No backlog is this long.
const MAX_BACKLOG: usize = 1 << 16;

/// An accepted socket without a slot.
#[derive(Debug)]
pub(super) struct PendingSocket {
    pub(super) fd: OwnedFd,
    /// Index of its listener.
    pub(super) listener: usize,
    /// `true` if another shard accepted it.
    pub(super) is_adopted: bool,
}

impl PendingSocket {
    /// Gives the socket to another shard if the handler wants that, or returns it. An adopted socket stays.
    pub(super) fn keep_or_hand_over<H: EventHandler>(self, handler: &mut H) -> Option<Self> {
        if self.is_adopted {
            return Some(self);
        }
        let Self { fd, listener, .. } = self;
        handler.hand_over(fd, listener).map(|fd| Self { fd, listener, is_adopted: false })
    }
}

/// Phase of accepting.
///
/// ```text
///   Accepting ── stop ──► Draining ── refuse ──► Refusing
///       └───────────────── refuse ──────────────────▲
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The listeners accept connections.
    Accepting,
    /// The listeners are emptied and closed. Sockets in the queue are still opened.
    Draining,
    /// The listeners are closed. New sockets are dropped, which closes them.
    Refusing,
}

/// Accepted sockets that wait for a slot, first come first served.
#[derive(Debug)]
pub(super) struct AcceptQueue {
    sockets: VecDeque<PendingSocket>,
    phase: Phase,
}

impl AcceptQueue {
    pub(super) fn new() -> Self {
        Self { sockets: VecDeque::new(), phase: Phase::Accepting }
    }

    /// Adds a socket that this engine accepted, unless the queue refuses sockets.
    pub(super) fn push_accepted(&mut self, fd: OwnedFd, listener: usize) {
        self.push(PendingSocket { fd, listener, is_adopted: false });
    }

    /// Adds a socket that another shard accepted, unless the queue refuses sockets.
    pub(super) fn push_adopted(&mut self, fd: OwnedFd, listener: usize) {
        self.push(PendingSocket { fd, listener, is_adopted: true });
    }

    fn push(&mut self, socket: PendingSocket) {
        if self.phase != Phase::Refusing {
            self.sockets.push_back(socket);
        }
    }

    /// Removes and returns the oldest socket, or `None` if the queue is empty.
    pub(super) fn pop(&mut self) -> Option<PendingSocket> {
        self.sockets.pop_front()
    }

    /// Puts a socket from [`pop`](Self::pop) back to the front.
    pub(super) fn put_back(&mut self, socket: PendingSocket) {
        self.sockets.push_front(socket);
    }

    #[cfg(feature = "io-uring")]
    pub(super) fn len(&self) -> usize {
        self.sockets.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sockets.is_empty()
    }

    /// Stops accepting. Sockets in the queue and in the listeners' backlogs are still opened.
    pub(super) fn stop(&mut self) {
        if self.phase == Phase::Accepting {
            self.phase = Phase::Draining;
        }
    }

    /// Closes all sockets in the queue and those added later.
    pub(super) fn refuse(&mut self) {
        self.phase = Phase::Refusing;
        self.sockets.clear();
    }

    /// Returns `true` after [`stop`](Self::stop) or [`refuse`](Self::refuse).
    #[cfg(feature = "io-uring")]
    pub(super) fn is_stopped(&self) -> bool {
        self.phase != Phase::Accepting
    }

    /// Returns `true` after [`refuse`](Self::refuse).
    #[cfg(feature = "io-uring")]
    pub(super) fn is_refusing(&self) -> bool {
        self.phase == Phase::Refusing
    }

    /// Returns an error if the engine has stopped accepting connections and takes no more listeners.
    pub(super) fn check_accepting(&self) -> io::Result<()> {
        match self.phase {
            Phase::Accepting => Ok(()),
            _ => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the engine has stopped accepting connections",
            )),
        }
    }
}

/// Pause of a listener after a failed accept. It delays retries that would fail again.
#[derive(Debug)]
pub(super) struct Backoff {
    /// Length of the pause after the next failure.
    pause: Duration,
    /// End of the current pause.
    retry_at: Option<Instant>,
}

impl Backoff {
    pub(super) fn new() -> Self {
        Self { pause: FIRST_PAUSE, retry_at: None }
    }

    /// Returns the end of the current pause, or `None` if there is no pause.
    pub(super) fn retry_at(&self) -> Option<Instant> {
        self.retry_at
    }

    /// Ends the pause if its time is over.
    pub(super) fn expire(&mut self, now: Instant) {
        if self.retry_at.is_some_and(|retry_at| retry_at <= now) {
            self.retry_at = None;
        }
    }

    /// Ends the pause at once.
    pub(super) fn cancel(&mut self) {
        self.retry_at = None;
    }

    /// Resets the length of the pause after a successful accept.
    pub(super) fn succeeded(&mut self) {
        self.pause = FIRST_PAUSE;
    }

    /// Starts a pause after a failed accept, and returns the failure as an error.
    ///
    /// There is no pause if the failure concerns only the one connection, such as one that the peer has
    /// reset.
    pub(super) fn failed(&mut self, errno: i32) -> io::Error {
        match errno {
            libc::EINTR | libc::ECONNABORTED | libc::EPROTO => {}
            libc::EPERM | libc::ENETDOWN | libc::ENOPROTOOPT | libc::EHOSTDOWN => {}
            libc::ENONET | libc::EHOSTUNREACH | libc::EOPNOTSUPP | libc::ENETUNREACH => {}
            _ => {
                self.retry_at = Some(Instant::now() + self.pause);
                self.pause = (self.pause * 2).min(LONGEST_PAUSE);
            }
        }
        io::Error::from_raw_os_error(errno)
    }
}

/// Accepts the connections in the backlog of a non-blocking listener, at most [`MAX_BACKLOG`], and passes
/// them to `accepted`. Stops at the first error that is not about a single connection.
pub(super) fn drain_backlog(listener: &OwnedFd, flags: SocketFlags, mut accepted: impl FnMut(OwnedFd)) {
    for _ in 0..MAX_BACKLOG {
        match rustix::net::accept_with(listener, flags) {
            Ok(fd) => accepted(fd),
            Err(Errno::INTR | Errno::CONNABORTED) => {}
            Err(_) => return,
        }
    }
}
