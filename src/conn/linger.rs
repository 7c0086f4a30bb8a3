//! The last phase of a connection: its peer may still be sending, and must be able to read the reply.
//!
//! A close while bytes arrive resets the connection, and a reset discards what the peer has not read yet. So
//! the rest is read and discarded: up to `discard_bytes` on every connection, and more on a limited number of
//! connections, as long as the peer keeps sending.

use std::time::Instant;

use super::{env::Env, exchange::body_rate::BodyRate, io::Io, timers::Timer};

/// Bytes that were discarded on one connection.
pub(super) struct Linger {
    since: Instant,
    rate: BodyRate,
    bytes: usize,
    /// The connection is one of those that may discard more than `discard_bytes`.
    has_place: bool,
}

impl Linger {
    fn new(now: Instant) -> Self {
        Self { since: now, rate: BodyRate::new(now), bytes: 0, has_place: false }
    }

    /// Returns the time at which the wait for the peer ends: it was silent or too slow, or has had its time.
    fn deadline(&self, env: &Env) -> Option<Instant> {
        let timeouts = &env.timeouts;
        let most = if env.is_draining() { timeouts.linger } else { timeouts.linger_max };
        let silent = env.now.checked_add(timeouts.linger);
        let over = self.since.checked_add(most);
        silent.into_iter().chain(over).chain(self.rate.deadline(env)).min()
    }
}

impl Io {
    /// Counts bytes that were discarded. Returns `true` if `discard_bytes` does not limit them.
    pub(super) fn discarded(&mut self, env: &mut Env, bytes: usize) -> bool {
        let linger = self.linger.get_or_insert_with(|| Box::new(Linger::new(env.now)));
        linger.bytes = linger.bytes.saturating_add(bytes);
        linger.rate.received(bytes, env.now);
        if !linger.has_place
            && linger.bytes >= env.limits.discard_bytes
            && env.lingering < env.limits.lingering_connections
        {
            linger.has_place = true;
            env.lingering += 1;
        }
        if self.timers.is_running(Timer::Linger) {
            let deadline = linger.deadline(env);
            self.timers.set_at(Timer::Linger, deadline);
            env.deadlines.schedule(self.id, &mut self.timers);
        }
        linger.has_place
    }

    /// Returns the connection's place among those that may discard more.
    pub(super) fn stop_lingering(&mut self, env: &mut Env) {
        if self.linger.take().is_some_and(|linger| linger.has_place) {
            env.lingering -= 1;
        }
    }
}
