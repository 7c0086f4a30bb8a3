//! Counters: a number with one writer, and a set of numbers by label.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

/// A number with one writing thread. Adding is a load and a store, without a locked instruction.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, more: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(more), Relaxed);
    }

    pub(crate) fn sub(&self, less: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_sub(less), Relaxed);
    }

    pub(crate) fn value(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Counts of rare events by a label value. The values are constants of this program, never text from a peer.
#[derive(Debug, Default)]
pub(crate) struct LabeledCounter(Mutex<BTreeMap<&'static str, u64>>);

impl LabeledCounter {
    /// Counts one event.
    pub(crate) fn add(&self, label: &'static str) {
        self.add_many(label, 1);
    }

    /// Counts `more` events.
    pub(crate) fn add_many(&self, label: &'static str, more: u64) {
        if more > 0 {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(label).or_default() += more;
        }
    }

    /// Returns the count of one label value, or 0 if it never occurred.
    pub(crate) fn value(&self, label: &str) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(label).copied().unwrap_or_default()
    }

    /// Returns the label values that have occurred, and their counts.
    pub(crate) fn all(&self) -> Vec<(&'static str, u64)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().map(|(c, n)| (*c, *n)).collect()
    }
}
