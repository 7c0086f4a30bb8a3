//! Events, before and after a store has them.

use std::time::SystemTime;

use bytes::Bytes;

use super::{Durability, Position};

/// What an event is counted as beyond its own bytes, in retention and in windows, so that empty events are bounded too.
pub const EVENT_OVERHEAD_BYTES: usize = 64;

/// An event as a store gives it back. A clone shares the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Event {
    /// Where it stands in its topic; its id.
    pub position: Position,
    /// Its name, if the publisher gave one.
    pub name: Option<Bytes>,
    /// What was published.
    pub data: Bytes,
    /// When the store took it, to the millisecond.
    pub time: SystemTime,
}

impl Event {
    /// Makes an event of its parts.
    pub fn new(position: Position, name: Option<Bytes>, data: Bytes, time: SystemTime) -> Self {
        Self { position, name, data, time }
    }

    /// Returns what the event counts against retention and windows: its bytes and [`EVENT_OVERHEAD_BYTES`].
    pub fn size_bytes(&self) -> usize {
        size_bytes(self.name.as_ref(), &self.data)
    }
}

/// An event on its way into a store.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Append {
    /// The topic: any bytes, as many as the store's limits allow.
    pub topic: Bytes,
    /// The event's name. Default: none.
    pub name: Option<Bytes>,
    /// What is published. A store may keep these very bytes, so a slice of a large buffer keeps all of it.
    pub data: Bytes,
    /// How safe the event shall be before it is acknowledged. Default [`Durability::None`].
    pub durability: Durability,
}

impl Append {
    /// Makes an unnamed event for a topic.
    pub fn new(topic: impl Into<Bytes>, data: impl Into<Bytes>) -> Self {
        Self { topic: topic.into(), name: None, data: data.into(), durability: Durability::None }
    }

    /// Names the event.
    pub fn name(self, name: impl Into<Bytes>) -> Self {
        Self { name: Some(name.into()), ..self }
    }

    /// Asks for a durability.
    pub fn durability(self, durability: Durability) -> Self {
        Self { durability, ..self }
    }

    /// Returns what the event will count against retention and windows.
    pub fn size_bytes(&self) -> usize {
        size_bytes(self.name.as_ref(), &self.data)
    }
}

fn size_bytes(name: Option<&Bytes>, data: &Bytes) -> usize {
    name.map_or(0, Bytes::len) + data.len() + EVENT_OVERHEAD_BYTES
}
