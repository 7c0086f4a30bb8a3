//! An engine without sockets: both ends of a connection are buffers of one thread.
//!
//! It drives the same connections as the others do, and waits for nothing but its shard's doorbell.

use std::{
    cell::{Cell, RefCell, RefMut},
    collections::VecDeque,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    rc::Rc,
    time::Instant,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};

use super::{
    Accepted, Closed, ConnId, Connection, Ending, Engine, EngineOptions, EventHandler, Wait, slots::Slots,
};

/// Bytes given to a connection at once, as a receive buffer would hold.
const CHUNK_BYTES: usize = 8192;

/// The listener that connections come from: one beyond all those that have addresses.
const NO_LISTENER: usize = usize::MAX;

/// How a connection ended, as its peer sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// In order.
    Fin,
    /// Cut.
    Reset,
}

/// What is on its way between a peer and its connection.
#[derive(Debug, Default)]
pub(crate) struct Pipe {
    /// Bytes from the peer.
    pub(crate) input: Vec<u8>,
    /// The peer sends no more.
    pub(crate) ended: bool,
    /// The peer is gone.
    pub(crate) reset: bool,
    /// Bytes for the peer.
    pub(crate) output: Vec<u8>,
    /// How the connection ended.
    pub(crate) end: Option<End>,
}

/// The peer's side of one connection.
pub(crate) type PeerPipe = Rc<RefCell<Pipe>>;

/// Where connections come from.
#[derive(Clone, Debug, Default)]
pub(crate) struct Connector(Rc<Arrivals>);

#[derive(Debug, Default)]
struct Arrivals {
    peers: RefCell<VecDeque<PeerPipe>>,
    woken: Cell<bool>,
}

impl Connector {
    /// Makes a connection that the engine opens in its next turn.
    pub(crate) fn connect(&self) -> PeerPipe {
        let pipe = PeerPipe::default();
        self.0.peers.borrow_mut().push_back(pipe.clone());
        self.wake();
        pipe
    }

    /// Tells the engine that a peer did something.
    pub(crate) fn wake(&self) {
        self.0.woken.set(true);
    }
}

/// Times bytes of one connection are moved in a turn, at most: a reply may have no end.
const MOVES: usize = 16;

/// The engine of one shard.
pub(crate) struct Memory<C: EventHandler> {
    doorbell: OwnedFd,
    connector: Connector,
    connections: Slots<Held<C::Conn>>,
    /// A connection was visited: the next turn looks at it.
    visited: bool,
    accepting: bool,
}

struct Held<T> {
    conn: T,
    pipe: PeerPipe,
    told_end: bool,
}

impl<C: EventHandler> Memory<C> {
    /// Makes an engine for connections that are made at `connector`.
    pub(crate) fn at(connector: Connector, doorbell: BorrowedFd<'_>) -> io::Result<Self> {
        let doorbell = doorbell.try_clone_to_owned()?;
        Ok(Self { doorbell, connector, connections: Slots::new(), visited: false, accepting: true })
    }

    fn wait(&self, wait: Wait) -> io::Result<()> {
        let left = match wait {
            Wait::Poll => return Ok(()),
            Wait::Until(at) => Some(at.saturating_duration_since(Instant::now())),
            Wait::Forever => None,
        };
        let left = left.map(|left| Timespec {
            tv_sec: left.as_secs().min(i32::MAX as u64) as i64,
            tv_nsec: left.subsec_nanos().into(),
        });
        match poll(&mut [PollFd::new(&self.doorbell, PollFlags::IN)], left.as_ref()) {
            Ok(0) | Err(Errno::INTR) => Ok(()),
            Ok(_) => rustix::io::read(&self.doorbell, &mut [0; 8]).map(drop).map_err(io::Error::from),
            Err(error) => Err(error.into()),
        }
    }

    fn ids(&self) -> Vec<ConnId> {
        (0..self.connections.capacity()).filter_map(|slot| self.connections.at(slot)).collect()
    }

    /// Opens what was connected.
    fn accept(&mut self, handler: &mut C) {
        loop {
            let Some(pipe) = self.connector.0.peers.borrow_mut().pop_front() else { return };
            if !self.accepting {
                pipe.borrow_mut().end = Some(End::Reset);
                continue;
            }
            let id = self.connections.next_id();
            let accepted = Accepted { fd: self.doorbell.as_fd(), listener: NO_LISTENER, is_adopted: false };
            let conn = handler.open(id, accepted);
            self.connections.insert(Held { conn, pipe, told_end: false });
        }
    }

    /// Moves bytes both ways until one side has to go on first, or others shall have their turn.
    fn serve(&mut self, handler: &mut C, id: ConnId) {
        for _ in 0..MOVES {
            let Some(held) = self.connections.find(id) else { return };
            match held.step(handler, id) {
                Step::Moved => {}
                Step::Rests => return,
                Step::Over(end, why) => {
                    held.pipe.borrow_mut().end = Some(end);
                    if let Some(held) = self.connections.remove(id) {
                        handler.closed(id, held.conn, why);
                    }
                }
            }
        }
        self.visited = true;
    }
}

/// What one look at a connection came to.
enum Step {
    Moved,
    Rests,
    Over(End, Closed),
}

impl<T: Connection> Held<T> {
    fn pipe(&self) -> RefMut<'_, Pipe> {
        self.pipe.borrow_mut()
    }

    fn step<C: EventHandler<Conn = T>>(&mut self, handler: &mut C, id: ConnId) -> Step {
        if self.pipe().reset {
            return Step::Over(End::Reset, Closed::Failed(io::ErrorKind::ConnectionReset.into()));
        }
        if self.conn.ending() == Ending::Abort {
            return Step::Over(End::Reset, Closed::Aborted);
        }
        let sent = self.send();
        if sent > 0 {
            handler.sent(id, &mut self.conn, sent, true);
            return Step::Moved;
        }
        if self.conn.ending() != Ending::Open {
            return Step::Over(End::Fin, Closed::Finished);
        }
        if !self.conn.wants_read() {
            return Step::Rests;
        }
        let chunk: Vec<u8> = {
            let mut pipe = self.pipe();
            let len = pipe.input.len().min(CHUNK_BYTES);
            pipe.input.drain(..len).collect()
        };
        let ended = self.pipe().ended;
        if !chunk.is_empty() {
            handler.received(id, &mut self.conn, &chunk);
            return Step::Moved;
        }
        if ended && !std::mem::replace(&mut self.told_end, true) {
            handler.fin_received(id, &mut self.conn);
            return Step::Moved;
        }
        Step::Rests
    }

    fn send(&mut self) -> usize {
        let mut sent = 0;
        while let Some(segment) = self.conn.outbox().take() {
            let bytes = segment.as_slice();
            sent += bytes.len();
            self.pipe.borrow_mut().output.extend_from_slice(bytes);
        }
        sent
    }
}

impl<C: EventHandler + 'static> Engine<C> for Memory<C> {
    fn new(_: &EngineOptions, doorbell: BorrowedFd<'_>) -> io::Result<Self> {
        Self::at(Connector::default(), doorbell)
    }

    fn listen(&mut self, _: socket2::Socket) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn adopt(&mut self, _: OwnedFd, _: usize) {}

    fn turn(&mut self, handler: &mut C, wait: Wait) -> io::Result<()> {
        let has_news = self.visited || self.connector.0.woken.replace(false);
        self.wait(if has_news { Wait::Poll } else { wait })?;
        self.visited = false;
        handler.batch_started();
        self.accept(handler);
        for id in self.ids() {
            self.serve(handler, id);
        }
        Ok(())
    }

    fn visit(&mut self, handler: &mut C, id: ConnId, f: impl FnOnce(&mut C, &mut C::Conn)) -> bool {
        let Some(held) = self.connections.find(id) else { return false };
        f(handler, &mut held.conn);
        self.visited = true;
        true
    }

    fn visit_all(&mut self, handler: &mut C, mut f: impl FnMut(&mut C, ConnId, &mut C::Conn)) {
        for id in self.ids() {
            self.visit(handler, id, |handler, conn| f(handler, id, conn));
        }
    }

    fn inspect_all(&mut self, mut f: impl FnMut(ConnId, &C::Conn)) {
        for id in self.ids() {
            if let Some(held) = self.connections.find(id) {
                f(id, &held.conn);
            }
        }
    }

    fn connections(&self) -> usize {
        self.connections.len()
    }

    fn stop_accepting(&mut self, _: &mut C) {
        self.accepting = false;
    }

    fn pending(&self) -> bool {
        self.visited || self.connector.0.woken.get()
    }

    fn is_idle(&self) -> bool {
        self.connections.len() == 0
    }

    fn abort_all(&mut self, handler: &mut C) {
        self.accepting = false;
        for id in self.ids() {
            if let Some(held) = self.connections.remove(id) {
                held.pipe().end = Some(End::Reset);
                handler.closed(id, held.conn, Closed::Aborted);
            }
        }
    }
}
