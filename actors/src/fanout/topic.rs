//! A topic: numbers its events and sends them to the relays of the shards that have subscribers.

use std::{
    error::Error,
    fmt,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Instant,
};

use super::{
    counters::TopicStats,
    delivery::DeliveryCounter,
    event::{Event, Filter, Payload},
    interest::Interest,
    options::SubscribeOptions,
    queue::Queue,
    receipt::Receipt,
    relay::{RelayHandle, RelayMsg},
    shared::{TopicShared, TopicState},
    subscription::Subscription,
};
use crate::shard::Local;

/// Reason why a topic accepts no event or no subscriber.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TopicError {
    /// The topic was closed, or its relay has exited with the system.
    Closed,
    /// The mailbox of the shard's relay is full. Try again soon.
    Busy,
}

impl fmt::Display for TopicError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "the topic is closed",
            Self::Busy => "the shard is busy delivering events, try again soon",
        })
    }
}

impl Error for TopicError {}

/// Event that has not been sent yet.
struct Outgoing<P> {
    seq: u64,
    numbered: bool,
    filter: Option<Filter>,
    payload: P,
}

struct Inner<P: Payload> {
    shared: Arc<TopicShared>,
    relays: Arc<[RelayHandle<P>]>,
    /// Options of subscribers that do not choose their own.
    options: SubscribeOptions,
}

/// Stream of numbered events to its subscribers. It has no name; its owner knows it. Clones refer to the same
/// topic.
pub struct Topic<P: Payload>(Arc<Inner<P>>);

impl<P: Payload> Topic<P> {
    pub(super) fn new(relays: Arc<[RelayHandle<P>]>, options: SubscribeOptions) -> Self {
        Self(Arc::new(Inner { shared: TopicShared::new(relays.len()), relays, options }))
    }

    /// Publishes the payload that `make` returns for the number of the event. Never waits for a subscriber:
    /// a shard whose relay is full misses the event.
    ///
    /// `make` runs under the lock of the topic, also if the topic was closed. It should be as short as
    /// writing the number down.
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

    /// Publishes an event to the subscribers for which `filter` returns `true`. The others do not get it.
    /// They get no gap for it either, unless the relay of their shard was full: the filter is not called
    /// then, and the overflow policy applies to all subscribers of that shard.
    ///
    /// A panic in the filter is counted, and the subscriber does not get the event.
    ///
    /// # Errors
    ///
    /// The topic was closed.
    pub fn publish_filtered(&self, filter: Filter, payload: P) -> Result<Receipt<P>, TopicError> {
        let mut state = self.0.shared.lock();
        let event = Outgoing { seq: state.seq + 1, numbered: true, filter: Some(filter), payload };
        self.send(&mut state, event)
    }

    /// Publishes an event without a number, such as one that a store could not keep. It follows the last
    /// event.
    ///
    /// # Errors
    ///
    /// The topic was closed.
    pub fn publish_unnumbered(&self, payload: P) -> Result<Receipt<P>, TopicError> {
        let mut state = self.0.shared.lock();
        let event = Outgoing { seq: state.seq, numbered: false, filter: None, payload };
        self.send(&mut state, event)
    }

    /// Publishes an event with a number that was assigned elsewhere, such as by a store. The numbers must
    /// increase.
    ///
    /// # Errors
    ///
    /// The topic was closed.
    ///
    /// # Panics
    ///
    /// In debug builds, if the number is not greater than that of the last event.
    pub fn publish_with_seq(&self, seq: u64, payload: P) -> Result<Receipt<P>, TopicError> {
        let mut state = self.0.shared.lock();
        debug_assert!(seq > state.seq, "event {seq} published after event {}", state.seq);
        self.send(&mut state, Outgoing { seq, numbered: true, filter: None, payload })
    }

    fn send(&self, state: &mut TopicState, event: Outgoing<P>) -> Result<Receipt<P>, TopicError> {
        if state.closed {
            return Err(TopicError::Closed);
        }
        let Outgoing { seq, numbered, filter, payload } = event;
        state.seq = seq;
        let shards_with_subscribers = state.shards.iter().filter(|shard| shard.subscribers > 0).count();
        let counter = DeliveryCounter::new(shards_with_subscribers);
        let event = Arc::new(Event { seq, numbered, filter, published: Instant::now(), payload, counter });
        let mut subscribers = 0;
        let mut timer_shard = None;
        for (shard, RelayHandle { address, .. }) in state.shards.iter_mut().zip(self.0.relays.iter()) {
            if shard.subscribers == 0 {
                shard.rejected = None;
                continue;
            }
            subscribers += shard.subscribers;
            timer_shard.get_or_insert_with(|| Arc::clone(address.remote()));
            let rejected = shard.rejected.take();
            let message =
                RelayMsg::Publish { topic: Arc::clone(&self.0.shared), event: Arc::clone(&event), rejected };
            if address.try_tell(message).is_err() {
                let gap = event.as_gap();
                shard.rejected = Some(rejected.map_or(gap, |rejected| rejected.extend(gap)));
                self.0.shared.counters.relay_rejected.fetch_add(1, Relaxed);
                event.counter.add_full();
            }
        }
        self.0.shared.counters.published.fetch_add(1, Relaxed);
        Ok(Receipt::new(event, subscribers, timer_shard))
    }

    /// Subscribes to the events after the last one, with the options of the topic.
    ///
    /// On a shard's thread the subscription belongs to that shard, elsewhere to the first shard.
    ///
    /// # Errors
    ///
    /// The topic was closed, the shard's relay has exited, or its mailbox is full.
    pub fn subscribe(&self) -> Result<Subscription<P>, TopicError> {
        self.subscribe_with(self.0.options.clone())
    }

    /// Subscribes to the events after the last one, with these options. See [`subscribe`](Self::subscribe).
    ///
    /// # Errors
    ///
    /// The same as for [`subscribe`](Self::subscribe).
    pub fn subscribe_with(&self, options: SubscribeOptions) -> Result<Subscription<P>, TopicError> {
        self.join(Interest::all(), options, false)
    }

    /// Subscribes to those events after the last one that are of interest. See
    /// [`subscribe`](Self::subscribe).
    ///
    /// The subscriber gets no gap for the other events. A gap for events that the relay of the shard did not
    /// accept is for every subscriber of the shard, because the labels of these events are not known.
    ///
    /// # Errors
    ///
    /// The same as for [`subscribe`](Self::subscribe).
    pub fn subscribe_to(
        &self,
        interest: Interest<P>,
        options: SubscribeOptions,
    ) -> Result<Subscription<P>, TopicError> {
        self.join(interest, options, false)
    }

    /// Subscribes to the events of interest, for an owner that reads the history first.
    ///
    /// The owner reads the history to any event not before [`start`](Subscription::start), and then calls
    /// [`caught_up`](Subscription::caught_up). Until that call no event counts as lost, because the history
    /// has those that the queue does not hold.
    ///
    /// # Errors
    ///
    /// The same as for [`subscribe`](Self::subscribe).
    pub fn subscribe_catching_up(
        &self,
        interest: Interest<P>,
        options: SubscribeOptions,
    ) -> Result<Subscription<P>, TopicError> {
        self.join(interest, options, true)
    }

    fn join(
        &self,
        interest: Interest<P>,
        options: SubscribeOptions,
        catching_up: bool,
    ) -> Result<Subscription<P>, TopicError> {
        let shard = Local::current().map_or(0, |local| local.shard() % self.0.relays.len());
        let mut state = self.0.shared.lock();
        if state.closed {
            return Err(TopicError::Closed);
        }
        let topic = Arc::clone(&self.0.shared);
        let queue = Arc::new(Queue::new(topic, options, interest, shard, catching_up, state.seq));
        // Sent under the lock, so that the relay gets it before any later event.
        let sent = self.0.relays[shard].address.try_tell(RelayMsg::Join(Arc::clone(&queue)));
        sent.map_err(|error| if error.is_full() { TopicError::Busy } else { TopicError::Closed })?;
        state.shards[shard].subscribers += 1;
        Ok(Subscription::new(queue, Arc::clone(&self.0.relays), state.seq))
    }

    /// Closes the topic: it accepts no events and no subscribers, and its subscribers end after the events in
    /// their queues. Waits until all relays have accepted that.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the subscribers of some shards may not end. A repeated call ends them.
    pub async fn close(&self) {
        self.0.shared.lock().closed = true;
        for RelayHandle { address, .. } in self.0.relays.iter() {
            // A relay that has exited has closed its subscribers.
            let _ = address.tell(RelayMsg::Close(Arc::clone(&self.0.shared))).await;
        }
    }

    /// Closes the topic like [`close`](Self::close), but does not wait.
    ///
    /// Returns `false` if the mailbox of a relay is full. The subscribers of that shard do not end then; call
    /// this again soon.
    pub fn try_close(&self) -> bool {
        self.0.shared.lock().closed = true;
        let close = |relay: &RelayHandle<P>| {
            let sent = relay.address.try_tell(RelayMsg::Close(Arc::clone(&self.0.shared)));
            !sent.is_err_and(|error| error.is_full())
        };
        // A full relay does not keep the others from closing, so this counts instead of stopping early.
        self.0.relays.iter().filter(|relay| !close(relay)).count() == 0
    }

    /// Returns the number of the last event; 0 before the first one.
    pub fn last_seq(&self) -> u64 {
        self.0.shared.lock().seq
    }

    /// Returns the number of registered subscribers. Takes the lock of the topic.
    pub fn subscribers(&self) -> usize {
        self.0.shared.lock().shards.iter().map(|shard| shard.subscribers).sum()
    }

    /// Returns the counters of the topic. Takes the lock of the topic.
    pub fn stats(&self) -> TopicStats {
        let state = self.0.shared.lock();
        let subscribers = state.shards.iter().map(|shard| shard.subscribers).sum();
        self.0.shared.counters.stats(subscribers, state.seq)
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
