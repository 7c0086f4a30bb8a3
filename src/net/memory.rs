//! An engine without sockets, for the test client. Both ends of a connection are buffers of the same thread.
//!
//! It drives the same connections as the socket engines. The only thing it waits for is the shard's doorbell.

use std::{
    cell::{Cell, RefCell, RefMut},
    collections::VecDeque,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    rc::Rc,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};
use windlass_actors::{Wait, clock};

use super::{
    engine::{Accepted, Closed, Connection, Ending, Engine, EngineOptions, EventHandler},
    outbox::Segment,
    slots::{ConnId, Slots},
};

/// Maximum number of bytes passed to a connection at once, like the size of a receive buffer.
const CHUNK_BYTES: usize = 8192;

/// Listener index of all in-memory connections. No real listener has it.
const NO_LISTENER: usize = usize::MAX;

/// The end of a connection, as its peer sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The connection was closed in an orderly way.
    Fin,
    /// The connection was reset.
    Reset,
}

/// The bytes in transit between a peer and its connection.
#[derive(Debug, Default)]
pub(crate) struct Pipe {
    /// Bytes that the peer has sent and the connection has not received.
    pub(crate) input: Vec<u8>,
    /// The peer has sent FIN.
    pub(crate) ended: bool,
    /// The peer has reset the connection.
    pub(crate) reset: bool,
    /// Number of bytes that the peer reads before it stalls. `None`: it never stalls.
    pub(crate) room: Option<usize>,
    /// Bytes that the connection has sent, for the peer to take.
    pub(crate) output: Vec<u8>,
    /// The end of the connection, once it is closed.
    pub(crate) end: Option<End>,
}

/// The peer's handle to the pipe of one connection.
pub(crate) type PeerPipe = Rc<RefCell<Pipe>>;

/// Source of new connections, shared by peers and the engine.
#[derive(Clone, Debug, Default)]
pub(crate) struct Connector(Rc<Pending>);

#[derive(Debug, Default)]
struct Pending {
    /// Connections that the engine has not opened yet.
    pipes: RefCell<VecDeque<PeerPipe>>,
    /// A peer has changed a pipe since the engine's last turn.
    woken: Cell<bool>,
}

impl Connector {
    /// Creates a connection. The engine opens it in its next turn.
    pub(crate) fn connect(&self) -> PeerPipe {
        let pipe = PeerPipe::default();
        self.0.pipes.borrow_mut().push_back(pipe.clone());
        self.wake();
        pipe
    }

    /// Wakes the engine after a peer has changed its pipe.
    pub(crate) fn wake(&self) {
        self.0.woken.set(true);
    }
}

/// Maximum number of steps of one connection in a turn. Without it, an endless reply would hold the shard.
const STEPS_PER_TURN: usize = 16;

/// The in-memory engine of one shard.
pub(crate) struct Memory<H: EventHandler> {
    doorbell: OwnedFd,
    connector: Connector,
    connections: Slots<Endpoint<H::Conn>>,
    /// A connection has work left: it was visited, or it has used up its steps.
    pending: bool,
    accepting: bool,
}

/// The server's end of one connection.
struct Endpoint<T> {
    conn: T,
    pipe: PeerPipe,
    /// The handler knows that the peer has sent FIN.
    fin_delivered: bool,
    /// The segment that a stalled peer reads at present, and the index of its first unread byte.
    in_flight: Option<(Segment, usize)>,
}

impl<H: EventHandler> Memory<H> {
    /// Creates an engine for the connections of `connector`.
    pub(crate) fn with_connector(connector: Connector, doorbell: BorrowedFd<'_>) -> io::Result<Self> {
        let doorbell = doorbell.try_clone_to_owned()?;
        Ok(Self { doorbell, connector, connections: Slots::new(), pending: false, accepting: true })
    }

    fn wait(&self, wait: Wait) -> io::Result<()> {
        let timeout = match wait {
            Wait::Poll => return Ok(()),
            Wait::Until(at) => Some(at.saturating_duration_since(clock::now())),
            Wait::Forever => None,
        };
        let timeout = timeout.map(|timeout| Timespec {
            tv_sec: timeout.as_secs().min(i32::MAX as u64) as i64,
            tv_nsec: timeout.subsec_nanos().into(),
        });
        match poll(&mut [PollFd::new(&self.doorbell, PollFlags::IN)], timeout.as_ref()) {
            Ok(0) | Err(Errno::INTR) => Ok(()),
            Ok(_) => rustix::io::read(&self.doorbell, &mut [0; 8]).map(drop).map_err(io::Error::from),
            Err(error) => Err(error.into()),
        }
    }

    fn ids(&self) -> Vec<ConnId> {
        self.connections.iter().map(|(id, _)| id).collect()
    }

    /// Opens new connections, or resets them once the engine has stopped accepting.
    fn accept(&mut self, handler: &mut H) {
        loop {
            let Some(pipe) = self.connector.0.pipes.borrow_mut().pop_front() else { return };
            if !self.accepting {
                pipe.borrow_mut().end = Some(End::Reset);
                continue;
            }
            let id = self.connections.next_id();
            let accepted = Accepted { fd: self.doorbell.as_fd(), listener: NO_LISTENER, is_adopted: false };
            let conn = handler.open(id, accepted);
            self.connections.insert(Endpoint { conn, pipe, fin_delivered: false, in_flight: None });
        }
    }

    /// Moves bytes in both directions until the connection is idle or has used up its steps.
    fn serve(&mut self, handler: &mut H, id: ConnId) {
        for _ in 0..STEPS_PER_TURN {
            let Some(endpoint) = self.connections.get_mut(id) else { return };
            match endpoint.step(handler, id) {
                Step::Progress => {}
                Step::Idle => return,
                Step::Closed(end, why) => {
                    endpoint.pipe.borrow_mut().end = Some(end);
                    if let Some(endpoint) = self.connections.remove(id) {
                        handler.closed(id, endpoint.conn, why);
                    }
                }
            }
        }
        self.pending = true;
    }
}

/// Result of one step of a connection.
enum Step {
    /// Bytes or a FIN were moved.
    Progress,
    /// There was nothing to move.
    Idle,
    Closed(End, Closed),
}

impl<T: Connection> Endpoint<T> {
    fn pipe(&self) -> RefMut<'_, Pipe> {
        self.pipe.borrow_mut()
    }

    fn step<H: EventHandler<Conn = T>>(&mut self, handler: &mut H, id: ConnId) -> Step {
        if self.pipe().reset {
            return Step::Closed(End::Reset, Closed::Failed(io::ErrorKind::ConnectionReset.into()));
        }
        if self.conn.ending() == Ending::Abort {
            return Step::Closed(End::Reset, Closed::Aborted);
        }
        let sent = self.send();
        let is_drained = self.in_flight.is_none();
        if sent > 0 {
            handler.sent(id, &mut self.conn, sent, is_drained);
            return Step::Progress;
        }
        if self.conn.ending() != Ending::Open && is_drained {
            return Step::Closed(End::Fin, Closed::Finished);
        }
        if !self.conn.wants_read() {
            return Step::Idle;
        }
        let chunk: Vec<u8> = {
            let mut pipe = self.pipe();
            let len = pipe.input.len().min(CHUNK_BYTES);
            pipe.input.drain(..len).collect()
        };
        let ended = self.pipe().ended;
        if !chunk.is_empty() {
            handler.received(id, &mut self.conn, &chunk);
            return Step::Progress;
        }
        if ended && !std::mem::replace(&mut self.fin_delivered, true) {
            handler.fin_received(id, &mut self.conn);
            return Step::Progress;
        }
        Step::Idle
    }

    /// Moves bytes from the outbox to the peer, as many as the peer reads. Returns their number.
    fn send(&mut self) -> usize {
        let mut sent = 0;
        while let Some((segment, from)) =
            self.in_flight.take().or_else(|| self.conn.outbox().take().map(|segment| (segment, 0)))
        {
            let mut pipe = self.pipe.borrow_mut();
            let rest = &segment.as_slice()[from..];
            let taken = rest.len().min(pipe.room.unwrap_or(usize::MAX));
            pipe.output.extend_from_slice(&rest[..taken]);
            pipe.room = pipe.room.map(|room| room - taken);
            sent += taken;
            if taken < rest.len() {
                drop(pipe);
                self.in_flight = Some((segment, from + taken));
                break;
            }
        }
        sent
    }
}

impl<H: EventHandler + 'static> Engine<H> for Memory<H> {
    fn new(_: &EngineOptions, doorbell: BorrowedFd<'_>) -> io::Result<Self> {
        Self::with_connector(Connector::default(), doorbell)
    }

    fn listen(&mut self, _: socket2::Socket) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn adopt(&mut self, _: OwnedFd, _: usize) {}

    fn turn(&mut self, handler: &mut H, wait: Wait) -> io::Result<()> {
        let has_work = self.pending || self.connector.0.woken.replace(false);
        self.wait(if has_work { Wait::Poll } else { wait })?;
        self.pending = false;
        handler.batch_started();
        self.accept(handler);
        for id in self.ids() {
            self.serve(handler, id);
        }
        Ok(())
    }

    fn visit(&mut self, handler: &mut H, id: ConnId, f: impl FnOnce(&mut H, &mut H::Conn)) -> bool {
        let Some(endpoint) = self.connections.get_mut(id) else { return false };
        f(handler, &mut endpoint.conn);
        self.pending = true;
        true
    }

    fn catch_up(&mut self, handler: &mut H, id: ConnId) -> io::Result<bool> {
        self.serve(handler, id);
        Ok(true)
    }

    fn visit_all(&mut self, handler: &mut H, mut f: impl FnMut(&mut H, ConnId, &mut H::Conn)) {
        for id in self.ids() {
            self.visit(handler, id, |handler, conn| f(handler, id, conn));
        }
    }

    fn inspect_all(&self, mut f: impl FnMut(ConnId, &H::Conn)) {
        self.connections.iter().for_each(|(id, endpoint)| f(id, &endpoint.conn));
    }

    fn connections(&self) -> usize {
        self.connections.len()
    }

    fn stop_accepting(&mut self, _: &mut H) {
        self.accepting = false;
    }

    fn pending(&self) -> bool {
        self.pending || self.connector.0.woken.get()
    }

    fn is_idle(&self) -> bool {
        self.connections.len() == 0
    }

    fn abort_all(&mut self, handler: &mut H) {
        self.accepting = false;
        for id in self.ids() {
            if let Some(endpoint) = self.connections.remove(id) {
                endpoint.pipe().end = Some(End::Reset);
                handler.closed(id, endpoint.conn, Closed::Aborted);
            }
        }
    }
}
