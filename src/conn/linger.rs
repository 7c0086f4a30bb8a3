//! The last phase of a connection: its peer may still be sending, and must be able to read the reply.
//!
//! A close while bytes arrive resets the connection, and a reset discards what the peer has not read yet. So
//! the rest is read and discarded: up to `discard_bytes` on every connection, and more on a limited number of
//! connections, as long as the peer keeps sending.

use std::time::Instant;

use super::{env::Env, exchange::body_rate::BodyRate};

/// Number and rate of the bytes that were discarded on one connection.
pub(super) struct Linger {
    since: Instant,
    rate: BodyRate,
    bytes: usize,
    /// The connection is one of those that may discard more than `discard_bytes`.
    has_place: bool,
}

impl Linger {
    pub(super) fn new(now: Instant) -> Self {
        Self { since: now, rate: BodyRate::new(now), bytes: 0, has_place: false }
    }

    /// Returns the time at which the wait for the peer's FIN ends: when it was silent for `linger`, was
    /// slower than `body_rate`, or has had `linger_max` in all (`linger` while the server drains).
    pub(super) fn deadline(&self, env: &Env) -> Option<Instant> {
        let timeouts = &env.timeouts;
        let most = if env.is_draining() { timeouts.linger } else { timeouts.linger_max };
        let silent = env.now.checked_add(timeouts.linger);
        let over = self.since.checked_add(most);
        silent.into_iter().chain(over).chain(self.rate.deadline(env)).min()
    }

    /// Counts bytes that were discarded. Once they reach `discard_bytes`, takes one of the
    /// `lingering_connections` places if one is free.
    pub(super) fn count(&mut self, env: &mut Env, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes);
        self.rate.received(bytes, env.now);
        if !self.has_place
            && self.bytes >= env.limits.discard_bytes
            && env.lingering < env.limits.lingering_connections
        {
            self.has_place = true;
            env.lingering += 1;
        }
    }

    /// Returns `true` if the connection may discard more than `discard_bytes`.
    pub(super) fn has_place(&self) -> bool {
        self.has_place
    }

    /// Frees the connection's place among those that may discard more than `discard_bytes`, if it has one.
    pub(super) fn end(&self, env: &mut Env) {
        env.lingering -= usize::from(self.has_place);
    }
}
