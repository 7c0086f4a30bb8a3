//! Events on their way to subscribers.

use std::{fmt, time::Instant};

use super::ticket::Gather;

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

/// A published payload with its number in the topic.
pub struct Event<P> {
    pub(super) seq: u64,
    pub(super) published: Instant,
    pub(super) payload: P,
    pub(super) gather: Gather,
}

impl<P> Event<P> {
    /// Returns the event's number: each topic counts its events from 1, or as its store says.
    pub fn seq(&self) -> u64 {
        self.seq
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
