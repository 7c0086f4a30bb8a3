//! The operations that the kernel runs for one connection.

use super::{outgoing::Outgoing, recheck::Recheck, starved::Place};
use crate::net::{engine::Connection, socket};

/// A connection of the ring.
pub(super) type Socket<T> = socket::Socket<T, Operations>;

/// State of a connection's receive operation.
///
/// ```text
///   New ───┐            ┌── cancelled ──────► Cancelling ──┐
///          ├──► Armed ──┼── last completion ───────────────┼──► Idle
///   Idle ──┘            └── no free buffer ─► Starved ─────┘
/// ```
///
/// A receive that finds no free buffer leads to `Starved` from `Cancelling`, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Receive {
    /// No receive was submitted yet. The first one completes only once.
    New,
    /// No receive is in the kernel.
    Idle,
    /// A receive is in the kernel.
    Armed,
    /// A receive is in the kernel, with a cancellation submitted.
    Cancelling,
    /// No receive is in the kernel. The last one found no free buffer, and the connection waits for one.
    Starved,
}

impl Receive {
    /// Returns `true` if the kernel still owes a completion.
    pub(super) fn in_kernel(self) -> bool {
        matches!(self, Self::Armed | Self::Cancelling)
    }
}

/// The receive and the send of a connection.
pub(super) struct Operations {
    pub(super) receive: Receive,
    /// Place of a starved connection in the order of waiting. Its next receive keeps it.
    pub(super) place: Option<Place>,
    /// Whether the connection waits for a [second look](super::recheck) at its receive.
    pub(super) recheck: Recheck,
    /// Bytes taken from the outbox and not sent completely.
    pub(super) outgoing: Outgoing,
    /// The kernel is sending `outgoing`.
    pub(super) sending: bool,
}

impl Operations {
    pub(super) fn new() -> Self {
        Self {
            receive: Receive::New,
            place: None,
            recheck: Recheck::Off,
            outgoing: Outgoing::Empty,
            sending: false,
        }
    }

    /// Returns the number of operations in the kernel that use the connection's memory or socket.
    pub(super) fn in_kernel(&self) -> usize {
        usize::from(self.receive.in_kernel()) + usize::from(self.sending)
    }
}

impl<T: Connection> Socket<T> {
    /// Returns `true` if there is nothing to do: all bytes are sent, and the receive that it wants is in the
    /// kernel.
    pub(super) fn is_idle(&mut self) -> bool {
        self.is_drained() && self.io.receive == Receive::Armed && self.delivers() && self.conn.wants_read()
    }

    /// Returns `true` if the kernel has taken every queued byte.
    pub(super) fn is_drained(&mut self) -> bool {
        self.io.outgoing.is_empty() && self.conn.outbox().is_empty()
    }
}
