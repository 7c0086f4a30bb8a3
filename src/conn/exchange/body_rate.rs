//! Rate at which a request body arrives, and the deadline that follows from it.

use std::time::{Duration, Instant};

use crate::conn::env::Env;

/// Error text for a handler or a client whose request body arrives too slowly.
pub(in crate::conn) const TOO_SLOW: &str = "the request body arrived too slowly";

/// Received bytes of one request body, or of what is discarded at a connection's end, and their times.
pub(in crate::conn) struct BodyRate {
    /// Start of the measurement.
    since: Instant,
    /// Bytes of data received since then.
    received: u64,
    /// Time of the last received byte.
    last: Instant,
}

impl BodyRate {
    /// Starts to measure at `now`.
    pub(in crate::conn) fn new(now: Instant) -> Self {
        Self { since: now, received: 0, last: now }
    }

    /// Adds received bytes: 0 for bytes that belong to the body's framing.
    pub(in crate::conn) fn received(&mut self, bytes: usize, now: Instant) {
        self.received += bytes as u64;
        self.last = now;
    }

    /// Starts the measurement again, because until now the server was not ready to read.
    pub(in crate::conn) fn restart(&mut self, now: Instant) {
        *self = Self::new(now);
    }

    /// Returns the time at which the peer will have been too slow: silent for `body_idle` (or `drain_stall`
    /// in a drain), or below `body_rate` after `body_grace`. `None` without either limit.
    pub(in crate::conn) fn deadline(&self, env: &Env) -> Option<Instant> {
        let timeouts = &env.timeouts;
        let idle = env.stall_deadline(self.last, timeouts.body_idle);
        let at_rate = || {
            let earned = Duration::from_secs_f64(self.received as f64 / f64::from(timeouts.body_rate));
            self.since.checked_add(earned.max(timeouts.body_grace))
        };
        let at_rate = if timeouts.body_rate > 0 { at_rate() } else { None };
        idle.into_iter().chain(at_rate).min()
    }
}
