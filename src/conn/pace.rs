//! How fast a request's body comes: silence and a minimum rate. The same for every protocol.

use std::time::{Duration, Instant};

use crate::limits::Timeouts;

/// What a handler or a peer is told about a body beneath the minimum rate.
pub(super) const TOO_SLOW: &str = "the request body came too slowly";

/// One body's pace.
pub(super) struct Pace {
    /// Since when the rate is measured.
    since: Instant,
    /// Bytes of data since then.
    received: u64,
    /// When data last came.
    last: Instant,
}

impl Pace {
    pub(super) fn new(now: Instant) -> Self {
        Self { since: now, received: 0, last: now }
    }

    /// Notes that so much data came; 0 for bytes that are part of the body's framing.
    pub(super) fn moved(&mut self, bytes: usize, now: Instant) {
        self.received += bytes as u64;
        self.last = now;
    }

    /// Measures anew: until now the peer was not the one to wait for.
    pub(super) fn restart(&mut self, now: Instant) {
        *self = Self::new(now);
    }

    /// Returns when the peer will have been too slow.
    pub(super) fn deadline(&self, timeouts: &Timeouts) -> Option<Instant> {
        let idle = timeouts.body_idle.and_then(|idle| self.last.checked_add(idle));
        let paced = || {
            let earned = Duration::from_secs_f64(self.received as f64 / f64::from(timeouts.body_rate));
            self.since.checked_add(earned.max(timeouts.body_grace))
        };
        let paced = if timeouts.body_rate > 0 { paced() } else { None };
        idle.into_iter().chain(paced).min()
    }
}
