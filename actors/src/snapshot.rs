//! One writer publishes whole values, many readers look at the latest without locks.
//!
//! `tests/mailbox_model.rs` compiles this file over a stand-in for arc-swap.

use std::sync::Arc;

use crate::sync::{ArcSwap, Cache};

/// Publishes values of `T` to any number of [`Reader`]s.
///
/// ```
/// use windlass_actors::Publisher;
///
/// let limits = Publisher::new(10);
/// let mut reader = limits.reader();
/// let held = reader.load().clone();
/// assert!(!reader.changed());
///
/// limits.publish(20);
/// assert!(reader.changed());
/// assert_eq!((**reader.load(), *held), (20, 10), "who holds the old one keeps it");
/// assert!(!reader.changed());
/// assert_eq!(*limits.latest(), 20);
/// ```
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
