//! The timers of a shard.

use std::{collections::BTreeMap, task::Waker, time::Instant};

/// Key of a timer, unique on its shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TimerKey {
    deadline: Instant,
    serial: u64,
}

/// Timers of a shard, ordered by their deadlines. A removed timer costs nothing.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    wakers: BTreeMap<TimerKey, Waker>,
    last_serial: u64,
}

impl Timers {
    /// Adds a timer that wakes `waker` at `deadline`.
    pub(crate) fn insert(&mut self, deadline: Instant, waker: Waker) -> TimerKey {
        self.last_serial += 1;
        let key = TimerKey { deadline, serial: self.last_serial };
        self.wakers.insert(key, waker);
        key
    }

    /// Replaces the waker of a timer. Returns `false` if the timer has fired or was removed.
    pub(crate) fn set_waker(&mut self, key: TimerKey, waker: &Waker) -> bool {
        let entry = self.wakers.get_mut(&key);
        entry.map(|known| known.clone_from(waker)).is_some()
    }

    /// Removes a timer and returns its waker. The caller drops the waker after the end of all borrows.
    pub(crate) fn remove(&mut self, key: TimerKey) -> Option<Waker> {
        self.wakers.remove(&key)
    }

    /// Returns the earliest deadline, or `None` without timers.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.wakers.first_key_value().map(|(key, _)| key.deadline)
    }

    /// Removes the earliest timer if its deadline is not after `now`, and returns its waker.
    pub(crate) fn pop_expired(&mut self, now: Instant) -> Option<Waker> {
        let entry = self.wakers.first_entry()?;
        (entry.key().deadline <= now).then(|| entry.remove())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn timers_expire_in_order_and_removed_ones_never() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut timers = Timers::default();
        timers.insert(at(20), Waker::noop().clone());
        let removed = timers.insert(at(5), Waker::noop().clone());
        timers.insert(at(10), Waker::noop().clone());
        timers.insert(at(10), Waker::noop().clone());
        assert!(timers.remove(removed).is_some());

        assert_eq!(timers.next_deadline(), Some(at(10)));
        assert!(timers.pop_expired(at(9)).is_none());
        assert!(timers.pop_expired(at(10)).is_some());
        assert!(timers.pop_expired(at(10)).is_some());
        assert!(timers.pop_expired(at(10)).is_none());
        assert_eq!(timers.next_deadline(), Some(at(20)));
    }
}
