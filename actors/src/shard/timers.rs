//! A shard's timers: who shall be woken, and when.

use std::{collections::BTreeMap, task::Waker, time::Instant};

/// Names one timer; unique on its shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TimerKey {
    at: Instant,
    serial: u64,
}

/// Timers ordered by their instant. Removal is real, so cancelled timers cost nothing.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    entries: BTreeMap<TimerKey, Waker>,
    serial: u64,
}

impl Timers {
    pub(crate) fn insert(&mut self, at: Instant, waker: Waker) -> TimerKey {
        self.serial += 1;
        let key = TimerKey { at, serial: self.serial };
        self.entries.insert(key, waker);
        key
    }

    /// Wakes `waker` instead of the one known so far. False if the timer is gone.
    pub(crate) fn rearm(&mut self, key: TimerKey, waker: &Waker) -> bool {
        let entry = self.entries.get_mut(&key);
        entry.map(|known| known.clone_from(waker)).is_some()
    }

    /// Takes a timer away; its waker comes back to be dropped outside of any borrow.
    pub(crate) fn remove(&mut self, key: TimerKey) -> Option<Waker> {
        self.entries.remove(&key)
    }

    /// Returns the earliest instant.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.entries.first_key_value().map(|(key, _)| key.at)
    }

    /// Takes one timer that is due.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<Waker> {
        let entry = self.entries.first_entry()?;
        (entry.key().at <= now).then(|| entry.remove())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn timers_come_in_order_and_removed_ones_not_at_all() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut timers = Timers::default();
        timers.insert(at(20), Waker::noop().clone());
        let gone = timers.insert(at(5), Waker::noop().clone());
        timers.insert(at(10), Waker::noop().clone());
        timers.insert(at(10), Waker::noop().clone());
        assert!(timers.remove(gone).is_some());

        assert_eq!(timers.next(), Some(at(10)));
        assert!(timers.pop_due(at(9)).is_none());
        assert!(timers.pop_due(at(10)).is_some());
        assert!(timers.pop_due(at(10)).is_some());
        assert!(timers.pop_due(at(10)).is_none());
        assert_eq!(timers.next(), Some(at(20)));
    }
}
