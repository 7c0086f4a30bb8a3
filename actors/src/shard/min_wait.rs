//! The smallest time that work waited for a shard during the last 250 to 500 milliseconds.
//!
//! One slow turn delays the work behind it, and then the delay is gone. A standing queue does not go away by
//! itself: as long as it exists, all work waits. So the smallest wait of a time window tells the two apart.
//! The idea is CoDel's, RFC 8289 section 3.

use std::time::{Duration, Instant};

/// Length of a window. A wait counts until its window and the next one are over.
const WINDOW: Duration = Duration::from_millis(250);

/// Smallest recorded wait of the current and the previous window.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MinWait {
    window_start: Instant,
    previous: Duration,
    current: Duration,
}

impl MinWait {
    /// Creates an empty record. Its smallest wait is zero until two windows are complete.
    pub(crate) fn new(now: Instant) -> Self {
        Self { window_start: now, previous: Duration::ZERO, current: Duration::ZERO }
    }

    /// Records that work handled at `now` had waited for `wait`, and returns the smallest wait of both
    /// windows.
    ///
    /// A window begins with a record, not at a fixed time. So the record before a long busy time still counts
    /// after it.
    pub(crate) fn record(&mut self, now: Instant, wait: Duration) -> Duration {
        if now.saturating_duration_since(self.window_start) < WINDOW {
            self.current = self.current.min(wait);
        } else {
            *self = Self { window_start: now, previous: self.current, current: wait };
        }
        self.previous.min(self.current)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECOND: Duration = Duration::from_millis(1);

    /// Records the waits of work items that all arrive at `start` and are handled one after the other. Each
    /// takes as many milliseconds as listed. Returns the smallest waits in milliseconds.
    fn handle(min_wait: &mut MinWait, start: Instant, items: &[u32]) -> Vec<u128> {
        let mut wait = Duration::ZERO;
        let record = |millis: &u32| {
            let smallest = min_wait.record(start + wait, wait);
            wait += MILLISECOND * *millis;
            smallest.as_millis()
        };
        items.iter().map(record).collect()
    }

    #[test]
    fn work_behind_one_slow_item_is_no_standing_queue() {
        let start = Instant::now();
        for slow in [100, 240, 300, 600, 5000] {
            let mut items = vec![1; 100];
            items[0] = slow;
            assert_eq!(handle(&mut MinWait::new(start), start, &items), [0; 100], "{slow} ms");
        }
    }

    #[test]
    fn a_queue_that_stands_for_half_a_second_shows() {
        let start = Instant::now();
        let smallest = handle(&mut MinWait::new(start), start, &[20; 60]);
        let first = smallest.iter().position(|wait| *wait > 0).unwrap() * 20;
        assert!((250..=520).contains(&first), "{smallest:?}");
        assert!(*smallest.last().unwrap() > 500, "{smallest:?}");
    }

    #[test]
    fn sparse_records_of_long_waits_show_too() {
        let (start, wait) = (Instant::now(), MILLISECOND * 900);
        let mut min_wait = MinWait::new(start);
        let smallest: Vec<_> = (1..5).map(|turn| min_wait.record(start + wait * turn, wait)).collect();
        assert_eq!(smallest, [Duration::ZERO, wait, wait, wait]);
    }

    #[test]
    fn one_item_that_did_not_wait_ends_it_at_once() {
        let start = Instant::now();
        let mut min_wait = MinWait::new(start);
        handle(&mut min_wait, start, &[20; 60]);
        assert_eq!(min_wait.record(start + MILLISECOND * 1201, Duration::ZERO), Duration::ZERO);
    }
}
