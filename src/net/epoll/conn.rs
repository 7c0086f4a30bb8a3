//! One connection as the engine sees it.

use std::{
    os::fd::{AsFd, OwnedFd},
    time::Duration,
};

use rustix::net::{Shutdown, sockopt};

use super::{outgoing::Outgoing, poller::Event};
use crate::net::{Connection, Ending};

/// A socket, the handler's connection, and what the kernel last said of them.
pub(super) struct Conn<L> {
    pub(super) link: L,
    pub(super) fd: OwnedFd,
    pub(super) flight: Outgoing,
    /// There may be something to read.
    pub(super) readable: bool,
    /// There is a FIN or an error to be read, at once or behind bytes.
    pub(super) hung_up: bool,
    /// There may be an error.
    pub(super) failed: bool,
    /// There may be room to write.
    pub(super) writable: bool,
    /// The kernel tells when there is room to write.
    pub(super) writing_watched: bool,
    /// The write side is shut down; what arrives is discarded until the peer's FIN.
    pub(super) lingering: bool,
    /// The peer sent FIN.
    pub(super) ended: bool,
    /// It is on the engine's list of those to read.
    pub(super) queued: bool,
    /// It is on the engine's list of those to look at.
    pub(super) dirty: bool,
    /// Bytes that may still be discarded.
    pub(super) linger_bytes: usize,
}

impl<L: Connection> Conn<L> {
    pub(super) fn new(link: L, fd: OwnedFd, linger_bytes: usize) -> Self {
        Self {
            link,
            fd,
            flight: Outgoing::default(),
            readable: false,
            hung_up: false,
            failed: false,
            writable: true,
            writing_watched: false,
            lingering: false,
            ended: false,
            queued: false,
            dirty: false,
            linger_bytes,
        }
    }

    /// Takes what the kernel says.
    pub(super) fn note(&mut self, event: Event) {
        self.readable |= event.readable;
        self.hung_up |= event.hung_up;
        self.failed |= event.failed;
        self.writable |= event.writable;
    }

    /// Says whether what arrives goes to the handler rather than nowhere.
    pub(super) fn listens(&self) -> bool {
        !self.lingering && self.link.ending() == Ending::Open
    }

    /// Says whether what arrives shall be read.
    pub(super) fn wants_bytes(&self) -> bool {
        if self.ended {
            return false;
        }
        match self.link.ending() {
            Ending::Open => self.link.wants_read(),
            Ending::Finish => self.linger_bytes > 0,
            Ending::Close | Ending::Abort => false,
        }
    }

    /// Says whether every byte queued was taken by the kernel.
    pub(super) fn drained(&mut self) -> bool {
        self.flight.is_empty() && self.link.outbox().is_empty()
    }

    /// Makes closing the socket send a reset and free what the kernel still has to send, so that a peer never
    /// takes a cut off message for a whole one (RFC 9112 §8).
    pub(super) fn reset_on_close(&self) {
        // A socket without the option (Unix) just closes.
        let _ = sockopt::set_socket_linger(self.fd.as_fd(), Some(Duration::ZERO));
    }

    /// Shuts the write side down; a socket the peer already reset has none.
    pub(super) fn shutdown(&self) {
        let _ = rustix::net::shutdown(self.fd.as_fd(), Shutdown::Write);
    }
}
