//! The files of a route that were served lately, shared by all shards.
//!
//! A lookup takes one of several locks for a short time. Entries are checked after an interval. In the second
//! interval the entry is served while one lookup checks it, so that a file in demand makes no request wait.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::{
    entry::{Entry, Found},
    promise::Promise,
};

/// Number of parts of the cache, each with a lock.
const STRIPES: usize = 16;

/// Maximum number of entries of a part. Each may be an open file.
const STRIPE_ENTRIES: usize = 32;

/// A bounded map from names to files.
pub(super) struct Cache {
    stripes: [Mutex<Stripe>; STRIPES],
    hasher: RandomState,
    /// Maximum number of bytes of a part.
    stripe_bytes: usize,
    /// Time after which an entry is checked.
    interval: Duration,
}

#[derive(Default)]
struct Stripe {
    slots: HashMap<Box<str>, Slot>,
    bytes: usize,
    /// Number of uses, as a clock for the least recently used entry.
    uses: u64,
}

struct Slot {
    entry: Option<Checked>,
    /// The lookup in progress.
    lookup: Option<Promise<Found>>,
    last_use: u64,
}

struct Checked {
    entry: Arc<Entry>,
    /// Start of the lookup that found it.
    at: Instant,
}

/// State of a name in the cache.
pub(super) enum Cached {
    /// A file to serve.
    File(Arc<Entry>),
    /// A file to serve, which the caller must check meanwhile.
    Stale(Arc<Entry>),
    /// A lookup in progress.
    Pending(Promise<Found>),
    /// Nothing usable: the caller must look the name up, given the entry that it may reuse.
    Unknown(Promise<Found>, Option<Arc<Entry>>),
}

impl Cache {
    /// Creates a cache that holds up to about `bytes` of content.
    pub(super) fn new(bytes: usize, interval: Duration) -> Self {
        let stripes = std::array::from_fn(|_| Mutex::default());
        Self { stripes, hasher: RandomState::new(), stripe_bytes: bytes / STRIPES, interval }
    }

    fn stripe(&self, name: &str) -> MutexGuard<'_, Stripe> {
        let index = self.hasher.hash_one(name) as usize % STRIPES;
        self.stripes[index].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns what the cache has for a name. After [`Cached::Stale`] and [`Cached::Unknown`] the caller must
    /// call [`complete`](Self::complete).
    pub(super) fn find(&self, name: &str, now: Instant) -> Cached {
        let mut stripe = self.stripe(name);
        stripe.uses += 1;
        let uses = stripe.uses;
        let Some(slot) = stripe.slots.get_mut(name) else {
            let promise = Promise::new();
            let slot = Slot { entry: None, lookup: Some(promise.clone()), last_use: uses };
            stripe.slots.insert(name.into(), slot);
            return Cached::Unknown(promise, None);
        };
        slot.last_use = uses;
        if let Some(checked) = &slot.entry {
            let age = now.saturating_duration_since(checked.at);
            if age < self.interval {
                return Cached::File(checked.entry.clone());
            }
            if age < self.interval * 2 {
                let is_checked = slot.lookup.is_some();
                slot.lookup.get_or_insert_with(Promise::new);
                let entry = checked.entry.clone();
                return if is_checked { Cached::File(entry) } else { Cached::Stale(entry) };
            }
        }
        match &slot.lookup {
            Some(promise) => Cached::Pending(promise.clone()),
            None => {
                let promise = Promise::new();
                slot.lookup = Some(promise.clone());
                Cached::Unknown(promise, slot.entry.as_ref().map(|checked| checked.entry.clone()))
            }
        }
    }

    /// Completes the lookup of a name that began at `began`: keeps a file, forgets anything else, and tells
    /// those who wait.
    pub(super) fn complete(&self, name: &str, found: Found, began: Instant) {
        let mut stripe = self.stripe(name);
        let Some(slot) = stripe.slots.get_mut(name) else { return };
        let promise = slot.lookup.take();
        let old = slot.entry.take();
        let freed = old.as_ref().map_or(0, |checked| checked.entry.cost_bytes());
        let mut added = 0;
        match &found {
            Found::File(entry) => {
                added = entry.cost_bytes();
                slot.entry = Some(Checked { entry: entry.clone(), at: began });
            }
            // The next check may succeed. The entry is served no longer than before.
            Found::Unavailable(_) if old.is_some() => {
                added = freed;
                slot.entry = old;
            }
            _ => drop(stripe.slots.remove(name)),
        }
        stripe.bytes = stripe.bytes - freed + added;
        let evicted = stripe.evict(self.stripe_bytes);
        drop(stripe);
        drop(evicted);
        if let Some(promise) = promise {
            promise.keep(found);
        }
    }
}

impl Stripe {
    /// Removes the least recently used entries until the part is within its bounds. Returns them, to be
    /// dropped without the lock.
    fn evict(&mut self, max_bytes: usize) -> Vec<Slot> {
        let mut evicted = Vec::new();
        while self.bytes > max_bytes || self.entries().count() > STRIPE_ENTRIES {
            let oldest = self.entries().filter(|(_, slot)| slot.lookup.is_none());
            let Some(name) = oldest.min_by_key(|(_, slot)| slot.last_use).map(|(name, _)| name.clone())
            else {
                break;
            };
            if let Some(slot) = self.slots.remove(&name) {
                self.bytes -= slot.entry.as_ref().map_or(0, |checked| checked.entry.cost_bytes());
                evicted.push(slot);
            }
        }
        evicted
    }

    fn entries(&self) -> impl Iterator<Item = (&Box<str>, &Slot)> {
        self.slots.iter().filter(|(_, slot)| slot.entry.is_some())
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use bytes::Bytes;
    use http::HeaderValue;

    use super::*;
    use crate::files::{
        disk::{FileKind, FileStat},
        entry::{Content, Representation},
    };

    const SECOND: Duration = Duration::from_secs(1);

    fn file(len: usize) -> Found {
        let stat =
            FileStat { kind: FileKind::Regular, len_bytes: len as u64, identity: (0, 0), modified: (0, 0) };
        let content = Content::Cached(Bytes::from(vec![0; len]));
        Found::File(Arc::new(Entry {
            content_type: HeaderValue::from_static("text/plain"),
            cache_control: None,
            plain: Representation::new(stat, content, SystemTime::now()),
            coded: Vec::new(),
        }))
    }

    #[test]
    fn one_lookup_serves_all_who_wait() {
        let (cache, now) = (Cache::new(1 << 20, SECOND), Instant::now());
        assert!(matches!(cache.find("a", now), Cached::Unknown(_, None)));
        assert!(matches!(cache.find("a", now), Cached::Pending(_)));
        cache.complete("a", file(10), now);
        assert!(matches!(cache.find("a", now), Cached::File(_)));
        assert!(matches!(cache.find("b", now), Cached::Unknown(_, None)));
        cache.complete("b", Found::Missing, now);
        assert!(matches!(cache.find("b", now), Cached::Unknown(_, None)));
    }

    #[test]
    fn an_entry_is_checked_once_in_each_interval() {
        let (cache, now) = (Cache::new(1 << 20, SECOND), Instant::now());
        cache.find("a", now);
        cache.complete("a", file(10), now);
        assert!(matches!(cache.find("a", now + SECOND / 2), Cached::File(_)));
        assert!(matches!(cache.find("a", now + SECOND), Cached::Stale(_)));
        assert!(matches!(cache.find("a", now + SECOND), Cached::File(_)));
        assert!(matches!(cache.find("a", now + 2 * SECOND), Cached::Pending(_)));
        cache.complete("a", Found::Unavailable("busy"), now + SECOND);
        assert!(matches!(cache.find("a", now + 2 * SECOND), Cached::Unknown(_, Some(_))));
        cache.complete("a", file(10), now + 2 * SECOND);
        assert!(matches!(cache.find("a", now + 2 * SECOND), Cached::File(_)));
    }

    #[test]
    fn the_least_recently_used_entries_are_evicted() {
        let (cache, now) = (Cache::new(STRIPES * 100_000, SECOND), Instant::now());
        for number in 0..10_000 {
            let name = number.to_string();
            cache.find(&name, now);
            cache.complete(&name, file(40_000), now);
        }
        for stripe in &cache.stripes {
            let stripe = stripe.lock().unwrap();
            let total: usize =
                stripe.entries().map(|(_, s)| s.entry.as_ref().unwrap().entry.cost_bytes()).sum();
            assert_eq!((stripe.slots.len(), total), (2, stripe.bytes));
        }
        assert!(matches!(cache.find("9999", now), Cached::File(_)));
        assert!(matches!(cache.find("0", now), Cached::Unknown(_, None)));
    }
}
