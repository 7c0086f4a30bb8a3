//! Events of a topic, before and after they are stored.

use std::time::SystemTime;

use bytes::Bytes;

use super::Position;

/// Bytes that retention and page windows count per event beside its name and data, so that empty events are
/// bounded.
pub const EVENT_OVERHEAD_BYTES: usize = 64;

/// Durability of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Durability {
    /// No guarantee: the event is lost when the process ends.
    None,
    /// The event is acknowledged at once and synced within the store's interval. A crash loses the events of
    /// at most one interval, and readers see them as a gap.
    Buffered,
    /// The event is on the disk before it is acknowledged. It survives `kill -9` and a power cut.
    Fsynced,
}

/// Event read from a store. A clone shares the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Event {
    /// Position in the topic, which is also the event's id.
    pub position: Position,
    /// Event name, if the publisher set one.
    pub name: Option<Bytes>,
    /// Payload.
    pub data: Bytes,
    /// Time of the append, with millisecond resolution.
    pub time: SystemTime,
}

impl Event {
    /// Creates an event.
    pub fn new(position: Position, name: Option<Bytes>, data: Bytes, time: SystemTime) -> Self {
        Self { position, name, data, time }
    }

    /// Returns the bytes that retention and page windows count: name, data and [`EVENT_OVERHEAD_BYTES`].
    pub fn size_bytes(&self) -> usize {
        size_bytes(self.name.as_ref(), &self.data)
    }
}

/// Event to append to a store.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Append {
    /// Topic name. Any bytes, up to the length that the store's limits allow.
    pub topic: Bytes,
    /// Event name. Default: none.
    pub name: Option<Bytes>,
    /// Payload. A store may keep this buffer itself, so a slice of a large buffer keeps the whole buffer
    /// alive.
    pub data: Bytes,
    /// Durability required before the append is acknowledged. Default: [`Durability::None`].
    pub durability: Durability,
}

impl Append {
    /// Creates an event without a name.
    pub fn new(topic: impl Into<Bytes>, data: impl Into<Bytes>) -> Self {
        Self { topic: topic.into(), name: None, data: data.into(), durability: Durability::None }
    }

    /// Sets the event name.
    pub fn name(self, name: impl Into<Bytes>) -> Self {
        Self { name: Some(name.into()), ..self }
    }

    /// Sets the durability required before the append is acknowledged.
    pub fn durability(self, durability: Durability) -> Self {
        Self { durability, ..self }
    }

    /// Returns the bytes that retention and page windows will count for the event.
    pub fn size_bytes(&self) -> usize {
        size_bytes(self.name.as_ref(), &self.data)
    }
}

fn size_bytes(name: Option<&Bytes>, data: &Bytes) -> usize {
    name.map_or(0, Bytes::len) + data.len() + EVENT_OVERHEAD_BYTES
}
