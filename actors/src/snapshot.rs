//! One writer publishes whole values, many readers look at the latest without locks.
//!
//! `tests/snapshot_model.rs` compiles this file over a stand-in for arc-swap.

use std::sync::Arc;

use crate::sync::{ArcSwap, Cache};

/// Publishes values of `T` to any number of [`Reader`]s.
#[derive(Debug)]
pub struct Publisher<T> {
    latest: Arc<ArcSwap<T>>,
}

impl<T> Publisher<T> {
    /// Starts with a first value.
    pub fn new(first: impl Into<Arc<T>>) -> Self {
        Self { latest: Arc::new(ArcSwap::new(first.into())) }
    }

    /// Replaces the value. Readers see it at their next [`load`](Reader::load); who holds the old one keeps it.
    pub fn publish(&self, value: impl Into<Arc<T>>) {
        self.latest.store(value.into());
    }

    /// Returns the latest value.
    pub fn latest(&self) -> Arc<T> {
        self.latest.load_full()
    }

    /// Makes a reader, one for each shard or thread.
    pub fn reader(&self) -> Reader<T> {
        let mut cache = Cache::new(Arc::clone(&self.latest));
        let seen = Arc::clone(cache.load());
        Reader { cache, seen }
    }
}

/// Reads the latest value; about one load from shared memory while nothing changes.
#[derive(Debug)]
pub struct Reader<T> {
    cache: Cache<Arc<ArcSwap<T>>, Arc<T>>,
    /// What the last [`load`](Self::load) returned: held, so that its address cannot be reused by a newer value.
    seen: Arc<T>,
}

impl<T> Reader<T> {
    /// Returns the latest value.
    pub fn load(&mut self) -> &Arc<T> {
        let latest = self.cache.load();
        if !Arc::ptr_eq(latest, &self.seen) {
            self.seen = Arc::clone(latest);
        }
        &self.seen
    }

    /// Says whether a value was published since this reader's last [`load`](Self::load).
    pub fn changed(&mut self) -> bool {
        !Arc::ptr_eq(self.cache.load(), &self.seen)
    }
}

impl<T> Clone for Reader<T> {
    fn clone(&self) -> Self {
        Self { cache: self.cache.clone(), seen: Arc::clone(&self.seen) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_sees_the_latest_value_and_that_it_changed() {
        let publisher = Publisher::new(1);
        let mut reader = publisher.reader();
        assert_eq!(**reader.load(), 1);
        assert!(!reader.changed());

        let held = Arc::clone(reader.load());
        publisher.publish(2);
        assert!(reader.changed());
        assert_eq!(**reader.load(), 2);
        assert!(!reader.changed());
        assert_eq!((*held, *publisher.latest()), (1, 2));
    }
}
