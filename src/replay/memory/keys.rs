//! The idempotency keys that a log in memory knows.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use bytes::Bytes;

use crate::replay::{KEY_OVERHEAD_BYTES, Retention, clock::expiry_ms};

/// Window of the latest idempotency keys of a log.
#[derive(Default)]
pub(super) struct KeyWindow {
    known: HashMap<Bytes, FirstUse>,
    /// Keys with the times of their first use, oldest first.
    order: VecDeque<(u64, Bytes)>,
    bytes: usize,
}

/// First use of a key.
#[derive(Clone, Copy)]
pub(super) struct FirstUse {
    /// Number of the event.
    pub(super) seq: u64,
    /// Fingerprint of the event.
    pub(super) fingerprint: u64,
}

impl KeyWindow {
    /// Returns the bytes that the window counts against the total of all logs.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns the first use of a key. Forgets the keys that have expired.
    pub(super) fn find(&mut self, key: &[u8], now_ms: u64, age: Duration) -> Option<FirstUse> {
        let oldest_ms = expiry_ms(now_ms, Some(age));
        while self.order.front().is_some_and(|(ms, _)| *ms < oldest_ms) {
            self.forget_oldest();
        }
        self.known.get(key).copied()
    }

    /// Adds a key that is not known. Forgets the oldest keys above the limit.
    pub(super) fn add(&mut self, key: &[u8], first: FirstUse, now_ms: u64, retention: &Retention) {
        if retention.keys == 0 {
            return;
        }
        while self.order.len() >= retention.keys {
            self.forget_oldest();
        }
        // A copy, because the caller's key may be a slice of a large buffer.
        let key = Bytes::copy_from_slice(key);
        self.bytes += key.len() + KEY_OVERHEAD_BYTES;
        self.known.insert(key.clone(), first);
        self.order.push_back((now_ms, key));
    }

    fn forget_oldest(&mut self) {
        if let Some((_, key)) = self.order.pop_front() {
            self.bytes -= key.len() + KEY_OVERHEAD_BYTES;
            self.known.remove(&key);
        }
    }
}
