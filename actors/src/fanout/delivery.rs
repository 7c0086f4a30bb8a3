//! The outcome of one event, collected from the shards.

use std::{
    future::poll_fn,
    sync::{
        Mutex, OnceLock, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Poll, Waker},
};

use super::{counters::ShardDelivery, overflow::Overflow};

/// Outcome of one event, summed over the shards that have reported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeliveryReport {
    /// Subscribers that got the event into their queue or their outlet.
    pub delivered: usize,
    /// Subscribers that lost the event.
    pub dropped: usize,
    /// Subscribers that were unregistered because the event found their queue full.
    pub removed: usize,
    /// Subscribers that were closed because the event found their queue full.
    pub closed: usize,
    /// One of the subscribers that did not get the event, by its [id](super::Subscription::id), and what
    /// happened to it.
    pub first_lost: Option<(u64, Overflow)>,
    /// Shards whose relays had no room for the event. With the next event, their subscribers are treated as
    /// if this one had found their queues full.
    pub shards_full: usize,
    /// Shards that had not reported when the timeout expired.
    pub shards_pending: usize,
}

/// Collects the outcome of one event from the shards.
pub(super) struct DeliveryCounter {
    /// Shards that have not reported.
    pending: AtomicUsize,
    full: AtomicUsize,
    delivered: AtomicUsize,
    dropped: AtomicUsize,
    removed: AtomicUsize,
    closed: AtomicUsize,
    first_lost: OnceLock<(u64, Overflow)>,
    waiter: Mutex<Option<Waker>>,
}

impl DeliveryCounter {
    /// Creates a counter that expects reports from `shards` shards.
    pub(super) fn new(shards: usize) -> Self {
        Self {
            pending: AtomicUsize::new(shards),
            full: AtomicUsize::new(0),
            delivered: AtomicUsize::new(0),
            dropped: AtomicUsize::new(0),
            removed: AtomicUsize::new(0),
            closed: AtomicUsize::new(0),
            first_lost: OnceLock::new(),
            waiter: Mutex::new(None),
        }
    }

    /// Adds the report of a shard.
    pub(super) fn add(&self, shard: &ShardDelivery) {
        self.delivered.fetch_add(shard.delivered, Ordering::Relaxed);
        self.dropped.fetch_add(shard.dropped, Ordering::Relaxed);
        self.removed.fetch_add(shard.removed, Ordering::Relaxed);
        self.closed.fetch_add(shard.closed, Ordering::Relaxed);
        if let Some(first) = shard.first_lost {
            // Another shard may have set it already.
            let _ = self.first_lost.set(first);
        }
        self.complete_shard();
    }

    /// Records that the relay of a shard had no room for the event.
    pub(super) fn add_full(&self) {
        self.full.fetch_add(1, Ordering::Relaxed);
        self.complete_shard();
    }

    fn complete_shard(&self) {
        // A thread that reads zero also sees the counts that were added before.
        if self.pending.fetch_sub(1, Ordering::AcqRel) == 1 {
            let waiter = self.waiter.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(waiter) = waiter {
                waiter.wake();
            }
        }
    }

    /// Returns the sum of the reports so far.
    pub(super) fn report(&self) -> DeliveryReport {
        DeliveryReport {
            shards_pending: self.pending.load(Ordering::Acquire),
            shards_full: self.full.load(Ordering::Relaxed),
            delivered: self.delivered.load(Ordering::Relaxed),
            dropped: self.dropped.load(Ordering::Relaxed),
            removed: self.removed.load(Ordering::Relaxed),
            closed: self.closed.load(Ordering::Relaxed),
            first_lost: self.first_lost.get().copied(),
        }
    }

    /// Waits until all shards have reported. Only one task may wait at a time.
    pub(super) async fn completed(&self) {
        poll_fn(|cx| {
            let mut waiter = self.waiter.lock().unwrap_or_else(PoisonError::into_inner);
            if self.pending.load(Ordering::Acquire) == 0 {
                return Poll::Ready(());
            }
            *waiter = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}
