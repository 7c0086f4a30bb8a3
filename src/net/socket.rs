//! The state of one connection that both socket engines keep, and the way it closes.

use std::{
    os::fd::{AsFd, OwnedFd},
    time::Duration,
};

use rustix::net::{Shutdown, sockopt};

use super::engine::{Closed, Connection, Ending};

/// Phase of a connection.
///
/// ```text
///            Ending::Finish, outbox sent                 FIN received, limit reached, abort, failure
///   Open ────────────────────────────────► Lingering ───────────────────────────────────────────────┐
///    │                                                                                              ▼
///    └─────────────────────────────────────────────────────────────────────────────────────────► Closing
///       Ending::Close, or Ending::Finish after the FIN was received: outbox sent; abort; failure
/// ```
#[derive(Debug)]
pub(super) enum Phase {
    /// Both directions work as the connection requests.
    Open,
    /// The write side is shut down. Received bytes are discarded until the peer's FIN.
    Lingering,
    /// The socket closes when the kernel has completed all its operations. The handler gets no more events of
    /// it.
    #[cfg_attr(not(feature = "io-uring"), expect(dead_code, reason = "the epoll engine closes at once"))]
    Closing(Closed),
}

/// A socket and the handler's connection. `io` is what the engine keeps to read and write the socket.
pub(super) struct Socket<T, I> {
    pub(super) conn: T,
    pub(super) fd: OwnedFd,
    pub(super) io: I,
    pub(super) phase: Phase,
    /// The peer has sent FIN.
    pub(super) fin_received: bool,
    /// The socket is in the engine's list of those whose connection state may have changed.
    pub(super) dirty: bool,
    /// Number of bytes that may still be discarded.
    pub(super) discard_left: usize,
}

impl<T: Connection, I> Socket<T, I> {
    pub(super) fn new(conn: T, fd: OwnedFd, io: I, linger_bytes: usize) -> Self {
        Self {
            conn,
            fd,
            io,
            phase: Phase::Open,
            fin_received: false,
            dirty: false,
            discard_left: linger_bytes,
        }
    }

    /// Returns `true` if the handler gets no more events, except [`closed`](super::EventHandler::closed).
    pub(super) fn is_closing(&self) -> bool {
        matches!(self.phase, Phase::Closing(_))
    }

    /// Returns `true` if the write side is shut down and received bytes are discarded.
    pub(super) fn is_lingering(&self) -> bool {
        matches!(self.phase, Phase::Lingering)
    }

    /// Returns `true` if received bytes go to the handler, and `false` if they are discarded.
    pub(super) fn delivers(&self) -> bool {
        matches!(self.phase, Phase::Open) && self.conn.ending() == Ending::Open
    }

    /// Returns `true` if the socket should be read, either for the handler or to discard the bytes.
    pub(super) fn wants_bytes(&self) -> bool {
        if self.fin_received || self.is_closing() {
            return false;
        }
        match self.conn.ending() {
            Ending::Open => self.conn.wants_read(),
            Ending::Finish => self.discard_left > 0,
            Ending::Close | Ending::Abort => false,
        }
    }

    /// Counts discarded bytes. Returns `true` if the limit is reached. There is none if the handler `lifts`
    /// it.
    pub(super) fn count_discarded(&mut self, bytes: usize, lifts: bool) -> bool {
        self.discard_left = self.discard_left.saturating_sub(bytes).max(usize::from(lifts));
        self.discard_left == 0
    }

    /// Shuts down the write side of a connection that ends and has sent all its bytes.
    ///
    /// Returns the reason to close the socket with, or `None` while it waits for the peer's FIN.
    pub(super) fn finish(&mut self) -> Option<Closed> {
        if self.fin_received {
            // Closing the socket sends the FIN.
            return Some(Closed::Finished);
        }
        let closed = if self.conn.ending() == Ending::Close {
            Closed::Finished
        } else if self.discard_left == 0 {
            Closed::Lingered
        } else {
            if matches!(self.phase, Phase::Open) {
                self.phase = Phase::Lingering;
                self.shut_down(Shutdown::Write);
            }
            return None;
        };
        // If the socket holds unread bytes, closing it discards the bytes that the kernel has not sent yet.
        // Shutting down the write side first keeps them.
        self.shut_down(Shutdown::Write);
        Some(closed)
    }

    /// Prepares the socket for its close: an aborted connection is reset.
    ///
    /// A lingering connection is not reset, even if it is aborted: all its bytes are sent, and a reset would
    /// discard those that the peer has not read.
    pub(super) fn prepare_close(&self, why: &Closed) {
        if matches!(why, Closed::Aborted) && !self.is_lingering() {
            self.reset_on_close();
        }
    }

    /// Makes closing the socket send a reset, and discard the bytes that the kernel has not sent.
    ///
    /// The peer then cannot take a truncated message for a complete one (RFC 9112 §8).
    pub(super) fn reset_on_close(&self) {
        // A Unix socket does not have the option. It closes without a reset.
        let _ = sockopt::set_socket_linger(self.fd.as_fd(), Some(Duration::ZERO));
    }

    /// Shuts down one or both directions.
    pub(super) fn shut_down(&self, how: Shutdown) {
        // This fails if the peer has already reset the connection. Then there is nothing left to shut down.
        let _ = rustix::net::shutdown(self.fd.as_fd(), how);
    }
}
