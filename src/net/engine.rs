//! The interface between an engine and the connections it drives.
//!
//! ```text
//!             calls: open, received, fin_received, sent, closed
//!            ──────────────────────────────────────────────────►
//!   Engine                                                       EventHandler
//!            ◄──────────────────────────────────────────────────
//!             state read after each call: outbox, wants_read, ending (Connection)
//! ```
//!
//! An engine stores a connection's socket and the handler's connection value in the same slot. It passes
//! bytes to the handler without parsing them. After each call it reads the state of the [`Connection`] and
//! acts on it.

use std::{
    io,
    os::fd::{BorrowedFd, OwnedFd},
    time::Duration,
};

use windlass_actors::Wait;

use super::{outbox::Outbox, slots::ConnId};

/// The end that a connection requests from its engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Ending {
    /// No end: the connection stays open.
    #[default]
    Open,
    /// Orderly end while the peer may still be sending.
    ///
    /// The engine sends the outbox and shuts down the write side. Then it discards received bytes until the
    /// peer's FIN, or until [`EngineOptions::linger_bytes`] are discarded, and closes the socket. The handler
    /// may [lift](EventHandler::discarded) this limit. Meanwhile the engine calls neither
    /// [`EventHandler::received`] nor [`EventHandler::fin_received`].
    ///
    /// An engine limits the discarded bytes, not the time. A connection with a time limit switches to
    /// [`Ending::Abort`] when the time is over. Once the write side is shut down, an abort closes without a
    /// reset, so the kernel still delivers the bytes that a slow peer has not read.
    Finish,
    /// Orderly end after the peer has stopped sending.
    ///
    /// The engine sends the outbox and closes the socket. This costs less than [`Ending::Finish`], but a peer
    /// that still sends may see a reset. Meanwhile the engine calls neither [`EventHandler::received`] nor
    /// [`EventHandler::fin_received`].
    Close,
    /// Immediate close that discards the outbox.
    ///
    /// A TCP peer sees a reset instead of an orderly end, so it cannot take a truncated message for a
    /// complete one (RFC 9112 §8).
    Abort,
}

impl Ending {
    /// Returns `true` if the connection ends once its outbox is empty. The last bytes and the FIN may then
    /// share a segment.
    #[cfg(any(feature = "io-uring", feature = "epoll"))]
    pub(super) fn follows_last_bytes(self) -> bool {
        matches!(self, Self::Finish | Self::Close)
    }
}

/// State of a connection that the engine reads after each call to the handler.
pub trait Connection {
    /// Returns the queue of the bytes to send.
    fn outbox(&mut self) -> &mut Outbox;
    /// Returns `true` if the connection wants more bytes. A bounded number of bytes may still arrive after
    /// this has become `false`.
    fn wants_read(&self) -> bool;
    /// Returns the requested end.
    fn ending(&self) -> Ending;
}

/// The reason why a connection left its slot.
#[derive(Debug)]
pub enum Closed {
    /// The end that [`Ending::Finish`] or [`Ending::Close`] requested is complete.
    Finished,
    /// [`Ending::Abort`] was requested.
    Aborted,
    /// After [`Ending::Finish`] the peer sent more than the engine discards.
    Lingered,
    /// A receive or a send failed: the peer is gone.
    Failed(io::Error),
}

/// An accepted socket, passed to [`EventHandler::open`].
#[derive(Debug)]
pub struct Accepted<'a> {
    /// The socket, in the blocking mode that its engine needs. It stays open while the connection has a slot.
    pub fd: BorrowedFd<'a>,
    /// Index of its listener, in the order of the [`Engine::listen`] calls.
    pub listener: usize,
    /// `true` if another shard accepted the socket and this engine [adopted](Engine::adopt) it.
    pub is_adopted: bool,
}

/// Receiver of an engine's events. It creates the connections and runs their protocol.
pub trait EventHandler {
    /// The handler's part of a connection, stored in the engine's slot.
    type Conn: Connection;

    /// Called once in each turn, after the wait and before the events.
    fn batch_started(&mut self) {}
    /// Gives a newly accepted socket to another shard, or returns it.
    fn hand_over(&mut self, fd: OwnedFd, listener: usize) -> Option<OwnedFd> {
        let _ = listener;
        Some(fd)
    }
    /// Returns `true` if [`hand_over`](Self::hand_over) would accept a socket. An engine asks this when it
    /// has no free slot.
    fn can_hand_over(&self) -> bool {
        false
    }
    /// Creates the connection of an accepted socket.
    fn open(&mut self, id: ConnId, accepted: Accepted<'_>) -> Self::Conn;
    /// Called with received bytes. They are valid only during the call.
    fn received(&mut self, id: ConnId, conn: &mut Self::Conn, bytes: &[u8]);
    /// Called when the peer has sent FIN. Sending to the peer is still possible.
    fn fin_received(&mut self, id: ConnId, conn: &mut Self::Conn);
    /// Called when the kernel has taken `bytes` more bytes. `drained` is `true` if neither the outbox nor the
    /// engine holds unsent bytes.
    fn sent(&mut self, id: ConnId, conn: &mut Self::Conn, bytes: usize, drained: bool);
    /// Called with a buffer from [`Outbox::lend`] whose bytes are all sent.
    ///
    /// Some lent buffers do not come back: those of failed connections, and those above an internal limit.
    /// The engine frees them.
    fn buffer_sent(&mut self, buffer: Vec<u8>) {
        drop(buffer);
    }
    /// Called when bytes of an ending connection were discarded. Returns `true` to lift
    /// [`EngineOptions::linger_bytes`] for this connection.
    fn discarded(&mut self, id: ConnId, conn: &mut Self::Conn, bytes: usize) -> bool {
        let _ = (id, conn, bytes);
        false
    }
    /// Called when a connection is closed, after its slot was freed.
    fn closed(&mut self, id: ConnId, conn: Self::Conn, why: Closed);
    /// Called when an accept failed. The engine retries by itself after a pause.
    fn accept_failed(&mut self, error: &io::Error);
}

/// Sizes and limits of one shard's engine.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// Maximum number of connections. At this limit the shard stops accepting until a connection closes, and
    /// new connections wait in the kernel's backlog. While [another shard has
    /// room](EventHandler::can_hand_over), it continues and hands the sockets over.
    pub max_connections: usize,
    /// Number of receive buffers, shared by all connections of the shard.
    ///
    /// The io_uring engine rounds it up to a power of two. The epoll engine has only one buffer and reads
    /// about as many bytes per turn as this number of buffers holds.
    pub buffers: u16,
    /// Size of one receive buffer, in bytes. The default has room for a head and a body of 4 KiB. The one
    /// buffer of the epoll engine is eight times as large, an incremental one of the io_uring engine 32
    /// times.
    pub buffer_bytes: usize,
    /// `true` if the io_uring engine uses incremental buffers where the kernel supports them (Linux 6.16).
    ///
    /// The kernel then fills a buffer with several receives, one behind the other. The ring
    /// then needs fewer and larger buffers, with a quarter of the memory in total.
    pub incremental_buffers: bool,
    /// Maximum number of bytes discarded of a connection that ends, unless the handler
    /// [lifts](EventHandler::discarded) the limit.
    pub linger_bytes: usize,
    /// Maximum number of completions or readiness events handled in one turn.
    pub batch: usize,
    /// Maximum number of accepted sockets opened in one turn. It keeps a burst of new connections from
    /// delaying the open ones.
    pub accepts_per_turn: usize,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            max_connections: 16_384,
            buffers: 512,
            buffer_bytes: 8192,
            incremental_buffers: true,
            linger_bytes: 256 * 1024,
            batch: 1024,
            accepts_per_turn: 16,
        }
    }
}

impl EngineOptions {
    /// Returns the options with the limits on connections, batches and accepts in the range that an engine of
    /// `max_slots` slots supports.
    #[cfg(any(feature = "io-uring", feature = "epoll"))]
    pub(super) fn clamped(&self, max_slots: usize) -> Self {
        Self {
            max_connections: self.max_connections.clamp(1, max_slots),
            batch: self.batch.max(1),
            accepts_per_turn: self.accepts_per_turn.max(1),
            ..self.clone()
        }
    }
}

/// Driver of one shard's sockets. It moves bytes between the kernel and the connections of an
/// [`EventHandler`].
pub trait Engine<H: EventHandler>: Sized + 'static {
    /// Opens an engine on the calling thread. A readable `doorbell` (an eventfd) ends every wait.
    ///
    /// # Errors
    ///
    /// Fails if the system refuses a resource that the engine needs.
    fn new(options: &EngineOptions, doorbell: BorrowedFd<'_>) -> io::Result<Self>;

    /// Starts to accept from a socket that is bound and listening.
    ///
    /// # Errors
    ///
    /// Fails if the system refuses, or if the engine has stopped accepting.
    fn listen(&mut self, listener: socket2::Socket) -> io::Result<()>;

    /// Takes a socket that an engine of the same kind on another shard accepted. `listener` is the index of
    /// its listener there. The socket is opened as if this engine had accepted it.
    fn adopt(&mut self, fd: OwnedFd, listener: usize);

    /// Runs one bounded turn: sends queued bytes, waits, and calls the handler for each event.
    ///
    /// # Errors
    ///
    /// An error is fatal for the shard.
    fn turn(&mut self, handler: &mut H, wait: Wait) -> io::Result<()>;

    /// Calls `f` with one open connection. Returns `false` if the connection is gone or closing.
    ///
    /// The engine acts on the connection's state in the next turn, before that turn waits. Several visits
    /// thus share one send.
    fn visit(&mut self, handler: &mut H, id: ConnId, f: impl FnOnce(&mut H, &mut H::Conn)) -> bool;

    /// Reads what the peer of a connection has sent until now, and sends what the peer has room for.
    ///
    /// Called before the silence of a peer is judged: the kernel may hold bytes that no event has announced
    /// yet. A turn is bounded, so `false` means that events are left and that the peer must not be judged in
    /// this turn.
    ///
    /// # Errors
    ///
    /// An error is fatal for the shard.
    fn catch_up(&mut self, handler: &mut H, id: ConnId) -> io::Result<bool>;

    /// Calls `f` with every open connection, as [`visit`](Self::visit) does with one.
    fn visit_all(&mut self, handler: &mut H, f: impl FnMut(&mut H, ConnId, &mut H::Conn));

    /// Calls `f` with every connection. The engine does not act on their state afterwards.
    fn inspect_all(&self, f: impl FnMut(ConnId, &H::Conn));

    /// Returns the number of connections that have a slot.
    fn connections(&self) -> usize;

    /// Stops accepting. The following turns open the connections that are already accepted or in the kernel's
    /// backlog, and close the listeners. The turn that leaves the engine idle does not wait.
    ///
    /// A connection whose handshake completes between the last accept and the close is lost (see
    /// `net.ipv4.tcp_migrate_req`).
    fn stop_accepting(&mut self, handler: &mut H);

    /// Returns `true` if there is work left, so the next turn must not wait.
    fn pending(&self) -> bool;

    /// Returns for how long a connection has waited whose bytes the kernel holds because no receive buffer
    /// was free. Zero if there is none.
    fn starved_for(&self) -> Duration {
        Duration::ZERO
    }

    /// Returns `true` if no connection, listener or operation is left. The engine may then be dropped.
    fn is_idle(&self) -> bool;

    /// Closes the listeners and starts to abort every connection ([`Ending::Abort`]). Further turns complete
    /// it.
    fn abort_all(&mut self, handler: &mut H);
}
