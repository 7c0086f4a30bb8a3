//! Events, and what a subscriber gets.

use std::{any::Any, fmt, sync::Arc, time::Instant};

use super::{delivery::DeliveryCounter, gap::Gap, interest::Label};
use crate::future::catch_panic;

/// Payload of an event. It is created once and shared by all subscribers.
pub trait Payload: Send + Sync + 'static {
    /// Returns the number of bytes that the payload counts for in a subscriber's queue.
    fn weight(&self) -> usize;

    /// Returns the labels of the event, by which subscribers select events. Default: none. An event without
    /// labels goes to all subscribers.
    fn labels(&self) -> &[Label] {
        &[]
    }
}

impl Payload for Vec<u8> {
    fn weight(&self) -> usize {
        self.len()
    }
}

/// Function that returns `true` for the subscribers that an event is for. It gets the identity of each, or
/// `None` for a subscriber without one.
///
/// It runs on the shards, so it must be quick. A subscriber for which it panics does not get the event.
pub type Filter = Arc<dyn Fn(Option<&(dyn Any + Send + Sync)>) -> bool + Send + Sync>;

/// Published payload with its number in the topic.
pub struct Event<P> {
    pub(super) seq: u64,
    /// `false` for an event without a number. It follows event `seq`.
    pub(super) numbered: bool,
    pub(super) filter: Option<Filter>,
    pub(super) published: Instant,
    pub(super) payload: P,
    pub(super) counter: DeliveryCounter,
}

impl<P> Event<P> {
    /// Returns the number of the event. An event without a number returns that of the event before it.
    ///
    /// A topic counts its events from 1, or takes the numbers from
    /// [`publish_with_seq`](super::Topic::publish_with_seq).
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// Returns `true` if the event has a number of its own.
    pub fn is_numbered(&self) -> bool {
        self.numbered
    }

    /// Returns the gap of a subscriber that does not get this event.
    pub(super) fn as_gap(&self) -> Gap {
        Gap { from: if self.numbered { self.seq } else { self.seq + 1 }, to: self.seq }
    }

    /// Returns `true` if the event is for a subscriber with this identity. Returns an error if the filter
    /// panicked.
    pub(super) fn is_for(&self, identity: Option<&(dyn Any + Send + Sync)>) -> Result<bool, ()> {
        match &self.filter {
            None => Ok(true),
            Some(filter) => catch_panic(|| filter(identity)).map_err(drop),
        }
    }

    /// Returns the time at which the event was published.
    pub fn published(&self) -> Instant {
        self.published
    }

    /// Returns the payload.
    pub fn payload(&self) -> &P {
        &self.payload
    }
}

impl<P> fmt::Debug for Event<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event").field("seq", &self.seq).finish_non_exhaustive()
    }
}

/// Next thing that a subscriber gets.
#[derive(Debug)]
pub enum Delivery<P> {
    /// An event.
    Event(Arc<Event<P>>),
    /// Events that the subscriber lost. The next event follows the gap.
    Gap(Gap),
    /// The subscriber was unregistered because its queue was full. Every further poll returns this again.
    Removed,
    /// The subscriber or the topic was closed. Every further poll returns this again.
    Closed,
}
