//! The client of an event stream, as its handler has it.

use std::{fmt, future::poll_fn, net::SocketAddr, sync::Arc};

use super::{queue::Queue, replay::Keeper};
use crate::pubsub::broker::{Broker, Event, Form, PreparedEvent, PublishError, TopicName};

/// Says that nothing more can be sent: the client is gone, or the stream has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed;

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the event stream is closed")
    }
}

impl std::error::Error for Closed {}

/// Why a client cannot follow a topic.
#[derive(Debug)]
#[non_exhaustive]
pub enum SubscribeError {
    /// The stream has ended.
    Closed,
    /// The client follows as many topics as it may ([`Settings::subscriptions`](super::Settings::subscriptions)).
    TooMany,
    /// The broker has no such topic to give.
    Broker(PublishError),
}

impl fmt::Display for SubscribeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => Closed.fmt(f),
            Self::TooMany => f.write_str("the client follows as many topics as it may"),
            Self::Broker(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for SubscribeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        if let Self::Broker(error) = self { Some(error) } else { None }
    }
}

/// One client of server-sent events. Clones are one client; it may be used from any thread.
///
/// The stream ends when the handler returns, when [`close`](Self::close) is called, or with the connection; not when the
/// last clone is dropped.
#[derive(Clone)]
pub struct Client {
    queue: Arc<Queue>,
    keeper: Option<Arc<Keeper>>,
    peer: Option<SocketAddr>,
}

impl Client {
    pub(super) fn new(queue: Arc<Queue>, keeper: Option<Arc<Keeper>>, peer: Option<SocketAddr>) -> Self {
        Self { queue, keeper, peer }
    }

    /// Sends an event: `Ok` says that it is queued, or was dropped by the policy ([`dropped`](Self::dropped) tells).
    ///
    /// Events of one sender leave in order.
    ///
    /// # Errors
    ///
    /// The stream is closed, also when the policy closed it over this event.
    ///
    /// # Cancel safety
    ///
    /// Dropped while it waits for room, nothing is sent. With a [`Replay`](super::Replay), dropped later, it is sent
    /// all the same.
    pub async fn send(&self, event: Event) -> Result<(), super::SendError> {
        self.send_form(Form::Plain(event)).await
    }

    /// Like [`send`](Self::send), for an event that is encoded.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    ///
    /// # Cancel safety
    ///
    /// As [`send`](Self::send).
    pub async fn send_prepared(&self, event: &PreparedEvent) -> Result<(), super::SendError> {
        self.send_form(Form::Prepared(event.clone())).await
    }

    async fn send_form(&self, form: Form) -> Result<(), super::SendError> {
        let weight = form.weight();
        let place = poll_fn(|cx| self.queue.poll_place(form.event(), weight, cx)).await?;
        match &self.keeper {
            Some(keeper) => keeper.keep(&self.queue, place, form).await,
            None => {
                place.into_iter().for_each(|place| place.fill(form.encode(None)));
                Ok(())
            }
        }
    }

    /// Has the client get a topic's events too, after `last`: an event's id, or `earliest`. Without it they begin with the
    /// next one.
    ///
    /// They have the topic's own mailbox and policy beside the queue of this client, and each side stays in order. When the
    /// topic ends, or its policy closes this subscriber, the whole stream ends.
    ///
    /// # Errors
    ///
    /// The stream is closed, or follows as many topics as it may, or the broker cannot give this one.
    pub fn subscribe(
        &self,
        broker: &Broker,
        topic: &TopicName,
        last: Option<&[u8]>,
    ) -> Result<(), SubscribeError> {
        self.queue.join(broker.events(topic, last, self.peer).map_err(SubscribeError::Broker)?)
    }

    /// Returns how many events of [`send`](Self::send) wait for the client.
    pub fn depth(&self) -> usize {
        self.queue.figures().0
    }

    /// Returns how many events of [`send`](Self::send) were dropped because the queue was full.
    pub fn dropped(&self) -> u64 {
        self.queue.figures().1
    }

    /// Ends the stream behind what was sent. Called again it does nothing.
    pub fn close(&self) {
        self.queue.close();
    }

    /// Says whether nothing more can be sent.
    pub fn is_closed(&self) -> bool {
        self.queue.is_closed()
    }

    /// Waits until nothing more can be sent: for senders elsewhere, since the handler itself is dropped when its client is
    /// gone.
    pub async fn closed(&self) {
        poll_fn(|cx| self.queue.poll_closed(cx)).await;
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (depth, dropped) = self.queue.figures();
        f.debug_struct("Client").field("depth", &depth).field("dropped", &dropped).finish_non_exhaustive()
    }
}
