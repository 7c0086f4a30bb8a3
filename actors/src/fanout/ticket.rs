//! What a publisher is given: the event's number, and on request what became of it.

use std::{
    fmt,
    future::poll_fn,
    pin::pin,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Poll, Waker},
    time::Duration,
};

use super::{
    counts::Pass,
    event::{Event, Payload},
    terms::Overflow,
};
use crate::{
    ask::instant_after,
    deadline::Deadline,
    race::{First, race},
    remote::Remote,
};

/// What became of an event, summed over the shards that have told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Delivered {
    /// Queues that took it.
    pub taken: usize,
    /// Subscribers for which it was lost.
    pub dropped: usize,
    /// Subscribers unregistered because of it.
    pub removed: usize,
    /// Subscribers closed because of it.
    pub closed: usize,
    /// One of those that did not get it, by its [id](super::Subscription::id), and what happened to it.
    pub first_without: Option<(u64, Overflow)>,
    /// Shards that had no room for it: their subscribers are told with the next event that gets there.
    pub shards_full: usize,
    /// Shards that had not answered when the time was up.
    pub shards_silent: usize,
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
    first_without: OnceLock<(u64, Overflow)>,
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
            first_without: OnceLock::new(),
            waiter: Mutex::new(None),
        }
    }

    /// Adds what one shard did.
    pub(super) fn add(&self, pass: &Pass) {
        self.taken.fetch_add(pass.taken, Ordering::Relaxed);
        self.dropped.fetch_add(pass.dropped, Ordering::Relaxed);
        self.removed.fetch_add(pass.removed, Ordering::Relaxed);
        self.closed.fetch_add(pass.closed, Ordering::Relaxed);
        if let Some(first) = pass.first_without {
            // Another shard's may be there already.
            let _ = self.first_without.set(first);
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

    fn sum(&self) -> Delivered {
        Delivered {
            shards_silent: self.silent.load(Ordering::Acquire),
            shards_full: self.full.load(Ordering::Relaxed),
            taken: self.taken.load(Ordering::Relaxed),
            dropped: self.dropped.load(Ordering::Relaxed),
            removed: self.removed.load(Ordering::Relaxed),
            closed: self.closed.load(Ordering::Relaxed),
            first_without: self.first_without.get().copied(),
        }
    }

    async fn complete(&self) {
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

/// A published event. Dropping it costs nothing and changes nothing.
#[must_use = "it tells the event's number and what became of it; drop it if neither matters"]
pub struct Ticket<P> {
    event: Arc<Event<P>>,
    subscribers: usize,
    clock: Option<Arc<Remote>>,
}

impl<P: Payload> Ticket<P> {
    pub(super) fn new(event: Arc<Event<P>>, subscribers: usize, clock: Option<Arc<Remote>>) -> Self {
        Self { event, subscribers, clock }
    }

    /// Returns the event's number.
    pub fn seq(&self) -> u64 {
        self.event.seq
    }

    /// Returns the event.
    pub fn event(&self) -> &Arc<Event<P>> {
        &self.event
    }

    /// Returns how many subscribers the topic had.
    pub fn subscribers(&self) -> usize {
        self.subscribers
    }

    /// Waits until every shard has handed the event out, for `timeout` at most, and tells what became of it.
    ///
    /// One waiter at a time. The timeout is kept as that of [`Addr::ask`](crate::Addr::ask) is.
    ///
    /// # Panics
    ///
    /// Awaited in a tokio runtime whose timers are not enabled.
    ///
    /// # Cancel safety
    ///
    /// It may be dropped and called again.
    pub async fn delivered(&self, timeout: Duration) -> Delivered {
        if let Some(clock) = &self.clock {
            let until = Deadline::new(instant_after(timeout), Arc::clone(clock));
            match race(pin!(self.event.gather.complete()), pin!(until)).await {
                First::Left(()) | First::Right(()) => {}
            }
        }
        self.event.gather.sum()
    }
}

impl<P> fmt::Debug for Ticket<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket").field("event", &self.event).field("subscribers", &self.subscribers).finish()
    }
}
