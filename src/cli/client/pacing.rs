//! Schedule of an open-loop load.
//!
//! Requests are scheduled independently of responses. If every connection is busy, a request waits, and its
//! latency counts from its scheduled time. So a stalled server is charged for every request that it delayed
//! (no coordinated omission).

use std::time::{Duration, Instant};

/// Endless sequence of arrival times: one in each slot of `1/rate` seconds, at a pseudo-random time within
/// the slot.
///
/// The randomness avoids resonance between the schedule and periodic work of the server.
#[derive(Debug)]
pub struct Arrivals {
    start: Instant,
    slot: f64,
    index: f64,
    random: u64,
    next: Instant,
}

impl Arrivals {
    /// Starts a schedule of `rate` arrivals per second.
    pub fn new(start: Instant, rate: f64) -> Self {
        let mut arrivals =
            Self { start, slot: 1.0 / rate, index: 0.0, random: 0x9e37_79b9_7f4a_7c15, next: start };
        arrivals.advance();
        arrivals
    }

    /// Returns the next arrival time.
    pub fn next(&self) -> Instant {
        self.next
    }

    /// Takes the next arrival time, if it is not after `now`.
    pub fn pop(&mut self, now: Instant) -> Option<Instant> {
        let next = self.next;
        (next <= now).then(|| {
            self.advance();
            next
        })
    }

    fn advance(&mut self) {
        let at = (self.index + self.fraction()) * self.slot;
        self.next = self.start + Duration::from_secs_f64(at);
        self.index += 1.0;
    }

    /// Returns a pseudo-random number from 0 to 1, exclusive (xorshift64).
    fn fraction(&mut self) -> f64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_slot_has_one_arrival() {
        let start = Instant::now();
        let mut arrivals = Arrivals::new(start, 1000.0);
        for slot in 0..10_000_u64 {
            let at = arrivals.next() - start;
            let first = Duration::from_millis(slot);
            assert!(
                at + Duration::from_nanos(1) >= first && at <= first + Duration::from_millis(1),
                "{slot}: {at:?}"
            );
            arrivals.advance();
        }
    }
}
