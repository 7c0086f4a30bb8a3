//! What became of one event, gathered from the shards.

use std::{
    future::poll_fn,
    sync::{
        Mutex, OnceLock, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Poll, Waker},
};

use super::{counts::Pass, overflow::Overflow};

/// What became of an event, summed over the shards that have told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeliveryReport {
    /// Queues that took it.
    pub delivered: usize,
    /// Subscribers for which it was lost.
    pub dropped: usize,
    /// Subscribers unregistered because of it.
    pub removed: usize,
    /// Subscribers closed because of it.
    pub closed: usize,
    /// One of those that did not get it, by its [id](super::Subscription::id), and what happened to it.
    pub first_lost: Option<(u64, Overflow)>,
    /// Shards that had no room for it: their subscribers are told with the next event that gets there.
    pub shards_full: usize,
    /// Shards that had not answered when the time was up.
    pub shards_pending: usize,
}

/// Where the shards' counts for one event come together.
pub(super) struct Gather {
    /// Shards that have not told.
    silent: AtomicUsize,
    full: AtomicUsize,
    taken: AtomicUsize,
    dropped: AtomicUsize,
    removed: AtomicUsize,
    closed: AtomicUsize,
    first_lost: OnceLock<(u64, Overflow)>,
    waiter: Mutex<Option<Waker>>,
}

impl Gather {
    /// Expects the counts of so many shards, less those that turn out to be full.
    pub(super) fn of(shards: usize) -> Self {
        Self {
            silent: AtomicUsize::new(shards),
            full: AtomicUsize::new(0),
            taken: AtomicUsize::new(0),
            dropped: AtomicUsize::new(0),
            removed: AtomicUsize::new(0),
            closed: AtomicUsize::new(0),
            first_lost: OnceLock::new(),
            waiter: Mutex::new(None),
        }
    }

    /// Adds what one shard did.
    pub(super) fn add(&self, pass: &Pass) {
        self.taken.fetch_add(pass.taken, Ordering::Relaxed);
        self.dropped.fetch_add(pass.dropped, Ordering::Relaxed);
        self.removed.fetch_add(pass.removed, Ordering::Relaxed);
        self.closed.fetch_add(pass.closed, Ordering::Relaxed);
        if let Some(first) = pass.first_lost {
            // Another shard's may be there already.
            let _ = self.first_lost.set(first);
        }
        self.told();
    }

    /// Notes that a shard had no room.
    pub(super) fn full(&self) {
        self.full.fetch_add(1, Ordering::Relaxed);
        self.told();
    }

    fn told(&self) {
        // What was added before is seen by whoever sees the zero.
        if self.silent.fetch_sub(1, Ordering::AcqRel) == 1 {
            let waiter = self.waiter.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(waiter) = waiter {
                waiter.wake();
            }
        }
    }

    pub(super) fn sum(&self) -> DeliveryReport {
        DeliveryReport {
            shards_pending: self.silent.load(Ordering::Acquire),
            shards_full: self.full.load(Ordering::Relaxed),
            delivered: self.taken.load(Ordering::Relaxed),
            dropped: self.dropped.load(Ordering::Relaxed),
            removed: self.removed.load(Ordering::Relaxed),
            closed: self.closed.load(Ordering::Relaxed),
            first_lost: self.first_lost.get().copied(),
        }
    }

    pub(super) async fn complete(&self) {
        poll_fn(|cx| {
            let mut waiter = self.waiter.lock().unwrap_or_else(PoisonError::into_inner);
            if self.silent.load(Ordering::Acquire) == 0 {
                return Poll::Ready(());
            }
            *waiter = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}
