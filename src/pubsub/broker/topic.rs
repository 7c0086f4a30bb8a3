//! A topic that the broker has open.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use windlass_actors::fanout::{Policy, SubscribeOptions, Topic};

use super::{TopicName, TopicPolicy};
use crate::{
    pubsub::event::EncodedEvent,
    replay::{Position, Query, ReplayStore, Start, Window},
};

/// A topic with publishers or subscribers.
pub(super) struct OpenTopic {
    pub(super) name: TopicName,
    /// The name as a key of the store.
    pub(super) key: Bytes,
    pub(super) fanout: Topic<EncodedEvent>,
    pub(super) policy: TopicPolicy,
    /// The highest position known so far.
    last: Mutex<Option<Position>>,
}

impl OpenTopic {
    pub(super) fn new(name: TopicName, fanout: Topic<EncodedEvent>, policy: TopicPolicy) -> Self {
        let key = Bytes::copy_from_slice(name.as_str().as_bytes());
        Self { name, key, fanout, policy, last: Mutex::default() }
    }

    /// Records the position of an event, unless a higher one is recorded.
    pub(super) fn record(&self, position: Position) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_none_or(|last| last.seq() < position.seq()) {
            *last = Some(position);
        }
    }

    /// Returns the highest recorded position.
    pub(super) fn last(&self) -> Option<Position> {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the subscription options for a client at this address.
    pub(super) fn options(&self, peer: Option<SocketAddr>) -> SubscribeOptions {
        let options = SubscribeOptions::new(self.policy.bounds(), self.policy.overflow.clone());
        match self.policy.overflow {
            Policy::Always(_) => options,
            // Only a callback reads the subscriber.
            Policy::Ask(_) => options.with_identity(Arc::new(Subscriber { topic: self.name.clone(), peer })),
        }
    }

    /// Asks the store for the end of the topic's stored history, and records it when the answer comes.
    ///
    /// If the store fails, the next event records it.
    pub(super) fn read_last(self: &Arc<Self>, store: &dyn ReplayStore) {
        let topic = Arc::clone(self);
        let query = Query::new(topic.key.clone(), Start::Earliest).window(Window {
            events: 1,
            bytes: 1,
            ..Window::default()
        });
        store.read(query, Box::new(move |page| page.iter().for_each(|page| topic.record(page.end))));
    }
}

/// A subscriber of a topic, as an overflow callback sees it.
///
/// Get it with `full.identity::<Subscriber>()` in a [`Chooser`](windlass_actors::fanout::Chooser).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Subscriber {
    /// The topic.
    pub topic: TopicName,
    /// The client's address. `None` if the subscription was made without a request, or through a Unix socket.
    pub peer: Option<SocketAddr>,
}
