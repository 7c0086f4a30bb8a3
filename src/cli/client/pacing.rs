//! The schedule of an open loop.
//!
//! Arrivals do not wait for answers. One that finds every connection busy waits its turn and its latency runs
//! from the instant it was due, so a stalled server is charged for every request it kept from being sent (no
//! coordinated omission).

use std::time::{Duration, Instant};

/// Endless due times: one in each slot of `1/rate`, at a pseudo-random place in it.
///
/// The randomness keeps the schedule from beating with anything periodic in the server.
#[derive(Debug)]
pub struct Arrivals {
    start: Instant,
    slot: f64,
    index: f64,
    random: u64,
    due: Instant,
}

impl Arrivals {
    /// Starts a schedule of `rate` arrivals a second.
    pub fn new(start: Instant, rate: f64) -> Self {
        let mut arrivals =
            Self { start, slot: 1.0 / rate, index: 0.0, random: 0x9e37_79b9_7f4a_7c15, due: start };
        arrivals.advance();
        arrivals
    }

    /// Returns the next due time.
    pub fn due(&self) -> Instant {
        self.due
    }

    /// Takes the next due time if it is not after `now`.
    pub fn take_due(&mut self, now: Instant) -> Option<Instant> {
        let due = self.due;
        (due <= now).then(|| {
            self.advance();
            due
        })
    }

    fn advance(&mut self) {
        let at = (self.index + self.fraction()) * self.slot;
        self.due = self.start + Duration::from_secs_f64(at);
        self.index += 1.0;
    }

    /// xorshift64: a number in 0..1.
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
            let at = arrivals.due() - start;
            let first = Duration::from_millis(slot);
            assert!(
                at + Duration::from_nanos(1) >= first && at <= first + Duration::from_millis(1),
                "{slot}: {at:?}"
            );
            arrivals.advance();
        }
    }
}
