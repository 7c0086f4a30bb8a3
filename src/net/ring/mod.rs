//! The io_uring engine: one ring for the sockets of a shard; must not know protocols or the epoll engine.
//!
//! A turn makes at most one system call. The call submits the operations queued since the last turn and waits
//! for completions, which the turn then handles.
//!
//! - Accepts and receives are multishot: one submission produces many completions.
//! - The kernel puts received bytes into buffers that all connections share.
//! - All sends of a turn are submitted together. A connection has at most one send in flight.
//!
//! # Memory that the kernel uses
//!
//! Only this module may use `unsafe`. These rules make it sound:
//!
//! - A connection leaves its slot only when the kernel owes it no completion. Until then its socket, the
//!   bytes being sent and the structures that point to them stay at their address. Each is behind its own
//!   heap allocation.
//! - A generation prevents mix-ups, not memory errors: a completion for an earlier connection of a slot is
//!   ignored.
//! - A receive buffer is borrowed for one call. It goes back to the kernel at the end of the batch.
//! - Dropping the ring cancels every operation and waits for the last completion, within a time limit. If one
//!   is still missing then, or if the thread panics, the memory that the kernel may use is leaked instead of
//!   freed.
//! - Every count is updated before the handler is called. A handler may thus panic without endangering
//!   memory, even if the panic is caught and the ring is used again.

#![allow(unsafe_code)]

mod accept;
mod buffers;
mod closing;
mod doorbell;
mod operations;
mod ops;
mod outgoing;
mod probe;
mod queues;
mod recheck;
mod starved;
mod timer;
mod transfer;
mod turn;

#[cfg(test)]
mod tests;

pub use self::probe::{ProbeError, probe};

use std::{
    io,
    marker::PhantomData,
    os::fd::{BorrowedFd, OwnedFd},
    time::Duration,
};

use windlass_actors::Wait;

use self::{
    accept::Acceptor,
    buffers::Buffers,
    doorbell::Doorbell,
    operations::Socket,
    outgoing::SendPool,
    queues::{Completion, Queues},
    recheck::Rechecks,
    starved::Starved,
    timer::Timer,
};
use crate::net::{
    engine::{Closed, Connection, Engine, EngineOptions, EventHandler},
    slots::{ConnId, Slots},
};

/// The io_uring engine of one shard. `T` is the handler's connection type.
///
/// A ring is created, used and dropped on one thread. See [`Engine`] for its interface.
pub struct Ring<T: Connection> {
    options: EngineOptions,
    queues: Queues,
    sockets: Slots<Socket<T>>,
    buffers: Buffers,
    pool: SendPool,
    acceptor: Acceptor,
    doorbell: Doorbell,
    timer: Timer,
    /// Completions of the last system call.
    batch: Vec<Completion>,
    /// Index of the first completion in `batch` that is not handled yet.
    next: usize,
    /// Connections whose state may have changed, each once. The turn acts on them before its system call.
    dirty: Vec<ConnId>,
    starved: Starved,
    rechecks: Rechecks,
    /// Since the turn began, all completions that were pending at some time were handled.
    is_caught_up: bool,
    /// Accepted sockets may go to another shard while this one has no free slot.
    can_hand_over: bool,
    /// The handler was called since the turn began. The shard must check the handler's state before a wait.
    handler_called: bool,
    /// Makes the type `!Send`: the kernel accepts submissions from one thread only.
    _on_one_thread: PhantomData<*const ()>,
}

impl<T: Connection> Ring<T> {
    /// Creates a ring from newly opened queues.
    fn with_queues(
        mut queues: Queues,
        options: &EngineOptions,
        doorbell: BorrowedFd<'_>,
    ) -> io::Result<Self> {
        let buffers = Buffers::register(&queues, options)?;
        let starved = Starved::new(buffers.buffer_bytes());
        let doorbell = Doorbell::new(doorbell)?;
        doorbell.arm(&mut queues);
        let options = options.clamped(ops::MAX_SLOTS);
        Ok(Self {
            queues,
            sockets: Slots::new(),
            buffers,
            pool: SendPool::new(),
            acceptor: Acceptor::new(),
            doorbell,
            timer: Timer::new(),
            batch: Vec::with_capacity(options.batch),
            next: 0,
            dirty: Vec::with_capacity(options.batch),
            starved,
            rechecks: Rechecks::default(),
            is_caught_up: false,
            can_hand_over: false,
            handler_called: false,
            options,
            _on_one_thread: PhantomData,
        })
    }

    /// Returns the number of receives that found no free buffer. If it keeps growing, there are too few
    /// buffers.
    pub fn starvations(&self) -> u64 {
        self.starved.count()
    }
}

impl<H> Engine<H> for Ring<H::Conn>
where
    H: EventHandler,
    H::Conn: 'static,
{
    fn new(options: &EngineOptions, doorbell: BorrowedFd<'_>) -> io::Result<Self> {
        Self::with_queues(Queues::new()?, options, doorbell)
    }

    fn listen(&mut self, listener: socket2::Socket) -> io::Result<()> {
        self.acceptor.add(listener.into())?;
        self.arm_accepts();
        Ok(())
    }

    fn adopt(&mut self, fd: OwnedFd, listener: usize) {
        self.acceptor.queue.push_adopted(fd, listener);
    }

    fn turn(&mut self, handler: &mut H, wait: Wait) -> io::Result<()> {
        self.run(handler, wait)
    }

    fn visit(&mut self, handler: &mut H, id: ConnId, f: impl FnOnce(&mut H, &mut H::Conn)) -> bool {
        self.with_conn(id, |conn| f(handler, conn))
    }

    fn catch_up(&mut self, handler: &mut H, id: ConnId) -> io::Result<bool> {
        Ok(self.complete_pending(handler)? && self.receive_now(handler, id))
    }

    fn visit_all(&mut self, handler: &mut H, mut f: impl FnMut(&mut H, ConnId, &mut H::Conn)) {
        for slot in 0..self.sockets.capacity() {
            if let Some(id) = self.sockets.id_at(slot) {
                self.with_conn(id, |conn| f(handler, id, conn));
            }
        }
    }

    fn inspect_all(&self, mut f: impl FnMut(ConnId, &H::Conn)) {
        self.sockets.iter().for_each(|(id, socket)| f(id, &socket.conn));
    }

    fn connections(&self) -> usize {
        self.sockets.len()
    }

    fn stop_accepting(&mut self, _handler: &mut H) {
        self.acceptor.queue.stop();
        self.arm_accepts();
    }

    fn pending(&self) -> bool {
        self.next < self.batch.len()
            || self.queues.has_completions()
            || self.can_open()
            || !self.starved.is_empty()
    }

    fn starved_for(&self) -> Duration {
        self.starved.longest_wait()
    }

    fn is_idle(&self) -> bool {
        self.sockets.len() == 0 && self.acceptor.is_idle()
    }

    fn abort_all(&mut self, handler: &mut H) {
        self.acceptor.queue.refuse();
        self.arm_accepts();
        for slot in 0..self.sockets.capacity() {
            if let Some(id) = self.sockets.id_at(slot) {
                self.close(handler, id, Closed::Aborted);
            }
        }
    }
}
