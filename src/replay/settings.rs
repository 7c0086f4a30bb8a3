//! Retention and limits of a store, and information about a topic.

use std::time::Duration;

use super::{Append, ErrorKind, Operation, StoreError};

/// Retention of events. A topic that exceeds any bound loses its oldest events. The newest event is kept
/// whatever its size, until it expires by age.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Retention {
    /// Maximum number of events per topic. Default: 1000.
    pub events: usize,
    /// Maximum bytes per topic, as [`Event::size_bytes`](super::Event::size_bytes) counts them. Default: 4
    /// MiB.
    pub bytes: usize,
    /// Maximum age of an event, by the system clock. Default: `None`, no limit. The memory store removes
    /// expired events when their topic is next used, the durable one also in the background.
    pub age: Option<Duration>,
    /// Maximum bytes of all topics together. Default: 256 MiB. Above it, topics lose their oldest events in
    /// turn.
    pub total_bytes: usize,
}

impl Default for Retention {
    fn default() -> Self {
        Self { events: 1000, bytes: 4 * 1024 * 1024, age: None, total_bytes: 256 * 1024 * 1024 }
    }
}

/// Limits of what a store accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreLimits {
    /// Maximum number of topics. Default: 10,000. At the limit, a topic without events is evicted for a new
    /// one. If every topic has events, the append fails with [`ErrorKind::TooManyTopics`]. A topic costs some
    /// hundred bytes.
    pub topics: usize,
    /// Maximum bytes of a topic name. Default: 256, at most 60,000.
    pub topic_bytes: usize,
    /// Maximum bytes of an event name. Default: 256, at most 60,000.
    pub name_bytes: usize,
    /// Maximum bytes of an event's data. Default: 1 MiB, at most 64 MiB.
    pub data_bytes: usize,
}

impl Default for StoreLimits {
    fn default() -> Self {
        Self { topics: 10_000, topic_bytes: 256, name_bytes: 256, data_bytes: 1024 * 1024 }
    }
}

/// Length of the longest name that fits the stored form.
const MAX_NAME_BYTES: usize = 60_000;
/// Length of the longest data, so that one event cannot take most of the memory.
const MAX_DATA_BYTES: usize = 64 * 1024 * 1024;

impl StoreLimits {
    /// Checks an append against the limits.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::TooLarge`] with a message that names the part that is too long.
    pub fn check(&self, append: &Append) -> Result<(), StoreError> {
        let name = append.name.as_ref().map_or(0, bytes::Bytes::len);
        let too_large = |part, bytes: usize, limit| {
            let message = format!("{part} has {bytes} bytes, the limit is {limit}");
            Err(StoreError::new(ErrorKind::TooLarge, Operation::Append, message))
        };
        match () {
            () if append.topic.len() > self.topic_bytes.min(MAX_NAME_BYTES) => {
                too_large("the topic name", append.topic.len(), self.topic_bytes.min(MAX_NAME_BYTES))
            }
            () if name > self.name_bytes.min(MAX_NAME_BYTES) => {
                too_large("the event name", name, self.name_bytes.min(MAX_NAME_BYTES))
            }
            () if append.data.len() > self.data_bytes.min(MAX_DATA_BYTES) => {
                too_large("the event data", append.data.len(), self.data_bytes.min(MAX_DATA_BYTES))
            }
            () => Ok(()),
        }
    }
}

/// Information about a topic of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopicInfo {
    /// Topic name.
    pub topic: bytes::Bytes,
    /// Last position assigned.
    pub end: super::Position,
    /// Number of stored events.
    pub events: u64,
    /// Bytes of the stored events, as [`Event::size_bytes`](super::Event::size_bytes) counts them.
    pub bytes: u64,
}
