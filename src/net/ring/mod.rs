//! The io_uring engine: a ring of our own for the sockets of one shard.
//!
//! One turn is at most one system call: it submits what the last turn queued, waits, and hands over what
//! completed. Accepts and receives are multishot, received bytes lie in buffers all connections share, and sends
//! leave as one batch, at most one in flight per connection.
//!
//! # Memory the kernel touches
//!
//! This module alone may use `unsafe`; these rules make it sound.
//!
//! - A connection leaves its slot only when the kernel owes it no completion. Until then its socket, the bytes
//!   being sent and the structures that point to them stay where they are (behind a heap allocation each).
//! - Generations guard against confusion, not memory: a completion for an earlier connection is ignored.
//! - Receive buffers are borrowed for the time of one call; they go back to the kernel when the batch is done.
//! - Dropping the ring cancels everything and waits, boundedly, for the last completion. If one stays out, or if
//!   the thread panics, the memory the kernel may touch is leaked instead of freed.
//! - Every count is updated before the handler is called. So a handler may panic, and even be called again after
//!   somebody caught the panic, without endangering memory.

#![allow(unsafe_code)]

mod accept;
mod buffers;
mod closing;
mod conn;
mod doorbell;
mod ops;
mod outgoing;
mod probe;
mod queues;
mod timer;
mod transfer;
mod turn;

#[cfg(test)]
mod tests;

pub use self::probe::{ProbeError, probe};

use std::{
    collections::VecDeque,
    io,
    marker::PhantomData,
    os::fd::{BorrowedFd, OwnedFd},
};

use self::{
    accept::Acceptor,
    buffers::Buffers,
    conn::Conn,
    doorbell::Doorbell,
    outgoing::SendPool,
    queues::{Completion, Queues},
    timer::Timer,
};
use crate::net::{Closed, ConnId, Connection, Engine, EngineOptions, EventHandler, Wait, slots::Slots};

/// The sockets of one shard, driven by one io_uring; `L` is the handler's connection.
///
/// Made, used and dropped on one thread. See [`Engine`] for what it does.
pub struct Ring<L: Connection> {
    options: EngineOptions,
    queues: Queues,
    slots: Slots<Conn<L>>,
    buffers: Buffers,
    pool: SendPool,
    acceptor: Acceptor,
    doorbell: Doorbell,
    timer: Timer,
    /// Completions reaped; those from `next` on wait to be handled.
    batch: Vec<Completion>,
    next: usize,
    /// Connections to look at before the next enter, each once.
    dirty: Vec<ConnId>,
    /// Connections whose receive found no buffer, first come first served.
    starved: VecDeque<ConnId>,
    starvations: u64,
    /// Without a free slot: whether another shard has one.
    elsewhere: bool,
    /// The handler was called since the turn began, so the shard must look at its state before a wait.
    called: bool,
    /// The kernel allows the ring's own thread only.
    _on_one_thread: PhantomData<*const ()>,
}

impl<L: Connection> Ring<L> {
    /// Makes a ring over queues just opened.
    fn over(mut queues: Queues, options: &EngineOptions, doorbell: BorrowedFd<'_>) -> io::Result<Self> {
        let buffers = Buffers::offered(&queues, options)?;
        let doorbell = Doorbell::new(doorbell)?;
        doorbell.arm(&mut queues);
        let mut options = options.clone();
        options.max_connections = options.max_connections.clamp(1, ops::MAX_SLOTS);
        options.batch = options.batch.max(1);
        options.accepts_per_turn = options.accepts_per_turn.max(1);
        Ok(Self {
            queues,
            slots: Slots::new(),
            buffers,
            pool: SendPool::new(),
            acceptor: Acceptor::new(),
            doorbell,
            timer: Timer::new(),
            batch: Vec::with_capacity(options.batch),
            next: 0,
            dirty: Vec::with_capacity(options.batch),
            starved: VecDeque::new(),
            starvations: 0,
            elsewhere: false,
            called: false,
            options,
            _on_one_thread: PhantomData,
        })
    }

    /// Returns how often a receive found no buffer: more than now and then means too few of them.
    pub fn starvations(&self) -> u64 {
        self.starvations
    }
}

impl<C> Engine<C> for Ring<C::Conn>
where
    C: EventHandler,
    C::Conn: 'static,
{
    fn new(options: &EngineOptions, doorbell: BorrowedFd<'_>) -> io::Result<Self> {
        Self::over(Queues::new()?, options, doorbell)
    }

    fn listen(&mut self, listener: socket2::Socket) -> io::Result<()> {
        self.acceptor.add(listener.into())?;
        self.arm_accepts();
        Ok(())
    }

    fn adopt(&mut self, fd: OwnedFd, listener: usize) {
        self.acceptor.adopt(fd, listener);
    }

    fn turn(&mut self, handler: &mut C, wait: Wait) -> io::Result<()> {
        self.run(handler, wait)
    }

    fn visit(&mut self, handler: &mut C, id: ConnId, f: impl FnOnce(&mut C, &mut C::Conn)) -> bool {
        self.show(id, |link| f(handler, link))
    }

    fn visit_all(&mut self, handler: &mut C, mut f: impl FnMut(&mut C, ConnId, &mut C::Conn)) {
        for slot in 0..self.slots.capacity() {
            if let Some(id) = self.slots.at(slot) {
                self.show(id, |link| f(handler, id, link));
            }
        }
    }

    fn inspect_all(&mut self, mut f: impl FnMut(ConnId, &C::Conn)) {
        for slot in 0..self.slots.capacity() {
            let Some(id) = self.slots.at(slot) else { continue };
            if let Some(conn) = self.slots.find(id) {
                f(id, &conn.link);
            }
        }
    }

    fn connections(&self) -> usize {
        self.slots.len()
    }

    fn stop_accepting(&mut self, _carrier: &mut C) {
        self.acceptor.stop();
        self.arm_accepts();
    }

    fn pending(&self) -> bool {
        self.next < self.batch.len() || self.queues.ready() || self.may_open()
    }

    fn is_idle(&self) -> bool {
        self.slots.len() == 0 && self.acceptor.is_idle()
    }

    fn abort_all(&mut self, handler: &mut C) {
        self.acceptor.refuse();
        self.arm_accepts();
        for slot in 0..self.slots.capacity() {
            if let Some(id) = self.slots.at(slot) {
                self.close(handler, id, Closed::Aborted);
            }
        }
    }
}
