//! Listeners: which may have connections, and how they end.

use std::{
    collections::VecDeque,
    io,
    os::fd::{AsFd, OwnedFd},
    time::Instant,
};

use rustix::{
    io::Errno,
    net::{SocketFlags, accept_with},
};

use super::poller::{Poller, Source};
use crate::net::accept::{Backoff, Taken, take_queued};

const FLAGS: SocketFlags = SocketFlags::CLOEXEC.union(SocketFlags::NONBLOCK);

struct Listener {
    /// `None` once closed.
    fd: Option<OwnedFd>,
    /// The kernel may have connections.
    ready: bool,
    backoff: Backoff,
}

/// The listeners of an engine.
pub(super) struct Acceptor {
    listeners: Vec<Listener>,
    /// The listener asked last; the next one is asked first, so that none waits for another.
    last: usize,
    /// Accepted when their listener closed, or by another shard, and not opened yet.
    queue: VecDeque<Taken>,
    stopping: bool,
    /// What comes is closed at once.
    refusing: bool,
}

impl Acceptor {
    pub(super) fn new() -> Self {
        Self { listeners: Vec::new(), last: 0, queue: VecDeque::new(), stopping: false, refusing: false }
    }

    /// Adds a listening socket.
    ///
    /// # Errors
    ///
    /// The engine stopped accepting, or the socket cannot be watched.
    pub(super) fn add(&mut self, listener: socket2::Socket, poller: &Poller) -> io::Result<()> {
        if self.stopping {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the engine stopped accepting"));
        }
        listener.set_nonblocking(true)?;
        let fd = OwnedFd::from(listener);
        poller.watch(fd.as_fd(), Source::Listener(self.listeners.len()))?;
        self.listeners.push(Listener { fd: Some(fd), ready: false, backoff: Backoff::new() });
        Ok(())
    }

    /// Notes that the kernel has connections for a listener.
    pub(super) fn rung(&mut self, index: usize) {
        if let Some(listener) = self.listeners.get_mut(index) {
            listener.ready = listener.fd.is_some();
        }
    }

    /// Returns the connection accepted first, or accepts one. `None`: there is none.
    ///
    /// # Errors
    ///
    /// What to report; the listener backs off where that helps.
    pub(super) fn next(&mut self) -> io::Result<Option<Taken>> {
        if let Some(accepted) = self.queue.pop_front() {
            return Ok(Some(accepted));
        }
        for _ in 0..self.listeners.len() {
            self.last = (self.last + 1) % self.listeners.len();
            let listener = &mut self.listeners[self.last];
            if let Some(fd) = listener.accept()? {
                return Ok(Some(Taken::accepted(fd, self.last)));
            }
        }
        Ok(None)
    }

    /// Takes a socket that another shard accepted.
    pub(super) fn adopt(&mut self, fd: OwnedFd, listener: usize) {
        if !self.refusing {
            self.queue.push_back(Taken { fd, listener, is_adopted: true });
        }
    }

    /// Puts the socket that [`next`](Self::next) gave back in front.
    pub(super) fn put_back(&mut self, taken: Taken) {
        self.queue.push_front(taken);
    }

    /// Has the listener of a connection that could not be opened wait.
    pub(super) fn back_off(&mut self, index: usize, error: &io::Error) {
        if let Some(listener) = self.listeners.get_mut(index) {
            listener.backoff.failed(error.raw_os_error().unwrap_or(0));
        }
    }

    /// Says whether [`next`](Self::next) may have a connection.
    pub(super) fn may_have_one(&self) -> bool {
        !self.queue.is_empty() || self.listeners.iter().any(Listener::may_accept)
    }

    /// Returns when the first failed listener wants to try again.
    pub(super) fn retry(&self) -> Option<Instant> {
        self.listeners.iter().filter_map(|listener| listener.backoff.retry()).min()
    }

    /// Ends waits that are over.
    pub(super) fn look(&mut self) {
        if self.retry().is_some() {
            let now = Instant::now();
            self.listeners.iter_mut().for_each(|listener| listener.backoff.look(now));
        }
    }

    /// Takes what the kernel has queued for each listener and closes it.
    pub(super) fn stop(&mut self, poller: &Poller) {
        self.stopping = true;
        for (index, listener) in self.listeners.iter_mut().enumerate() {
            if let Some(fd) = listener.close(poller) {
                take_queued(&fd, FLAGS, |accepted| self.queue.push_back(Taken::accepted(accepted, index)));
            }
        }
    }

    /// Closes each listener and what was accepted and not opened.
    pub(super) fn refuse(&mut self, poller: &Poller) {
        (self.stopping, self.refusing) = (true, true);
        self.queue.clear();
        self.listeners.iter_mut().for_each(|listener| drop(listener.close(poller)));
    }

    /// Says whether every listener is closed and every socket it accepted opened.
    pub(super) fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.listeners.iter().all(|listener| listener.fd.is_none())
    }
}

impl Listener {
    fn may_accept(&self) -> bool {
        self.ready && self.backoff.retry().is_none()
    }

    /// Accepts one connection; `None` if there is none or the listener waits.
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

    /// Takes the socket out, to be closed.
    fn close(&mut self, poller: &Poller) -> Option<OwnedFd> {
        self.ready = false;
        self.backoff.end();
        // Other shards may keep the same socket open (Unix).
        self.fd.take().inspect(|fd| poller.forget(fd.as_fd()))
    }
}
