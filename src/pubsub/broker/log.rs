//! A log that the broker has open.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError, atomic::AtomicUsize},
};

use bytes::Bytes;
use windlass_actors::fanout::{Policy, SubscribeOptions, Topic};

use super::{TopicFilter, TopicPolicy};
use crate::{
    pubsub::event::EncodedEvent,
    replay::{Position, Query, ReplayStore, Start, Window},
};

/// Key of a log: the name of its topic, or a NUL and the name of a log of several topics.
pub(super) type LogKey = Arc<str>;

/// A log with publishers or subscribers.
pub(super) struct OpenLog {
    pub(super) key: LogKey,
    /// The key for the store.
    pub(super) store_key: Bytes,
    pub(super) fanout: Topic<EncodedEvent>,
    pub(super) policy: TopicPolicy,
    /// Number of streams and events in flight that use the log. It rises only under the lock of the registry.
    pub(super) users: AtomicUsize,
    /// The highest position known so far.
    last: Mutex<Option<Position>>,
}

impl OpenLog {
    /// Creates a log with one user.
    pub(super) fn new(key: LogKey, fanout: Topic<EncodedEvent>, policy: TopicPolicy) -> Self {
        let store_key = Bytes::copy_from_slice(key.as_bytes());
        Self { key, store_key, fanout, policy, users: AtomicUsize::new(1), last: Mutex::default() }
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

    /// Asks the store for the end of the log's stored history, and records it when the answer comes.
    ///
    /// If the store fails, the next event records it.
    pub(super) fn read_last(self: &Arc<Self>, store: &dyn ReplayStore) {
        let log = Arc::clone(self);
        let query = Query::new(log.store_key.clone(), Start::Earliest).window(Window {
            events: 1,
            bytes: 1,
            ..Window::default()
        });
        store.read(query, Box::new(move |page| page.iter().for_each(|page| log.record(page.end))));
    }
}

/// Returns the options of a client's subscription.
pub(super) fn options(
    policy: &TopicPolicy,
    filter: &TopicFilter,
    peer: Option<SocketAddr>,
) -> SubscribeOptions {
    let options = SubscribeOptions::new(policy.bounds(), policy.overflow.clone());
    match policy.overflow {
        Policy::Always(_) => options,
        // Only a callback reads the subscriber.
        Policy::Ask(_) => options.with_identity(Arc::new(Subscriber { topics: filter.clone(), peer })),
    }
}

/// A subscriber of topics, as an overflow callback sees it.
///
/// Get it with `full.identity::<Subscriber>()` in a [`Chooser`](windlass_actors::fanout::Chooser).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Subscriber {
    /// The topics.
    pub topics: TopicFilter,
    /// The client's address. `None` if the subscription was made without a request, or through a Unix socket.
    pub peer: Option<SocketAddr>,
}
