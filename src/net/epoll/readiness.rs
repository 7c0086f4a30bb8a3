//! The readiness of one connection's socket, as the kernel last reported it.

use super::{outgoing::Outgoing, poller::Event};
use crate::net::{engine::Connection, socket};

/// A connection of the engine.
pub(super) type Socket<T> = socket::Socket<T, Readiness>;

/// Readiness of a socket, and the rest of a short send.
///
/// A flag is set by an event and cleared by a call that finds nothing left. The kernel reports each edge only
/// once.
pub(super) struct Readiness {
    /// There may be bytes, a FIN or an error to read.
    pub(super) readable: bool,
    /// There is a FIN or an error to read, possibly behind bytes.
    pub(super) hung_up: bool,
    /// There may be an error.
    pub(super) failed: bool,
    /// The send buffer may have room.
    pub(super) writable: bool,
    /// The kernel reports when the send buffer has room again.
    pub(super) watches_writable: bool,
    /// The connection is in the engine's list of those to read.
    pub(super) in_read_queue: bool,
    /// Bytes taken from the outbox and not sent completely.
    pub(super) outgoing: Outgoing,
}

impl Readiness {
    pub(super) fn new() -> Self {
        Self {
            readable: false,
            hung_up: false,
            failed: false,
            writable: true,
            watches_writable: false,
            in_read_queue: false,
            outgoing: Outgoing::default(),
        }
    }

    /// Adds an event of the kernel.
    pub(super) fn add(&mut self, event: Event) {
        self.readable |= event.readable;
        self.hung_up |= event.hung_up;
        self.failed |= event.failed;
        self.writable |= event.writable;
    }
}

impl<T: Connection> Socket<T> {
    /// Returns `true` if the kernel has taken every queued byte.
    pub(super) fn is_drained(&mut self) -> bool {
        self.io.outgoing.is_empty() && self.conn.outbox().is_empty()
    }
}
