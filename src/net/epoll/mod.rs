//! The epoll engine: for machines where io_uring is missing or forbidden, as container runtimes forbid it.
//!
//! One turn is one wait, then the reads, then all writes: a request on a connection that lives costs a `recv` and a
//! `send`, and its share of the wait. What the ring engine does is done here too, by other means:
//!
//! - Every descriptor is watched for edges, once, when it is opened. So what the kernel last said is remembered, and
//!   is forgotten only when a call says that it is over: a connection that was not read to its end, because it is
//!   paused or had its share of the turn, stands in a queue or is looked at when it resumes, without a new edge.
//! - A `recv` or `send` that moved less than it could has said that; the call that would only answer `EAGAIN` is
//!   saved. What comes or drains after it is a new edge. Only a FIN or an error that came together with the bytes is
//!   not: then the socket is read again at once.
//! - All connections are read into one buffer and hand over what came before the next is read.
//! - Writing is watched from the first time a connection's peer is slow.

mod accept;
mod closing;
mod conn;
mod outgoing;
mod poller;
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

use self::{accept::Acceptor, conn::Conn, poller::Poller, timer::Timer};
use crate::net::{
    Closed, ConnId, Connection, Engine, EngineOptions, EventHandler, Wait, buffer_pool::BufferPool,
    slots::Slots,
};

/// How many receive buffers of the ring the one buffer is as large as: it is read into again and again, so a large
/// one costs no more memory than is touched, and saves calls where much comes.
const BUFFERS_IN_ONE: usize = 8;

/// The sockets of one shard, driven by epoll; `L` is the handler's connection.
///
/// See [`Engine`] for what it does. A handler may panic: what it was told is lost to it, nothing else is.
pub struct Epoll<L: Connection> {
    options: EngineOptions,
    poller: Poller,
    slots: Slots<Conn<L>>,
    acceptor: Acceptor,
    timer: Timer,
    /// What a connection received, until it is handed over.
    buffer: Box<[u8]>,
    pool: BufferPool,
    /// Connections that may have something to read, each once.
    readable: VecDeque<ConnId>,
    /// Connections to look at before the next wait, each once.
    dirty: VecDeque<ConnId>,
    /// Without a free slot: whether another shard has one.
    elsewhere: bool,
    /// The handler was called, or what the engine says of itself changed, since the last turn ended: the shard must
    /// look at both before a wait.
    called: bool,
}

impl<C> Engine<C> for Epoll<C::Conn>
where
    C: EventHandler,
    C::Conn: 'static,
{
    fn new(options: &EngineOptions, doorbell: BorrowedFd<'_>) -> io::Result<Self> {
        let mut options = options.clone();
        options.max_connections = options.max_connections.clamp(1, poller::MAX_SLOTS);
        options.batch = options.batch.max(1);
        options.accepts_per_turn = options.accepts_per_turn.max(1);
        let poller = Poller::new(doorbell, options.batch)?;
        let timer = Timer::new(&poller)?;
        Ok(Self {
            poller,
            slots: Slots::new(),
            acceptor: Acceptor::new(),
            timer,
            buffer: vec![0; options.buffer_bytes.max(1) * BUFFERS_IN_ONE].into_boxed_slice(),
            pool: BufferPool::new(),
            readable: VecDeque::with_capacity(options.batch),
            dirty: VecDeque::with_capacity(options.batch),
            elsewhere: false,
            called: false,
            options,
        })
    }

    fn listen(&mut self, listener: socket2::Socket) -> io::Result<()> {
        self.acceptor.add(listener, &self.poller)
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
        self.acceptor.stop(&self.poller);
        self.called = true;
    }

    fn pending(&self) -> bool {
        !self.readable.is_empty() || self.may_open()
    }

    fn is_idle(&self) -> bool {
        self.slots.len() == 0 && self.acceptor.is_idle()
    }

    fn abort_all(&mut self, handler: &mut C) {
        self.acceptor.refuse(&self.poller);
        self.called = true;
        for slot in 0..self.slots.capacity() {
            if let Some(id) = self.slots.at(slot) {
                self.close(handler, id, Closed::Aborted);
            }
        }
    }
}
