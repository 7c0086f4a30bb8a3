//! One connection as the ring sees it.

use std::os::fd::{AsFd, OwnedFd};

use super::outgoing::Outgoing;
use crate::net::{Closed, Connection, Ending};

/// The state of a connection's multishot receive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Receive {
    /// Not in the kernel.
    Idle,
    /// In the kernel.
    Armed,
    /// In the kernel, its cancellation under way.
    Cancelling,
    /// Not in the kernel: it found no buffer and waits in line for one.
    Starved,
}

impl Receive {
    /// Says whether the kernel still owes a completion.
    pub(super) fn in_kernel(self) -> bool {
        matches!(self, Self::Armed | Self::Cancelling)
    }
}

/// How far a connection is.
#[derive(Debug)]
pub(super) enum Phase {
    /// Both sides are as the handler wants them.
    Open,
    /// The write side is shut down; what arrives is discarded until the peer's FIN.
    Lingering,
    /// It closes once the kernel owes it no completion.
    Closing(Closed),
}

/// A socket, the handler's connection, and the operations the kernel runs for them.
pub(super) struct Conn<L> {
    pub(super) link: L,
    pub(super) fd: OwnedFd,
    pub(super) phase: Phase,
    pub(super) receive: Receive,
    pub(super) flight: Outgoing,
    /// The flight is in the kernel.
    pub(super) sending: bool,
    /// The peer sent FIN.
    pub(super) ended: bool,
    /// Nothing was received yet.
    pub(super) fresh: bool,
    /// It is on the ring's list of those to look at.
    pub(super) dirty: bool,
    /// Bytes that may still be discarded.
    pub(super) linger_bytes: usize,
}

impl<L: Connection> Conn<L> {
    pub(super) fn new(link: L, fd: OwnedFd, linger_bytes: usize) -> Self {
        Self {
            link,
            fd,
            phase: Phase::Open,
            receive: Receive::Idle,
            flight: Outgoing::Empty,
            sending: false,
            ended: false,
            fresh: true,
            dirty: false,
            linger_bytes,
        }
    }

    /// Counts the operations the kernel runs that touch this connection's memory or socket.
    pub(super) fn outstanding(&self) -> usize {
        usize::from(self.receive.in_kernel()) + usize::from(self.sending)
    }

    /// Says whether it is on its way out: the handler is not called any more, except to take it back.
    pub(super) fn closing(&self) -> bool {
        matches!(self.phase, Phase::Closing(_))
    }

    /// Says whether what arrives goes to the handler rather than nowhere.
    pub(super) fn listens(&self) -> bool {
        matches!(self.phase, Phase::Open) && self.link.ending() == Ending::Open
    }

    /// Says whether a receive should be in the kernel.
    pub(super) fn wants_receive(&self) -> bool {
        if self.ended || self.closing() {
            return false;
        }
        match self.link.ending() {
            Ending::Open => self.link.wants_read(),
            Ending::Finish => self.linger_bytes > 0,
            Ending::Close | Ending::Abort => false,
        }
    }

    /// Says whether nothing is to be done for it: it sends nothing and goes on receiving.
    pub(super) fn rests(&mut self) -> bool {
        self.drained() && self.receive == Receive::Armed && self.listens() && self.link.wants_read()
    }

    /// Says whether every byte queued was taken by the kernel.
    pub(super) fn drained(&mut self) -> bool {
        self.flight.is_empty() && self.link.outbox().is_empty()
    }

    /// Makes closing the socket send a reset and free what the kernel still has to send, so that a peer never
    /// takes a cut off message for a whole one (RFC 9112 §8).
    pub(super) fn reset_on_close(&self) {
        // A socket without the option (Unix) just closes.
        let _ = rustix::net::sockopt::set_socket_linger(self.fd.as_fd(), Some(std::time::Duration::ZERO));
    }

    /// Shuts a side down; a socket the peer already reset has none.
    pub(super) fn shutdown(&self, how: rustix::net::Shutdown) {
        let _ = rustix::net::shutdown(self.fd.as_fd(), how);
    }
}
