//! What a publisher is given: the event's number, and on request what became of it.

use std::{
    fmt,
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    delivery::DeliveryReport,
    event::{Event, Payload},
};
use crate::{
    future::{First, race},
    shard::{Deadline, Remote},
    time::instant_after,
};

/// A published event. Dropping it costs nothing and changes nothing.
#[must_use = "it tells the event's number and what became of it; drop it if neither matters"]
pub struct Receipt<P> {
    event: Arc<Event<P>>,
    subscribers: usize,
    clock: Option<Arc<Remote>>,
}

impl<P: Payload> Receipt<P> {
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
    pub async fn delivery_report(&self, timeout: Duration) -> DeliveryReport {
        if let Some(clock) = &self.clock {
            let until = Deadline::new(instant_after(Instant::now(), timeout), Arc::clone(clock));
            match race(pin!(self.event.gather.complete()), pin!(until)).await {
                First::Left(()) | First::Right(()) => {}
            }
        }
        self.event.gather.sum()
    }
}

impl<P> fmt::Debug for Receipt<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receipt").field("event", &self.event).field("subscribers", &self.subscribers).finish()
    }
}
