//! The epoll engine, where io_uring is missing or forbidden; must not know protocols or the io_uring engine.
//!
//! Container runtimes often forbid io_uring. A turn waits once, then reads, then writes. A request on an open
//! connection costs a `recv`, a `send` and a share of the wait.
//!
//! - Each descriptor is registered once, when it is opened, and edge-triggered. So the engine remembers what
//!   the kernel reported and forgets it only when a call finds nothing left. A connection that is not read to
//!   its end, because it is paused or has used up its share of the turn, needs no new event to continue.
//! - A `recv` that does not fill the buffer has read everything, and a `send` that is cut short has filled
//!   the socket. The next call would only return `EAGAIN`, so it is not made: the next bytes or the next room
//!   cause a new event. The exception is a FIN or an error that was reported together with the bytes. Then
//!   the socket is read again.
//! - All connections share one receive buffer. The handler gets its bytes before the next connection is read.
//! - Room to write is watched from the first time that a peer reads slowly.

mod accept;
mod closing;
mod outgoing;
mod poller;
mod readiness;
mod timer;
mod transfer;
mod turn;

#[cfg(test)]
mod tests;

use std::{
    collections::VecDeque,
    io,
    os::fd::{BorrowedFd, OwnedFd},
};

use windlass_actors::Wait;

use self::{accept::Acceptor, poller::Poller, readiness::Socket, timer::Timer};
use crate::net::{
    buffer_pool::BufferPool,
    engine::{Closed, Connection, Engine, EngineOptions, EventHandler},
    slots::{ConnId, Slots},
};

/// Size of the one receive buffer, as a multiple of [`EngineOptions::buffer_bytes`].
///
/// A large buffer saves calls when many bytes arrive. It costs little memory, because there is only one.
const BUFFER_SIZE_FACTOR: usize = 8;

/// The epoll engine of one shard. `T` is the handler's connection type.
///
/// See [`Engine`] for its interface. If the handler panics, the event that it was called for is lost, and
/// nothing else.
pub struct Epoll<T: Connection> {
    options: EngineOptions,
    poller: Poller,
    sockets: Slots<Socket<T>>,
    acceptor: Acceptor,
    timer: Timer,
    /// Received bytes of one connection, until the handler has taken them.
    buffer: Box<[u8]>,
    pool: BufferPool,
    /// Connections that may have something to read, each once.
    read_queue: VecDeque<ConnId>,
    /// Connections whose state may have changed, each once. The turn acts on them before it waits.
    dirty: VecDeque<ConnId>,
    /// Accepted sockets may go to another shard while this one has no free slot.
    can_hand_over: bool,
    /// The handler was called, or the result of [`Engine::is_idle`] may have changed, since the last turn
    /// ended. The shard must check both before a wait.
    skip_wait: bool,
}

impl<H> Engine<H> for Epoll<H::Conn>
where
    H: EventHandler,
    H::Conn: 'static,
{
    fn new(options: &EngineOptions, doorbell: BorrowedFd<'_>) -> io::Result<Self> {
        let options = options.clamped(poller::MAX_SLOTS);
        let poller = Poller::new(doorbell, options.batch)?;
        let timer = Timer::new(&poller)?;
        Ok(Self {
            poller,
            sockets: Slots::new(),
            acceptor: Acceptor::new(),
            timer,
            buffer: vec![0; options.buffer_bytes.max(1) * BUFFER_SIZE_FACTOR].into_boxed_slice(),
            pool: BufferPool::new(),
            read_queue: VecDeque::with_capacity(options.batch),
            dirty: VecDeque::with_capacity(options.batch),
            can_hand_over: false,
            skip_wait: false,
            options,
        })
    }

    fn listen(&mut self, listener: socket2::Socket) -> io::Result<()> {
        self.acceptor.add(listener, &self.poller)
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
        self.transfer_unannounced(handler, id);
        Ok(true)
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
        self.acceptor.stop(&self.poller);
        self.skip_wait = true;
    }

    fn pending(&self) -> bool {
        !self.read_queue.is_empty() || self.can_open()
    }

    fn is_idle(&self) -> bool {
        self.sockets.len() == 0 && self.acceptor.is_idle()
    }

    fn abort_all(&mut self, handler: &mut H) {
        self.acceptor.refuse(&self.poller);
        self.skip_wait = true;
        for slot in 0..self.sockets.capacity() {
            if let Some(id) = self.sockets.id_at(slot) {
                self.close(handler, id, Closed::Aborted);
            }
        }
    }
}
