//! Snapshots: one writer publishes whole values, many readers load the latest one without a lock.
//!
//! `tests/mailbox_model.rs` compiles this file with a replacement for arc-swap.

use std::sync::Arc;

use crate::sync::{ArcSwap, Cache};

/// Publisher of values of type `T` to any number of [`Reader`]s.
///
/// ```
/// use windlass_actors::Publisher;
///
/// let limits = Publisher::new(10);
/// let mut reader = limits.reader();
/// let old = reader.load().clone();
/// assert!(!reader.changed());
///
/// limits.publish(20);
/// assert!(reader.changed());
/// assert_eq!((**reader.load(), *old), (20, 10), "an old value lives as long as somebody holds it");
/// assert!(!reader.changed());
/// assert_eq!(*limits.latest(), 20);
/// ```
#[derive(Debug)]
pub struct Publisher<T> {
    latest: Arc<ArcSwap<T>>,
}

impl<T> Publisher<T> {
    /// Creates a publisher with its first value.
    pub fn new(first: impl Into<Arc<T>>) -> Self {
        Self { latest: Arc::new(ArcSwap::new(first.into())) }
    }

    /// Replaces the value. Each reader sees it at its next [`load`](Reader::load).
    pub fn publish(&self, value: impl Into<Arc<T>>) {
        self.latest.store(value.into());
    }

    /// Returns the latest value.
    pub fn latest(&self) -> Arc<T> {
        self.latest.load_full()
    }

    /// Creates a reader. Each shard or thread uses its own.
    pub fn reader(&self) -> Reader<T> {
        let mut cache = Cache::new(Arc::clone(&self.latest));
        let loaded = Arc::clone(cache.load());
        Reader { cache, loaded }
    }
}

/// Reader of the latest value of a [`Publisher`].
///
/// While the value stays the same, a load costs about one read of shared memory.
#[derive(Debug)]
pub struct Reader<T> {
    cache: Cache<Arc<ArcSwap<T>>, Arc<T>>,
    /// The value that the last [`load`](Self::load) returned. Holding it keeps its address from being reused
    /// by a newer value, so that comparing addresses is enough.
    loaded: Arc<T>,
}

impl<T> Reader<T> {
    /// Returns the latest value.
    pub fn load(&mut self) -> &Arc<T> {
        let latest = self.cache.load();
        if !Arc::ptr_eq(latest, &self.loaded) {
            self.loaded = Arc::clone(latest);
        }
        &self.loaded
    }

    /// Returns `true` if a value was published since the last [`load`](Self::load) of this reader.
    pub fn changed(&mut self) -> bool {
        !Arc::ptr_eq(self.cache.load(), &self.loaded)
    }
}

impl<T> Clone for Reader<T> {
    fn clone(&self) -> Self {
        Self { cache: self.cache.clone(), loaded: Arc::clone(&self.loaded) }
    }
}
