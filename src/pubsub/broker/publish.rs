//! Publishing: an event goes to the store first, then to the subscribers in the store's order.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use windlass_actors::fanout::{DeliveryReport, Label, Receipt};

use super::{PublishError, Shared, TopicName, log::OpenLog, log_table::is_shared, usage::LogUse};
use crate::{
    pubsub::event::{EncodedEvent, NewEvent},
    replay::{self, Append, Appended, Durability, Position, StoreError, StoreFuture},
};

/// A published event.
#[derive(Debug)]
pub struct Published {
    position: Option<Position>,
    /// `None` if the topic was closed before the store answered and is not open again.
    receipt: Option<Receipt<EncodedEvent>>,
}

impl Published {
    /// Returns the position of the event.
    ///
    /// Returns `None` if the store failed and the topic's [durability](super::TopicPolicy::durability) is
    /// [`None`](Durability::None). The current subscribers receive such an event, but it is not in the
    /// history.
    pub fn position(&self) -> Option<Position> {
        self.position
    }

    /// Returns the number of subscribers of the topic's log at the time of publishing.
    pub fn subscribers(&self) -> usize {
        self.receipt.as_ref().map_or(0, Receipt::subscribers)
    }

    /// Waits until every shard has added the event to its subscribers' mailboxes, and returns the counts.
    ///
    /// Returns incomplete counts after `timeout`.
    pub async fn delivered(&self, timeout: Duration) -> DeliveryReport {
        match &self.receipt {
            Some(receipt) => receipt.delivery_report(timeout).await,
            None => DeliveryReport::default(),
        }
    }
}

/// A future for the result of [`Broker::publish`](super::Broker::publish).
///
/// The event is already in the store's queue, unless publishing failed at once. Dropping the future does not
/// cancel it.
#[must_use = "the result tells whether the event was published; drop it explicitly if that does not matter"]
pub struct Publish(PublishState);

enum PublishState {
    Failed(Option<PublishError>),
    InFlight(StoreFuture<Result<Published, PublishError>>),
}

impl Publish {
    pub(super) fn failed(error: PublishError) -> Self {
        Self(PublishState::Failed(Some(error)))
    }
}

impl Future for Publish {
    type Output = Result<Published, PublishError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(match &mut self.0 {
            PublishState::Failed(error) => Err(error.take().unwrap_or(PublishError::Closed)),
            PublishState::InFlight(answer) => {
                ready!(Pin::new(answer).poll(cx)).map_err(PublishError::Store).flatten()
            }
        })
    }
}

/// Appends an event to the store. The store's completion delivers it to the subscribers.
pub(super) fn publish(log: LogUse, topic: &TopicName, event: NewEvent) -> Publish {
    let plain = event.event();
    let mut append =
        Append::new(log.store_key.clone(), plain.data().clone()).durability(log.policy.durability);
    append.name = plain.name().cloned();
    let label = is_shared(&log.key).then(|| Label::from(topic.0.clone()));
    if let Some(label) = &label {
        append = append.labels([Bytes::copy_from_slice(label.as_bytes())]);
    }
    if !plain.tags().is_empty() {
        append = append.tags(plain.tags().iter().cloned());
    }
    let (done, answer) = replay::completion();
    let broker = Arc::clone(&log.broker);
    let stored = Box::new(move |outcome: Result<Appended, StoreError>| {
        let position = log.broker.check_append(&log, outcome);
        done(Ok(position.map(|position| deliver(&log, event.encode_shared(position, label)))));
    });
    match broker.store.append(append, stored) {
        Ok(()) => Publish(PublishState::InFlight(answer)),
        Err(_) => Publish::failed(PublishError::Busy),
    }
}

impl Shared {
    /// Returns the position of an appended event, and counts a failure of the store.
    ///
    /// Returns `Ok(None)` if the store failed and the log's durability does not require that events are
    /// stored.
    fn check_append(
        &self,
        log: &OpenLog,
        outcome: Result<Appended, StoreError>,
    ) -> Result<Option<Position>, PublishError> {
        let error = match outcome {
            Ok(appended) => return Ok(Some(appended.position)),
            Err(error) => error,
        };
        if error.is_rejection() {
            return Err(PublishError::Store(error));
        }
        self.count_store_error(&error);
        if log.policy.durability == Durability::Fsynced { Err(PublishError::Store(error)) } else { Ok(None) }
    }
}

/// Delivers an event to the subscribers of its log.
fn deliver(log: &LogUse, event: EncodedEvent) -> Published {
    let position = event.position;
    let receipt = fan_out(log, event.clone()).or_else(|| {
        // The log was closed in the meantime. If it is open again, its new subscribers are owed this event.
        let reopened = log.broker.registry().get(&log.key)?;
        fan_out(&reopened, event)
    });
    Published { position, receipt }
}

/// Records the event's position and passes the event to the relays. Returns `None` if the log is closed.
fn fan_out(log: &OpenLog, event: EncodedEvent) -> Option<Receipt<EncodedEvent>> {
    match event.position {
        Some(position) => {
            log.record(position);
            log.fanout.publish_with_seq(position.seq(), event).ok()
        }
        None => log.fanout.publish_unnumbered(event).ok(),
    }
}
