//! The listeners of an engine.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    time::Instant,
};

use rustix::{
    io::Errno,
    net::{SocketFlags, accept_with},
};

use super::poller::{Poller, Source};
use crate::net::accept::{AcceptQueue, Backoff, PendingSocket, drain_backlog};

/// Flags of accepted sockets.
const FLAGS: SocketFlags = SocketFlags::CLOEXEC.union(SocketFlags::NONBLOCK);

struct Listener {
    /// The listening socket. `None` once it is closed.
    fd: Option<OwnedFd>,
    /// The backlog may hold connections.
    ready: bool,
    backoff: Backoff,
}

/// The listeners of an engine, and the accepted sockets.
///
/// The queue holds the sockets of closed listeners and of other shards. Otherwise the engine accepts a socket
/// only when it can open it.
pub(super) struct Acceptor {
    listeners: Vec<Listener>,
    /// Index of the listener that was asked last. The next call asks the one after it, so that all get their
    /// turn.
    last: usize,
    pub(super) queue: AcceptQueue,
}

impl Acceptor {
    pub(super) fn new() -> Self {
        Self { listeners: Vec::new(), last: 0, queue: AcceptQueue::new() }
    }

    /// Adds a listening socket.
    ///
    /// # Errors
    ///
    /// Fails if the engine has stopped accepting, or if the socket cannot be watched.
    pub(super) fn add(&mut self, listener: socket2::Socket, poller: &Poller) -> io::Result<()> {
        self.queue.check_accepting()?;
        listener.set_nonblocking(true)?;
        let fd = OwnedFd::from(listener);
        poller.watch(fd.as_fd(), Source::Listener(self.listeners.len()))?;
        self.listeners.push(Listener { fd: Some(fd), ready: false, backoff: Backoff::new() });
        Ok(())
    }

    /// Marks a listener whose backlog has connections.
    pub(super) fn mark_ready(&mut self, index: usize) {
        if let Some(listener) = self.listeners.get_mut(index) {
            listener.ready = listener.fd.is_some();
        }
    }

    /// Returns the oldest socket in the queue, or else accepts one. Returns `None` if there is none.
    ///
    /// # Errors
    ///
    /// Fails if an accept fails. The listener then pauses if a retry would fail too.
    pub(super) fn next(&mut self) -> io::Result<Option<PendingSocket>> {
        if let Some(pending) = self.queue.pop() {
            return Ok(Some(pending));
        }
        for _ in 0..self.listeners.len() {
            self.last = (self.last + 1) % self.listeners.len();
            let listener = &mut self.listeners[self.last];
            if let Some(fd) = listener.accept()? {
                return Ok(Some(PendingSocket { fd, listener: self.last, is_adopted: false }));
            }
        }
        Ok(None)
    }

    /// Starts a pause of a listener whose connection could not be opened.
    pub(super) fn back_off(&mut self, index: usize, error: &io::Error) {
        if let Some(listener) = self.listeners.get_mut(index) {
            listener.backoff.failed(error.raw_os_error().unwrap_or(0));
        }
    }

    /// Returns `true` if [`next`](Self::next) may return a connection.
    pub(super) fn may_have_next(&self) -> bool {
        !self.queue.is_empty() || self.listeners.iter().any(Listener::may_accept)
    }

    /// Returns the earliest time at which a listener retries after a failure.
    pub(super) fn retry_at(&self) -> Option<Instant> {
        self.listeners.iter().filter_map(|listener| listener.backoff.retry_at()).min()
    }

    /// Ends the pauses whose time is over.
    pub(super) fn expire_backoffs(&mut self) {
        if self.retry_at().is_some() {
            let now = Instant::now();
            self.listeners.iter_mut().for_each(|listener| listener.backoff.expire(now));
        }
    }

    /// Moves the connections of the kernel's backlogs to the queue and closes the listeners.
    pub(super) fn stop(&mut self, poller: &Poller) {
        self.queue.stop();
        for (index, listener) in self.listeners.iter_mut().enumerate() {
            if let Some(fd) = listener.close(poller) {
                drain_backlog(&fd, FLAGS, |accepted| self.queue.push_accepted(accepted, index));
            }
        }
    }

    /// Closes the listeners and the sockets in the queue.
    pub(super) fn refuse(&mut self, poller: &Poller) {
        self.queue.refuse();
        self.listeners.iter_mut().for_each(|listener| drop(listener.close(poller)));
    }

    /// Returns `true` if every listener is closed and the queue is empty.
    pub(super) fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.listeners.iter().all(|listener| listener.fd.is_none())
    }
}

impl Listener {
    fn may_accept(&self) -> bool {
        self.ready && self.backoff.retry_at().is_none()
    }

    /// Accepts one connection. Returns `None` if there is none, or if the listener pauses.
    fn accept(&mut self) -> io::Result<Option<OwnedFd>> {
        let Some(fd) = self.fd.as_ref().filter(|_| self.may_accept()) else { return Ok(None) };
        match accept_with(fd, FLAGS) {
            Ok(accepted) => {
                self.backoff.succeeded();
                Ok(Some(accepted))
            }
            Err(Errno::AGAIN) => {
                self.ready = false;
                Ok(None)
            }
            Err(error) => Err(self.backoff.failed(error.raw_os_error())),
        }
    }

    /// Removes and returns the socket. Dropping it closes the listener.
    fn close(&mut self, poller: &Poller) -> Option<OwnedFd> {
        self.ready = false;
        self.backoff.cancel();
        // Other shards may keep the same Unix socket open. It must be unregistered, because closing is not
        // enough.
        self.fd.take().inspect(|fd| poller.unwatch(fd.as_fd()))
    }
}
