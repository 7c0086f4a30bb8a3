//! A WebSocket on a stream (RFC 8441): DATA frames carry its bytes, and the stream's windows limit them.

use std::time::Instant;

use bytes::Bytes;

use super::wait::{Late, Wait};
use crate::{
    conn::{env::Env, ws::Endpoint},
    net::{Outbox, outbox::Segment},
};

/// A socket and the bytes that it has written.
pub(super) struct Tunnel {
    pub(super) endpoint: Endpoint,
    /// Bytes that the socket wrote and that are not in `piece`.
    outbox: Outbox,
    /// Bytes taken from the outbox and not sent yet.
    piece: Bytes,
    /// Received bytes that the peer got no credit back for. It gets it when the handler has taken all
    /// messages.
    pub(super) held: usize,
    pub(super) wait: Wait,
    /// Bytes written to the stream, including the headers of the socket's frames.
    pub(super) written: u64,
}

impl Tunnel {
    pub(super) fn new(endpoint: Endpoint) -> Self {
        let (outbox, piece) = (Outbox::default(), Bytes::new());
        Self { endpoint, outbox, piece, held: 0, wait: Wait::Nothing, written: 0 }
    }

    /// Calls the endpoint, which writes to `outbox` meanwhile, and handles what the call has changed.
    pub(super) fn feed(&mut self, env: &mut Env, feed: impl FnOnce(&mut Endpoint, &mut Env)) {
        self.endpoint.enter(&mut self.outbox, self.piece.len());
        feed(&mut self.endpoint, env);
        self.endpoint.after_event(env);
        self.endpoint.leave(&mut self.outbox);
    }

    /// Writes the message in the outlet, if there is one, to `outbox`. Returns how many bytes wait to be
    /// sent.
    pub(super) fn deliver(&mut self, env: &Env) -> usize {
        self.endpoint.deliver(env, &mut self.outbox, self.piece.len());
        self.unsent_bytes()
    }

    /// Returns how many bytes wait to be sent.
    pub(super) fn unsent_bytes(&self) -> usize {
        self.piece.len() + self.outbox.len()
    }

    /// Returns `true` if bytes wait to be sent.
    pub(super) fn has_unsent(&self) -> bool {
        self.unsent_bytes() > 0
    }

    /// Removes and returns the next bytes to send, at most `room`; empty if none wait.
    pub(super) fn take(&mut self, room: usize) -> Bytes {
        if self.piece.is_empty()
            && let Some(segment) = self.outbox.take()
        {
            self.piece = match segment {
                Segment::Owned(bytes) | Segment::Lent(bytes) => bytes.into(),
                Segment::Shared(bytes) => bytes,
            };
        }
        let bytes = self.piece.split_to(room.min(self.piece.len()));
        self.written += bytes.len() as u64;
        bytes
    }

    /// Returns the earliest deadline: of the socket's clock, or of the peer's window.
    pub(super) fn deadline(&self, env: &Env) -> Option<(Instant, Late)> {
        let clock = self.endpoint.deadline().map(|at| (at, Late::Socket));
        clock.into_iter().chain(self.wait.deadline(env)).min_by_key(|(at, _)| *at)
    }
}
