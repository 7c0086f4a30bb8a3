//! Listeners: when an accept is in the kernel, and of which kind.

use std::{
    collections::VecDeque,
    io,
    os::fd::{AsFd, FromRawFd, OwnedFd},
    time::Instant,
};

use rustix::{fs::OFlags, net::SocketFlags};

use super::{
    ops::{self, Kind, Tag},
    queues::{Completion, Queues},
};
use crate::net::accept::{Backoff, Taken, take_queued};

/// Which accept the kernel runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Op {
    Idle,
    /// Accepts again and again: may overshoot the connection limit by what the kernel has queued.
    Many,
    /// Accepts once: never overshoots.
    One,
    Cancelling,
}

struct Listener {
    /// `None` once closed.
    fd: Option<OwnedFd>,
    op: Op,
    backoff: Backoff,
}

/// The listeners of a ring and the sockets they accepted.
pub(super) struct Acceptor {
    listeners: Vec<Listener>,
    /// Accepted and not opened yet.
    queue: VecDeque<Taken>,
    stopping: bool,
    /// What is accepted from here on is closed at once.
    refusing: bool,
}

impl Acceptor {
    pub(super) fn new() -> Self {
        Self { listeners: Vec::new(), queue: VecDeque::new(), stopping: false, refusing: false }
    }

    /// Adds a listening socket; [`arm`](Self::arm) starts it.
    ///
    /// # Errors
    ///
    /// The ring stopped accepting, or the socket has no blocking mode.
    pub(super) fn add(&mut self, listener: OwnedFd) -> io::Result<()> {
        if self.stopping {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the engine stopped accepting"));
        }
        // The kernel waits for readiness only on a blocking socket; on others it answers EAGAIN.
        set_blocking(&listener, true)?;
        self.listeners.push(Listener { fd: Some(listener), op: Op::Idle, backoff: Backoff::new() });
        Ok(())
    }

    /// Puts into the kernel what `room` more connections allow: multishot accepts while far from the limit,
    /// single ones near it, none at it.
    pub(super) fn arm(&mut self, queues: &mut Queues, room: usize, margin: usize) {
        let now = self.retry().map(|_| Instant::now());
        let armed = self.listeners.iter().filter(|listener| listener.op == Op::One).count();
        let mut room = room.saturating_sub(self.queue.len() + armed);
        for (index, listener) in self.listeners.iter_mut().enumerate() {
            if let Some(now) = now {
                listener.backoff.look(now);
            }
            let tag = Tag::own(Kind::Accept, index);
            match listener.op {
                Op::Many if room <= margin || self.stopping => listener.cancel(queues, tag),
                Op::One if self.stopping => listener.cancel(queues, tag),
                Op::Idle if self.refusing => drop(listener.drop_socket()),
                Op::Idle if self.stopping => listener.close(index, &mut self.queue),
                Op::Idle if listener.backoff.retry().is_none() && room > 0 => {
                    listener.start(queues, tag, room > margin);
                    room -= usize::from(listener.op == Op::One);
                }
                _ => {}
            }
        }
    }

    /// Takes what an accept completed with; an error to report is returned.
    pub(super) fn completed(&mut self, index: usize, completion: Completion) -> Result<(), io::Error> {
        let listener = self.listeners.get_mut(index);
        if completion.result >= 0 {
            // SAFETY: the kernel just made this descriptor for us; nobody else knows it.
            let fd = unsafe { OwnedFd::from_raw_fd(completion.result) };
            if !self.refusing {
                self.queue.push_back(Taken::accepted(fd, index));
            }
        }
        let Some(listener) = listener else { return Ok(()) };
        if !completion.more() {
            listener.op = Op::Idle;
        }
        if completion.result >= 0 {
            listener.backoff.succeeded();
            return Ok(());
        }
        listener.failed(-completion.result)
    }

    /// Returns the socket accepted first.
    pub(super) fn next(&mut self) -> Option<Taken> {
        self.queue.pop_front()
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

    /// Says whether accepted sockets wait to be opened.
    pub(super) fn queued(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Closes what was accepted and not opened, and each listener once [`arm`](Self::arm) sees no accept running.
    pub(super) fn refuse(&mut self) {
        self.stopping = true;
        self.refusing = true;
        self.queue.clear();
    }

    /// Returns when the first failed listener wants to try again.
    pub(super) fn retry(&self) -> Option<Instant> {
        self.listeners.iter().filter_map(|listener| listener.backoff.retry()).min()
    }

    /// Lets each listener take what the kernel has queued, then closes it; [`arm`](Self::arm) does it.
    pub(super) fn stop(&mut self) {
        self.stopping = true;
    }

    /// Says whether every listener is closed and every socket it accepted opened.
    pub(super) fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.listeners.iter().all(|listener| listener.fd.is_none())
    }
}

impl Listener {
    fn start(&mut self, queues: &mut Queues, tag: Tag, many: bool) {
        let Some(fd) = &self.fd else { return };
        let (op, entry) = if many {
            (Op::Many, ops::accept_many(fd.as_fd(), tag))
        } else {
            (Op::One, ops::accept_one(fd.as_fd(), tag))
        };
        self.op = op;
        // SAFETY: names no memory; the socket is closed in `close` only, when no accept is in the kernel, or with
        // the ring.
        unsafe { queues.push(&entry) }
    }

    fn cancel(&mut self, queues: &mut Queues, tag: Tag) {
        self.op = Op::Cancelling;
        // SAFETY: names neither memory nor a descriptor.
        unsafe { queues.push(&ops::cancel(tag)) }
    }

    /// Notes a failed accept; the error to report is returned.
    fn failed(&mut self, errno: i32) -> Result<(), io::Error> {
        if errno == libc::ECANCELED {
            return Ok(());
        }
        let error = self.backoff.failed(errno);
        // Another shard stops and shares this listener: it made it non-blocking.
        if errno == libc::EAGAIN { Ok(()) } else { Err(error) }
    }

    fn drop_socket(&mut self) -> Option<OwnedFd> {
        self.backoff.end();
        self.fd.take()
    }

    /// Takes the connections the kernel completed, then closes.
    fn close(&mut self, index: usize, queue: &mut VecDeque<Taken>) {
        let Some(fd) = self.drop_socket() else { return };
        if set_blocking(&fd, false).is_err() {
            return;
        }
        take_queued(&fd, SocketFlags::CLOEXEC, |accepted| queue.push_back(Taken::accepted(accepted, index)));
    }
}

fn set_blocking(fd: &OwnedFd, blocking: bool) -> io::Result<()> {
    let mut flags = rustix::fs::fcntl_getfl(fd)?;
    flags.set(OFlags::NONBLOCK, !blocking);
    Ok(rustix::fs::fcntl_setfl(fd, flags)?)
}
