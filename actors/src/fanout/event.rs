//! Events on their way to subscribers.

use std::{any::Any, fmt, sync::Arc, time::Instant};

use super::{delivery::Gather, gap::Gap};
use crate::future::contain;

/// What an event carries. It is made once and shared by all subscribers.
pub trait Payload: Send + Sync + 'static {
    /// Returns what the payload counts in a subscriber's queue, bytes.
    fn weight(&self) -> usize;
}

impl Payload for Vec<u8> {
    fn weight(&self) -> usize {
        self.len()
    }
}

/// Says which subscribers an event is for: it is shown who each is. Runs on the shards, so it must be quick.
pub type Filter = Arc<dyn Fn(Option<&(dyn Any + Send + Sync)>) -> bool + Send + Sync>;

/// A published payload with its number in the topic.
pub struct Event<P> {
    pub(super) seq: u64,
    /// False: it stands behind event `seq` and has no number of its own.
    pub(super) numbered: bool,
    pub(super) filter: Option<Filter>,
    pub(super) published: Instant,
    pub(super) payload: P,
    pub(super) gather: Gather,
}

impl<P> Event<P> {
    /// Returns the event's number: each topic counts its events from 1, or as its store says. That of the event before
    /// it, when it has none.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// Says whether it has a number of its own.
    pub fn is_numbered(&self) -> bool {
        self.numbered
    }

    /// Returns what one who does not get it misses.
    pub(super) fn as_missed(&self) -> Gap {
        Gap { from: if self.numbered { self.seq } else { self.seq + 1 }, to: self.seq }
    }

    /// Says whether it is for this subscriber; an error when the filter panicked.
    pub(super) fn is_for(&self, who: Option<&(dyn Any + Send + Sync)>) -> Result<bool, ()> {
        match &self.filter {
            None => Ok(true),
            Some(filter) => contain(|| filter(who)).map_err(drop),
        }
    }

    /// Returns when it was published.
    pub fn published(&self) -> Instant {
        self.published
    }

    /// Returns what it carries.
    pub fn payload(&self) -> &P {
        &self.payload
    }
}

impl<P> fmt::Debug for Event<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event").field("seq", &self.seq).finish_non_exhaustive()
    }
}

/// What a subscriber is given.
#[derive(Debug)]
pub enum Delivery<P> {
    /// An event.
    Event(Arc<Event<P>>),
    /// Events it did not get; the next one is behind them.
    Gap(Gap),
    /// It was unregistered because its queue was full. Nothing more comes; said again whenever it is asked.
    Removed,
    /// It, or the topic, was closed. Nothing more comes; said again whenever it is asked.
    Closed,
}
