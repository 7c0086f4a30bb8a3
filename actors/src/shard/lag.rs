//! How long work waits for a shard: the smallest wait of the last half second.
//!
//! One slow turn makes what stands behind it wait, and is over. A queue that stands does not go away by itself, and shows
//! in that nothing waits for a short time any more: so the smallest wait is what counts (the idea of CoDel, RFC 8289 §3).

use std::time::{Duration, Instant};

/// Waits are kept this long, and another time as long until the next ones are complete.
const WINDOW: Duration = Duration::from_millis(250);

/// The smallest of the waits noted lately.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lag {
    began: Instant,
    /// Of the window before.
    previous: Duration,
    /// Since `began`.
    current: Duration,
}

impl Lag {
    pub(crate) fn new(now: Instant) -> Self {
        Self { began: now, previous: Duration::ZERO, current: Duration::ZERO }
    }

    /// Notes that work handled at `now` had waited so long; returns the smallest of the last one to two windows.
    ///
    /// Windows begin with a note, so that a thread that was held through one does not forget what was before.
    pub(crate) fn note(&mut self, now: Instant, waited: Duration) -> Duration {
        if now.saturating_duration_since(self.began) < WINDOW {
            self.current = self.current.min(waited);
        } else {
            *self = Self { began: now, previous: self.current, current: waited };
        }
        self.previous.min(self.current)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECOND: Duration = Duration::from_millis(1);

    /// Notes what waited for a thread that handles one thing after the other, each as long as told.
    fn handle(lag: &mut Lag, began: Instant, each: &[u32]) -> Vec<u128> {
        let mut waited = Duration::ZERO;
        let note = |took: &u32| {
            let standing = lag.note(began + waited, waited);
            waited += MILLISECOND * *took;
            standing.as_millis()
        };
        each.iter().map(note).collect()
    }

    #[test]
    fn what_waits_behind_one_slow_thing_is_no_standing_queue() {
        let began = Instant::now();
        for slow in [100, 240, 300, 600, 5000] {
            let mut each = vec![1; 100];
            each[0] = slow;
            assert_eq!(handle(&mut Lag::new(began), began, &each), [0; 100], "{slow} ms");
        }
    }

    #[test]
    fn a_queue_that_stands_for_half_a_second_shows() {
        let began = Instant::now();
        let standing = handle(&mut Lag::new(began), began, &[20; 60]);
        let first = standing.iter().position(|lag| *lag > 0).unwrap() * 20;
        assert!((250..=520).contains(&first), "{standing:?}");
        assert!(*standing.last().unwrap() > 500, "{standing:?}");
    }

    #[test]
    fn sparse_notes_of_long_waits_show_too() {
        let (began, wait) = (Instant::now(), MILLISECOND * 900);
        let mut lag = Lag::new(began);
        let standing: Vec<_> = (1..5).map(|turn| lag.note(began + wait * turn, wait)).collect();
        assert_eq!(standing, [Duration::ZERO, wait, wait, wait]);
    }

    #[test]
    fn one_thing_that_did_not_wait_ends_it_at_once() {
        let began = Instant::now();
        let mut lag = Lag::new(began);
        handle(&mut lag, began, &[20; 60]);
        assert_eq!(lag.note(began + MILLISECOND * 1201, Duration::ZERO), Duration::ZERO);
    }
}
