//! The publisher's receipt for an event.

use std::{fmt, pin::pin, sync::Arc, time::Duration};

use super::{
    delivery::DeliveryReport,
    event::{Event, Payload},
};
use crate::{
    future::{Either, race},
    shard::{Deadline, Remote},
    time::{self, instant_after},
};

/// Receipt for a published event: its number, and on request its outcome. Dropping the receipt has no effect.
#[must_use = "a receipt tells the number of the event and its outcome; drop it if neither matters"]
pub struct Receipt<P> {
    event: Arc<Event<P>>,
    subscribers: usize,
    /// Shard whose timers end a wait for the delivery at its timeout. `None` if no shard had subscribers.
    timer_shard: Option<Arc<Remote>>,
}

impl<P: Payload> Receipt<P> {
    pub(super) fn new(event: Arc<Event<P>>, subscribers: usize, timer_shard: Option<Arc<Remote>>) -> Self {
        Self { event, subscribers, timer_shard }
    }

    /// Returns the number of the event. An event without a number returns that of the event before it.
    pub fn seq(&self) -> u64 {
        self.event.seq
    }

    /// Returns the event.
    pub fn event(&self) -> &Arc<Event<P>> {
        &self.event
    }

    /// Returns the number of subscribers that the topic had when the event was published, whether or not its
    /// filter excludes them.
    pub fn subscribers(&self) -> usize {
        self.subscribers
    }

    /// Waits until every shard with subscribers has delivered the event, for at most `timeout`, and returns
    /// the outcome so far.
    ///
    /// Only one task may wait at a time. The timeout uses the same timers as that of
    /// [`Addr::ask`](crate::Addr::ask).
    ///
    /// # Panics
    ///
    /// The future is polled in a tokio runtime whose timers are not enabled.
    ///
    /// # Cancel safety
    ///
    /// The future may be dropped, and the method called again.
    pub async fn delivery_report(&self, timeout: Duration) -> DeliveryReport {
        if let Some(shard) = &self.timer_shard {
            let deadline = Deadline::new(instant_after(time::now(), timeout), Some(Arc::clone(shard)));
            match race(pin!(self.event.counter.completed()), pin!(deadline)).await {
                Either::Left(()) | Either::Right(()) => {}
            }
        }
        self.event.counter.report()
    }
}

impl<P> fmt::Debug for Receipt<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receipt").field("event", &self.event).field("subscribers", &self.subscribers).finish()
    }
}
