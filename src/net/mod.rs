//! Engines: bytes between sockets and connection actors.
//!
//! An [`Engine`] owns the sockets of one shard and, in the same slot as each socket, the connection actor that is
//! fed by it. It knows no protocol: it hands bytes to a [`EventHandler`], then looks at the connection's [`Connection`] side
//! (what is in the outbox, may it read on, shall it close) and acts on that. A second engine implements
//! [`Engine`]; nothing above this module changes.

#[cfg(any(feature = "io-uring", feature = "epoll"))]
mod accept;
#[cfg(any(feature = "io-uring", feature = "epoll"))]
mod buffer_pool;
#[cfg(feature = "epoll")]
pub mod epoll;
mod listen;
pub(crate) mod memory;
pub mod outbox;
#[cfg(feature = "io-uring")]
pub mod ring;
mod slots;
#[cfg(test)]
#[cfg(any(feature = "io-uring", feature = "epoll"))]
mod tests;

use std::{
    io,
    os::fd::{BorrowedFd, OwnedFd},
};

pub(crate) use listen::inherit;
pub use listen::{BindError, Bound, Listen, ListenError, ListenOptions, bind};
pub use outbox::Outbox;
pub use windlass_actors::Wait;

/// Names one connection of one shard: the slot it lives in and how often that slot was used before.
///
/// A late completion or reply for an earlier connection in the same slot carries an older generation and is
/// ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnId {
    /// Index of the slot.
    pub slot: u32,
    /// Times the slot was freed before this connection.
    pub generation: u32,
}

impl ConnId {
    /// Packs the id into a waker token.
    pub fn token(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.slot)
    }

    /// Unpacks a waker token.
    pub fn from_token(token: u64) -> Self {
        Self { slot: (token & 0xffff_ffff) as u32, generation: (token >> 32) as u32 }
    }
}

/// Says what an engine shall do with a connection once its outbox is empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Ending {
    /// Keep it.
    #[default]
    Open,
    /// Send what is queued, shut the write side down, discard what still arrives until the peer's FIN or the
    /// linger limit, then close. [`EventHandler::received`] and [`EventHandler::fin_received`] are not called any more.
    ///
    /// An engine bounds the bytes it discards, not the time: a connection that wants an end after two seconds turns
    /// to [`Ending::Abort`] then, which closes without a reset once the write side is shut down: the kernel still
    /// delivers what a slow peer has not read.
    Finish,
    /// Send what is queued, then close: the peer has said that it sends nothing more. Costs less than
    /// [`Ending::Finish`], and a peer that does send more may see a reset. [`EventHandler::received`] and
    /// [`EventHandler::fin_received`] are not called any more.
    Close,
    /// Close at once; what is queued is lost. A TCP peer sees a reset, never a clean end, so that it takes no cut
    /// off message for a whole one (RFC 9112 §8).
    Abort,
}

impl Ending {
    /// Says whether the connection ends once its outbox is empty, so that its last bytes and the FIN may share a
    /// segment.
    #[cfg(any(feature = "io-uring", feature = "epoll"))]
    fn follows_last_bytes(self) -> bool {
        matches!(self, Self::Finish | Self::Close)
    }
}

/// What an engine reads off a connection after each call into it.
pub trait Connection {
    /// Returns the bytes waiting to be sent.
    fn outbox(&mut self) -> &mut Outbox;
    /// Says whether more bytes are wanted. A bounded overrun may still arrive after this turned false.
    fn wants_read(&self) -> bool;
    /// Says how the connection shall end.
    fn ending(&self) -> Ending;
}

/// Why a connection left its slot.
#[derive(Debug)]
pub enum Closed {
    /// It ended as [`Ending::Finish`] or [`Ending::Close`] asked.
    Finished,
    /// It ended because [`Ending::Abort`] asked.
    Aborted,
    /// It was finishing and the peer sent more than the linger limit.
    Lingered,
    /// A receive or send failed: the peer is gone.
    Failed(io::Error),
}

/// An accepted socket, shown to [`EventHandler::open`].
#[derive(Debug)]
pub struct Accepted<'a> {
    /// The socket, in the mode its engine needs; stays open as long as the connection's slot.
    pub fd: BorrowedFd<'a>,
    /// Which listener it came from: the index in the order of [`Engine::listen`] calls.
    pub listener: usize,
    /// Whether another shard accepted it and this engine [adopted](Engine::adopt) it.
    pub is_adopted: bool,
}

/// Makes connection actors and feeds them what an engine read.
pub trait EventHandler {
    /// The connection actor that lives in the engine's slot.
    type Conn: Connection;

    /// Tells, once in each turn, that the wait is over and a batch begins.
    fn batch_started(&mut self) {}
    /// Takes a socket just accepted if another shard shall have it; else gives it back.
    fn hand_over(&mut self, fd: OwnedFd, listener: usize) -> Option<OwnedFd> {
        let _ = listener;
        Some(fd)
    }
    /// Says whether [`hand_over`](Self::hand_over) would take a socket for which this shard has no slot.
    fn can_hand_over(&self) -> bool {
        false
    }
    /// Makes the actor of a new connection.
    fn open(&mut self, id: ConnId, accepted: Accepted<'_>) -> Self::Conn;
    /// Feeds bytes; they are consumed or copied before this returns.
    fn received(&mut self, id: ConnId, conn: &mut Self::Conn, bytes: &[u8]);
    /// Tells that the peer sent FIN; sending to it is still possible.
    fn fin_received(&mut self, id: ConnId, conn: &mut Self::Conn);
    /// Tells that the kernel took `bytes` more bytes; `drained` when nothing sent is left in outbox or flight.
    fn sent(&mut self, id: ConnId, conn: &mut Self::Conn, bytes: usize, drained: bool);
    /// Returns a buffer that an actor lent to its outbox ([`Outbox::lend`]), sent whole. One whose connection failed, or
    /// of which too many come at once, is freed instead.
    fn buffer_sent(&mut self, buffer: Vec<u8>) {
        drop(buffer);
    }
    /// Takes the actor back: its slot is free.
    fn closed(&mut self, id: ConnId, conn: Self::Conn, why: Closed);
    /// Tells that accepting failed; the engine backs off by itself.
    fn accept_failed(&mut self, error: &io::Error);
}

/// Sizes of one shard's engine.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// Connections at most; at it the shard stops accepting until one closes, and the kernel's backlog absorbs. While
    /// [another has room](EventHandler::can_hand_over) it goes on and hands over.
    pub max_connections: usize,
    /// Receive buffers shared by all connections of the shard; the ring rounds up to a power of two. The epoll
    /// engine has a single one: it reads in one turn about as much as so many would hold.
    pub buffers: u16,
    /// Size of one receive buffer, bytes: a request of 4 KiB and its head fit. The epoll engine's single one has eight
    /// times this.
    pub buffer_bytes: usize,
    /// Whether the ring has the kernel fill receive buffers piece by piece, where it can (Linux 6.16): fewer and larger ones
    /// then, of a quarter of the memory.
    pub piece_by_piece: bool,
    /// Bytes read and thrown away at most after a connection's write side was shut down.
    pub linger_bytes: usize,
    /// Completions or readiness events handled at most in one turn.
    pub batch: usize,
    /// Accepted sockets opened at most in one turn, so that a storm of them does not starve connections.
    pub accepts_per_turn: usize,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            max_connections: 16_384,
            buffers: 512,
            buffer_bytes: 8192,
            piece_by_piece: true,
            linger_bytes: 256 * 1024,
            batch: 1024,
            accepts_per_turn: 16,
        }
    }
}

/// Moves bytes between sockets and the connection actors of one shard.
pub trait Engine<C: EventHandler>: Sized + 'static {
    /// Opens the engine on the calling thread; a readable `doorbell` (an eventfd) must end every wait.
    ///
    /// # Errors
    ///
    /// The system refuses what the engine needs.
    fn new(options: &EngineOptions, doorbell: BorrowedFd<'_>) -> io::Result<Self>;

    /// Starts to accept from a bound, listening socket.
    ///
    /// # Errors
    ///
    /// The system refuses.
    fn listen(&mut self, listener: socket2::Socket) -> io::Result<()>;

    /// Takes a socket that another shard's engine of the same kind accepted from its listener of that index; it is opened
    /// as if it had been accepted here.
    fn adopt(&mut self, fd: OwnedFd, listener: usize);

    /// Runs one bounded turn: sends what is queued, waits, feeds the handler.
    ///
    /// # Errors
    ///
    /// Fatal for the shard.
    fn turn(&mut self, handler: &mut C, wait: Wait) -> io::Result<()>;

    /// Calls `f` with one live connection and acts on its [`Connection`] side in the next turn, before that waits; so
    /// several visits are one send. False when the connection is gone or closing.
    fn visit(&mut self, handler: &mut C, id: ConnId, f: impl FnOnce(&mut C, &mut C::Conn)) -> bool;

    /// Calls `f` with every live connection, acting on their [`Connection`] sides as [`visit`](Self::visit) does.
    fn visit_all(&mut self, handler: &mut C, f: impl FnMut(&mut C, ConnId, &mut C::Conn));

    /// Shows every live connection to `f`, which only looks.
    fn inspect_all(&mut self, f: impl FnMut(ConnId, &C::Conn));

    /// Returns how many connections have a slot.
    fn connections(&self) -> usize;

    /// Stops accepting: the following turns serve what the kernel completed or still queues and close the
    /// listeners; the one in which the engine becomes idle does not wait on. A handshake the kernel completes between the last accept and the close is lost (see
    /// `net.ipv4.tcp_migrate_req`).
    fn stop_accepting(&mut self, handler: &mut C);

    /// Says whether the next turn must not wait.
    fn pending(&self) -> bool;

    /// Says whether no connection and no operation is outstanding, so that the engine may be dropped.
    fn is_idle(&self) -> bool;

    /// Cancels everything, closes the listeners and every connection at once ([`Ending::Abort`]); turns finish it.
    fn abort_all(&mut self, handler: &mut C);
}
