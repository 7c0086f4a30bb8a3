//! The handle through which a handler sends events to one client.

use std::{fmt, future::poll_fn, sync::Arc};

use super::{SendError, SubscribeError, queue::Queue, recorder::Recorder};
use crate::pubsub::{
    broker::{Broker, ClientAddress, TopicName},
    event::{Event, NewEvent, PreparedEvent},
};

/// A handle to one client of an event stream.
///
/// The stream ends when the handler returns or panics, when [`close`](Self::close) is called, when the
/// overflow policy or a subscribed topic ends it, or when the client disconnects. It does not end when the
/// last handle is dropped. Clones share one client. All methods may be called from any thread.
#[derive(Clone)]
pub struct Client {
    queue: Arc<Queue>,
    recorder: Option<Arc<Recorder>>,
    address: ClientAddress,
}

impl Client {
    pub(super) fn new(queue: Arc<Queue>, recorder: Option<Arc<Recorder>>, address: ClientAddress) -> Self {
        Self { queue, recorder, address }
    }

    /// Sends an event. Events of one sender leave in order.
    ///
    /// Returns `Ok` once the event is in the client's queue, or was dropped by the
    /// [overflow](super::Overflow) policy. [`dropped`](Self::dropped) returns the number of dropped events.
    ///
    /// # Errors
    ///
    /// - [`SendError::Closed`] if the stream is closed, also if the overflow policy closed it because of this
    ///   event.
    ///   event.
    /// - [`SendError::Store`] if the stream has a [`Replay`](super::Replay) and the event cannot be stored.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped while it waits for room, the event is not sent. With a
    /// [`Replay`](super::Replay), an event that is already on its way to the store is sent nevertheless.
    pub async fn send(&self, event: Event) -> Result<(), SendError> {
        self.send_new(NewEvent::Plain(event)).await
    }

    /// Like [`send`](Self::send), for an event that is already encoded.
    ///
    /// # Errors
    ///
    /// See [`send`](Self::send).
    ///
    /// # Cancel safety
    ///
    /// See [`send`](Self::send).
    pub async fn send_prepared(&self, event: &PreparedEvent) -> Result<(), SendError> {
        self.send_new(NewEvent::Prepared(event.clone())).await
    }

    async fn send_new(&self, event: NewEvent) -> Result<(), SendError> {
        let weight = event.weight();
        let reservation = poll_fn(|cx| self.queue.poll_reserve(event.event(), weight, cx)).await?;
        match &self.recorder {
            Some(recorder) => recorder.append(&self.queue, reservation, event).await,
            None => {
                reservation.into_iter().for_each(|reservation| reservation.fill(event.encode(None)));
                Ok(())
            }
        }
    }

    /// Adds the events of a topic to this stream.
    ///
    /// They start after the event `last`, which is a position or `earliest`. Without it, and if it is empty,
    /// they start with the next event. The topic's events have the topic's own mailbox and overflow policy.
    /// They stay in order among themselves, but not relative to the events of [`send`](Self::send).
    ///
    /// The whole stream ends when the topic is closed, or when the topic's policy closes this subscriber.
    ///
    /// # Errors
    ///
    /// The stream is closed, the client has reached its limit of topics, or the broker cannot open the topic.
    pub fn subscribe(
        &self,
        broker: &Broker,
        topic: &TopicName,
        last: Option<&[u8]>,
    ) -> Result<(), SubscribeError> {
        let events = broker.open_stream(topic, last, self.address).map_err(SubscribeError::Broker)?;
        self.queue.add_subscription(events)
    }

    /// Returns the number of sent events that are in the queue.
    pub fn depth(&self) -> usize {
        self.queue.depth()
    }

    /// Returns the number of sent events that were dropped because the queue was full.
    pub fn dropped(&self) -> u64 {
        self.queue.dropped()
    }

    /// Closes the stream. It ends after the events in the queue. Does nothing if the stream is already
    /// closed.
    pub fn close(&self) {
        self.queue.close();
    }

    /// Returns `true` if the stream is closed.
    pub fn is_closed(&self) -> bool {
        self.queue.is_closed()
    }

    /// Waits until the stream is closed.
    ///
    /// Useful for senders outside the handler. The handler itself is dropped when its client disconnects.
    pub async fn closed(&self) {
        poll_fn(|cx| self.queue.poll_closed(cx)).await;
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (depth, dropped) = (self.depth(), self.dropped());
        f.debug_struct("Client").field("depth", &depth).field("dropped", &dropped).finish_non_exhaustive()
    }
}
