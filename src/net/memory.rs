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

use super::{Accepted, Carrier, Closed, ConnId, Ending, Engine, EngineOptions, Link, Wait, slots::Slots};

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
pub(crate) type PeerSide = Rc<RefCell<Pipe>>;

/// Where connections come from.
#[derive(Clone, Debug, Default)]
pub(crate) struct Doorstep(Rc<Arrivals>);

#[derive(Debug, Default)]
struct Arrivals {
    peers: RefCell<VecDeque<PeerSide>>,
    knocked: Cell<bool>,
}

impl Doorstep {
    /// Makes a connection that the engine opens in its next turn.
    pub(crate) fn connect(&self) -> PeerSide {
        let pipe = PeerSide::default();
        self.0.peers.borrow_mut().push_back(pipe.clone());
        self.knock();
        pipe
    }

    /// Tells the engine that a peer did something.
    pub(crate) fn knock(&self) {
        self.0.knocked.set(true);
    }
}

/// Times bytes of one connection are moved in a turn, at most: a reply may have no end.
const MOVES: usize = 16;

/// The engine of one shard.
pub(crate) struct Memory<C: Carrier> {
    doorbell: OwnedFd,
    doorstep: Doorstep,
    connections: Slots<Held<C::Conn>>,
    /// A connection was visited: the next turn looks at it.
    visited: bool,
    accepting: bool,
}

struct Held<T> {
    conn: T,
    pipe: PeerSide,
    told_end: bool,
}

impl<C: Carrier> Memory<C> {
    /// Makes an engine for connections that are made at `doorstep`.
    pub(crate) fn at(doorstep: Doorstep, doorbell: BorrowedFd<'_>) -> io::Result<Self> {
        let doorbell = doorbell.try_clone_to_owned()?;
        Ok(Self { doorbell, doorstep, connections: Slots::new(), visited: false, accepting: true })
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
    fn accept(&mut self, carrier: &mut C) {
        loop {
            let Some(pipe) = self.doorstep.0.peers.borrow_mut().pop_front() else { return };
            if !self.accepting {
                pipe.borrow_mut().end = Some(End::Reset);
                continue;
            }
            let id = self.connections.next_id();
            let accepted = Accepted { fd: self.doorbell.as_fd(), listener: NO_LISTENER, is_adopted: false };
            let conn = carrier.open(id, accepted);
            self.connections.insert(Held { conn, pipe, told_end: false });
        }
    }

    /// Moves bytes both ways until one side has to go on first, or others shall have their turn.
    fn serve(&mut self, carrier: &mut C, id: ConnId) {
        for _ in 0..MOVES {
            let Some(held) = self.connections.find(id) else { return };
            match held.step(carrier, id) {
                Step::Moved => {}
                Step::Rests => return,
                Step::Over(end, why) => {
                    held.pipe.borrow_mut().end = Some(end);
                    if let Some(held) = self.connections.remove(id) {
                        carrier.closed(id, held.conn, why);
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

impl<T: Link> Held<T> {
    fn pipe(&self) -> RefMut<'_, Pipe> {
        self.pipe.borrow_mut()
    }

    fn step<C: Carrier<Conn = T>>(&mut self, carrier: &mut C, id: ConnId) -> Step {
        if self.pipe().reset {
            return Step::Over(End::Reset, Closed::Failed(io::ErrorKind::ConnectionReset.into()));
        }
        if self.conn.ending() == Ending::Abort {
            return Step::Over(End::Reset, Closed::Aborted);
        }
        let sent = self.send();
        if sent > 0 {
            carrier.sent(id, &mut self.conn, sent, true);
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
            carrier.received(id, &mut self.conn, &chunk);
            return Step::Moved;
        }
        if ended && !std::mem::replace(&mut self.told_end, true) {
            carrier.ended(id, &mut self.conn);
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

impl<C: Carrier + 'static> Engine<C> for Memory<C> {
    fn new(_: &EngineOptions, doorbell: BorrowedFd<'_>) -> io::Result<Self> {
        Self::at(Doorstep::default(), doorbell)
    }

    fn listen(&mut self, _: socket2::Socket) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn adopt(&mut self, _: OwnedFd, _: usize) {}

    fn turn(&mut self, carrier: &mut C, wait: Wait) -> io::Result<()> {
        let has_news = self.visited || self.doorstep.0.knocked.replace(false);
        self.wait(if has_news { Wait::Poll } else { wait })?;
        self.visited = false;
        carrier.resumed();
        self.accept(carrier);
        for id in self.ids() {
            self.serve(carrier, id);
        }
        Ok(())
    }

    fn visit(&mut self, carrier: &mut C, id: ConnId, f: impl FnOnce(&mut C, &mut C::Conn)) -> bool {
        let Some(held) = self.connections.find(id) else { return false };
        f(carrier, &mut held.conn);
        self.visited = true;
        true
    }

    fn each(&mut self, carrier: &mut C, mut f: impl FnMut(&mut C, ConnId, &mut C::Conn)) {
        for id in self.ids() {
            self.visit(carrier, id, |carrier, conn| f(carrier, id, conn));
        }
    }

    fn look(&mut self, mut f: impl FnMut(ConnId, &C::Conn)) {
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
        self.visited || self.doorstep.0.knocked.get()
    }

    fn is_idle(&self) -> bool {
        self.connections.len() == 0
    }

    fn abort_all(&mut self, carrier: &mut C) {
        self.accepting = false;
        for id in self.ids() {
            if let Some(held) = self.connections.remove(id) {
                held.pipe().end = Some(End::Reset);
                carrier.closed(id, held.conn, Closed::Aborted);
            }
        }
    }
}
