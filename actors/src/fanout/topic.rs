//! A topic: numbers its events and sends them to the shards that have subscribers.

use std::{
    fmt,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Instant,
};

use super::{
    counts::TopicStats,
    delivery::Gather,
    event::{Event, Filter, Payload},
    options::SubscribeOptions,
    queue::Queue,
    receipt::Receipt,
    relay::{RelayHandle, RelayMsg},
    shared::{State, TopicShared},
    subscription::{Subscription, TopicError},
};
use crate::shard::Local;

/// An event on its way through the topic.
struct Outgoing<P> {
    seq: u64,
    numbered: bool,
    filter: Option<Filter>,
    payload: P,
}

/// What the handles of one topic share, with its relays.
struct Inner<P: Payload> {
    shared: Arc<TopicShared>,
    relays: Arc<[RelayHandle<P>]>,
    terms: SubscribeOptions,
}

/// A named stream of events is up to its owner; this is what stands behind the name. Clones are one topic.
pub struct Topic<P: Payload>(Arc<Inner<P>>);

impl<P: Payload> Topic<P> {
    pub(super) fn new(relays: Arc<[RelayHandle<P>]>, terms: SubscribeOptions) -> Self {
        Self(Arc::new(Inner { shared: TopicShared::new(relays.len()), relays, terms }))
    }

    /// Publishes what `make` returns for the event's number. Never waits for a subscriber.
    ///
    /// `make` runs under the topic's lock: it should do no more than write the number down.
    ///
    /// # Errors
    ///
    /// The topic was closed.
    pub fn publish(&self, make: impl FnOnce(u64) -> P) -> Result<Receipt<P>, TopicError> {
        let mut state = self.0.shared.lock();
        let seq = state.seq + 1;
        let event = Outgoing { seq, numbered: true, filter: None, payload: make(seq) };
        self.send(&mut state, event)
    }

    /// Publishes to those subscribers that `filter` says it is for. For the others it never was.
    ///
    /// A filter that panics says no, and is counted.
    ///
    /// # Errors
    ///
    /// The topic was closed.
    pub fn publish_filtered(&self, filter: Filter, payload: P) -> Result<Receipt<P>, TopicError> {
        let mut state = self.0.shared.lock();
        let event = Outgoing { seq: state.seq + 1, numbered: true, filter: Some(filter), payload };
        self.send(&mut state, event)
    }

    /// Publishes an event that has no number, such as one that a store failed to keep. It stands behind the last one.
    ///
    /// # Errors
    ///
    /// The topic was closed.
    pub fn publish_unnumbered(&self, payload: P) -> Result<Receipt<P>, TopicError> {
        let mut state = self.0.shared.lock();
        let event = Outgoing { seq: state.seq, numbered: false, filter: None, payload };
        self.send(&mut state, event)
    }

    /// Publishes an event that has its number from elsewhere, such as a store. Numbers must rise.
    ///
    /// # Errors
    ///
    /// The topic was closed.
    ///
    /// # Panics
    ///
    /// In debug builds, when the number does not rise.
    pub fn publish_with_seq(&self, seq: u64, payload: P) -> Result<Receipt<P>, TopicError> {
        let mut state = self.0.shared.lock();
        debug_assert!(seq > state.seq, "event {seq} after {}", state.seq);
        self.send(&mut state, Outgoing { seq, numbered: true, filter: None, payload })
    }

    fn send(&self, state: &mut State, event: Outgoing<P>) -> Result<Receipt<P>, TopicError> {
        if state.closed {
            return Err(TopicError::Closed);
        }
        let Outgoing { seq, numbered, filter, payload } = event;
        state.seq = seq;
        let with_subscribers = state.shards.iter().filter(|shard| shard.subscribers > 0).count();
        let gather = Gather::of(with_subscribers);
        let event = Arc::new(Event { seq, numbered, filter, published: Instant::now(), payload, gather });
        let mut subscribers = 0;
        let mut clock = None;
        for (shard, RelayHandle { address, .. }) in state.shards.iter_mut().zip(self.0.relays.iter()) {
            if shard.subscribers == 0 {
                shard.missed = None;
                continue;
            }
            subscribers += shard.subscribers;
            clock.get_or_insert_with(|| Arc::clone(address.remote()));
            let missed = shard.missed.take();
            let message =
                RelayMsg::Publish { topic: Arc::clone(&self.0.shared), event: Arc::clone(&event), missed };
            if address.try_tell(message).is_err() {
                let this = event.as_missed();
                shard.missed = Some(missed.map_or(this, |missed| missed.extend(this)));
                self.0.shared.counts.missed.fetch_add(1, Relaxed);
                event.gather.full();
            }
        }
        self.0.shared.counts.published.fetch_add(1, Relaxed);
        Ok(Receipt::new(event, subscribers, clock))
    }

    /// Subscribes to the events after the last one, on the topic's own terms.
    ///
    /// On a shard's thread the subscription belongs to that shard, elsewhere to the first one.
    ///
    /// # Errors
    ///
    /// The topic was closed, or the shard is too busy.
    pub fn subscribe(&self) -> Result<Subscription<P>, TopicError> {
        self.subscribe_with(self.0.terms.clone())
    }

    /// Like [`subscribe`](Self::subscribe), on terms of the subscriber's own.
    ///
    /// # Errors
    ///
    /// As [`subscribe`](Self::subscribe).
    pub fn subscribe_with(&self, terms: SubscribeOptions) -> Result<Subscription<P>, TopicError> {
        self.join(terms, false)
    }

    /// Subscribes for an owner that first reads history up to some event at or after
    /// [`start`](Subscription::start), then calls [`caught_up`](Subscription::caught_up). Until then nothing counts
    /// as lost: what the queue does not hold is in the history.
    ///
    /// # Errors
    ///
    /// As [`subscribe`](Self::subscribe).
    pub fn subscribe_catching_up(&self, terms: SubscribeOptions) -> Result<Subscription<P>, TopicError> {
        self.join(terms, true)
    }

    fn join(&self, terms: SubscribeOptions, behind: bool) -> Result<Subscription<P>, TopicError> {
        let shard = Local::current().map_or(0, |local| local.shard() % self.0.relays.len());
        let mut state = self.0.shared.lock();
        if state.closed {
            return Err(TopicError::Closed);
        }
        let queue = Arc::new(Queue::new(Arc::clone(&self.0.shared), terms, shard, behind, state.seq));
        // Under the lock: the relay learns of it before it learns of any later event.
        let told = self.0.relays[shard].address.try_tell(RelayMsg::Join(Arc::clone(&queue)));
        told.map_err(|error| if error.is_full() { TopicError::Busy } else { TopicError::Closed })?;
        state.shards[shard].subscribers += 1;
        Ok(Subscription::new(queue, Arc::clone(&self.0.relays), state.seq))
    }

    /// Ends every subscriber after what its queue holds, and refuses new ones and events from here on.
    ///
    /// # Cancel safety
    ///
    /// Dropped before its end, subscribers of some shards may not have been told; called again it tells them.
    pub async fn close(&self) {
        self.0.shared.lock().closed = true;
        for RelayHandle { address, .. } in self.0.relays.iter() {
            // A relay that has ended has no subscribers.
            let _ = address.tell(RelayMsg::Close(Arc::clone(&self.0.shared))).await;
        }
    }

    /// Does what [`close`](Self::close) does as far as the relays have room. False: call it again soon.
    pub fn try_close(&self) -> bool {
        self.0.shared.lock().closed = true;
        let tell = |relay: &RelayHandle<P>| match relay
            .address
            .try_tell(RelayMsg::Close(Arc::clone(&self.0.shared)))
        {
            Err(error) if error.is_full() => false,
            Ok(()) | Err(_) => true,
        };
        // Each is told, also behind one that has no room.
        self.0.relays.iter().filter(|relay| !tell(relay)).count() == 0
    }

    /// Returns the number of the last event; 0 before the first.
    pub fn last_seq(&self) -> u64 {
        self.0.shared.lock().seq
    }

    /// Returns how many subscribers are registered. Takes the topic's lock.
    pub fn subscribers(&self) -> usize {
        self.0.shared.lock().shards.iter().map(|shard| shard.subscribers).sum()
    }

    /// Returns what the topic did so far.
    pub fn stats(&self) -> TopicStats {
        let state = self.0.shared.lock();
        let subscribers = state.shards.iter().map(|shard| shard.subscribers).sum();
        self.0.shared.counts.stats(subscribers, state.seq)
    }
}

impl<P: Payload> Clone for Topic<P> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<P: Payload> fmt::Debug for Topic<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Topic").field("stats", &self.stats()).finish()
    }
}
