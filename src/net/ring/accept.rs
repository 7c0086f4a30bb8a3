//! The listeners of a ring and their accept operations.

use std::{
    io,
    os::fd::{AsFd, FromRawFd, OwnedFd},
    time::Instant,
};

use rustix::{fs::OFlags, net::SocketFlags};

use super::{
    ops::{self, Kind, Tag},
    queues::{Completion, Queues},
};
use crate::net::accept::{AcceptQueue, Backoff, drain_backlog};

/// State of a listener's accept operation.
///
/// ```text
///          ┌──► Multishot ──┬──► Cancelling
///   Idle ──┤                │         │
///    ▲     └──► Single ─────┘         │
///    └──── last completion of any ────┘
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Accept {
    /// No accept of the listener is in the kernel.
    Idle,
    /// An accept in the kernel accepts until it is cancelled, so it may exceed the connection limit by the
    /// length of the backlog.
    Multishot,
    /// An accept in the kernel accepts one connection, so it never exceeds the connection limit.
    Single,
    /// An accept is in the kernel, with a cancellation submitted.
    Cancelling,
}

struct Listener {
    /// The listening socket. `None` once it is closed.
    fd: Option<OwnedFd>,
    accept: Accept,
    backoff: Backoff,
}

/// The listeners of a ring, and the accepted sockets.
pub(super) struct Acceptor {
    listeners: Vec<Listener>,
    pub(super) queue: AcceptQueue,
}

impl Acceptor {
    pub(super) fn new() -> Self {
        Self { listeners: Vec::new(), queue: AcceptQueue::new() }
    }

    /// Adds a listening socket. [`arm`](Self::arm) starts to accept from it.
    ///
    /// # Errors
    ///
    /// Fails if the ring has stopped accepting, or if the socket cannot be made blocking.
    pub(super) fn add(&mut self, listener: OwnedFd) -> io::Result<()> {
        self.queue.check_accepting()?;
        // On a non-blocking socket the kernel completes the accept with EAGAIN instead of waiting for a
        // connection.
        set_blocking(&listener, true)?;
        self.listeners.push(Listener { fd: Some(listener), accept: Accept::Idle, backoff: Backoff::new() });
        Ok(())
    }

    /// Submits or cancels accepts, and closes stopped listeners.
    ///
    /// `room` is the number of free slots. While it is above `margin`, listeners use multishot accepts. Below
    /// that, each submits a single accept while there is room.
    pub(super) fn arm(&mut self, queues: &mut Queues, room: usize, margin: usize) {
        let now = self.retry_at().map(|_| Instant::now());
        let armed = self.listeners.iter().filter(|listener| listener.accept == Accept::Single).count();
        let mut room = room.saturating_sub(self.queue.len() + armed);
        for (index, listener) in self.listeners.iter_mut().enumerate() {
            if let Some(now) = now {
                listener.backoff.expire(now);
            }
            let tag = Tag::of_ring(Kind::Accept, index);
            match listener.accept {
                Accept::Multishot if room <= margin || self.queue.is_stopped() => {
                    listener.cancel(queues, tag)
                }
                Accept::Single if self.queue.is_stopped() => listener.cancel(queues, tag),
                Accept::Idle if self.queue.is_refusing() => drop(listener.take_socket()),
                Accept::Idle if self.queue.is_stopped() => listener.close(index, &mut self.queue),
                Accept::Idle if listener.backoff.retry_at().is_none() && room > 0 => {
                    listener.submit(queues, tag, room > margin);
                    room -= usize::from(listener.accept == Accept::Single);
                }
                _ => {}
            }
        }
    }

    /// Handles the completion of an accept. Returns an error that should be reported.
    pub(super) fn completed(&mut self, index: usize, completion: Completion) -> Result<(), io::Error> {
        let listener = self.listeners.get_mut(index);
        if completion.result >= 0 {
            // SAFETY: the kernel has just created this descriptor for the completion. Nothing else owns it.
            let fd = unsafe { OwnedFd::from_raw_fd(completion.result) };
            self.queue.push_accepted(fd, index);
        }
        let Some(listener) = listener else { return Ok(()) };
        if !completion.has_more() {
            listener.accept = Accept::Idle;
        }
        if completion.result >= 0 {
            listener.backoff.succeeded();
            return Ok(());
        }
        listener.failed(-completion.result)
    }

    /// Returns the earliest time at which a listener retries after a failure.
    pub(super) fn retry_at(&self) -> Option<Instant> {
        self.listeners.iter().filter_map(|listener| listener.backoff.retry_at()).min()
    }

    /// Returns `true` if every listener is closed and the queue is empty.
    pub(super) fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.listeners.iter().all(|listener| listener.fd.is_none())
    }
}

impl Listener {
    fn submit(&mut self, queues: &mut Queues, tag: Tag, multishot: bool) {
        let Some(fd) = &self.fd else { return };
        let (accept, entry) = if multishot {
            (Accept::Multishot, ops::accept_multishot(fd.as_fd(), tag))
        } else {
            (Accept::Single, ops::accept_single(fd.as_fd(), tag))
        };
        self.accept = accept;
        // SAFETY: the entry refers to no memory. The socket is closed by `take_socket`, which is called only
        // while no accept is in the kernel, or together with the ring.
        unsafe { queues.push(&entry) }
    }

    fn cancel(&mut self, queues: &mut Queues, tag: Tag) {
        self.accept = Accept::Cancelling;
        // SAFETY: the entry refers to no memory and no descriptor.
        unsafe { queues.push(&ops::cancel(tag)) }
    }

    /// Starts a pause after a failed accept. Returns an error that should be reported.
    fn failed(&mut self, errno: i32) -> Result<(), io::Error> {
        if errno == libc::ECANCELED {
            return Ok(());
        }
        let error = self.backoff.failed(errno);
        // EAGAIN is no failure: another shard that shares this listener has made it non-blocking in order to
        // stop.
        if errno == libc::EAGAIN { Ok(()) } else { Err(error) }
    }

    fn take_socket(&mut self) -> Option<OwnedFd> {
        self.backoff.cancel();
        self.fd.take()
    }

    /// Moves the connections of the kernel's backlog to the queue, then closes the listener.
    fn close(&mut self, index: usize, queue: &mut AcceptQueue) {
        let Some(fd) = self.take_socket() else { return };
        if set_blocking(&fd, false).is_err() {
            return;
        }
        drain_backlog(&fd, SocketFlags::CLOEXEC, |accepted| queue.push_accepted(accepted, index));
    }
}

fn set_blocking(fd: &OwnedFd, blocking: bool) -> io::Result<()> {
    let mut flags = rustix::fs::fcntl_getfl(fd)?;
    flags.set(OFlags::NONBLOCK, !blocking);
    Ok(rustix::fs::fcntl_setfl(fd, flags)?)
}
