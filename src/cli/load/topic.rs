//! State that the publisher and the subscribers of the topic share.

use std::{
    cell::{Cell, RefCell},
    time::{Duration, Instant},
};

use tokio::time::sleep;

use super::gate::Gate;

/// Interval at which the subscribers' progress is checked.
const CHECK_INTERVAL: Duration = Duration::from_millis(10);

/// Reading speed of a subscriber.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// Reads at once.
    Fast,
    /// Reads at a limited rate until publishing ends.
    Slow,
}

/// State that the publisher and the subscribers of the topic share.
#[derive(Debug)]
pub(super) struct Topic {
    /// Due times of the events.
    pub(super) gate: Gate,
    /// Start of the time scale of the events.
    epoch: Instant,
    published: Cell<u64>,
    /// Subscriptions that were answered or failed.
    answered: Cell<u32>,
    /// Number of events received or reported missing, by subscriber; `None` if it failed.
    received: RefCell<Vec<Option<u64>>>,
    is_over: Cell<bool>,
}

impl Topic {
    pub(super) fn new(gate: Gate, subscribers: u32) -> Self {
        Self {
            gate,
            epoch: Instant::now(),
            published: Cell::new(0),
            answered: Cell::new(0),
            received: RefCell::new(vec![Some(0); subscribers as usize]),
            is_over: Cell::new(false),
        }
    }

    /// Returns a time on the time scale of the events.
    pub(super) fn time(&self, at: Instant) -> Duration {
        at.saturating_duration_since(self.epoch)
    }

    /// Returns the number of published events.
    pub(super) fn published(&self) -> u64 {
        self.published.get()
    }

    /// Counts a published event.
    pub(super) fn count_published(&self) {
        self.published.set(self.published.get() + 1);
    }

    /// Counts a subscription that was answered or failed.
    pub(super) fn count_answered(&self) {
        self.answered.set(self.answered.get() + 1);
    }

    /// Records the number of events that a subscriber has received or was told are missing; `None` if it
    /// failed.
    pub(super) fn set_received(&self, subscriber: usize, events: Option<u64>) {
        self.received.borrow_mut()[subscriber] = events;
    }

    /// Records that publishing has ended, so that slow subscribers read the rest at once.
    pub(super) fn end(&self) {
        self.is_over.set(true);
    }

    /// Returns `true` if publishing has ended.
    pub(super) fn is_over(&self) -> bool {
        self.is_over.get()
    }

    /// Waits until this many subscriptions were answered or failed.
    pub(super) async fn subscriptions_answered(&self, subscribers: u32) {
        while self.missing_subscriptions(subscribers) > 0 {
            sleep(CHECK_INTERVAL).await;
        }
    }

    /// Returns how many of this many subscriptions were not answered.
    pub(super) fn missing_subscriptions(&self, subscribers: u32) -> u32 {
        subscribers.saturating_sub(self.answered.get())
    }

    /// Waits until every subscriber that has not failed has received every event or its report in a gap, or
    /// until the deadline. Returns the number of deliveries that are still missing.
    pub(super) async fn drain(&self, deadline: Instant) -> u64 {
        while self.pending() > 0 && Instant::now() < deadline {
            sleep(CHECK_INTERVAL).await;
        }
        self.pending()
    }

    fn pending(&self) -> u64 {
        let published = self.published.get();
        let received = self.received.borrow();
        received.iter().flatten().map(|received| published.saturating_sub(*received)).sum()
    }
}
