//! What a store keeps and what it takes.

use std::time::Duration;

use super::{Append, ErrorKind, Operation, StoreError};

/// Says what a topic keeps. What any of the bounds no longer covers goes, oldest first; the newest event stays whatever
/// its size, unless its age is up.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Retention {
    /// Events of one topic. Default 1000.
    pub events: usize,
    /// Bytes of one topic, as [`Event::size_bytes`](super::Event::size_bytes) counts them. Default 4 MiB.
    pub bytes: usize,
    /// How old an event may get, by the system's clock. Default `None`: any age; then only the other bounds free memory.
    /// Old events go when the topic is next touched, or some seconds later.
    pub age: Option<Duration>,
    /// Bytes of all topics together. Default 256 MiB. Beyond it topics lose their oldest in turn.
    pub total_bytes: usize,
}

impl Default for Retention {
    fn default() -> Self {
        Self { events: 1000, bytes: 4 * 1024 * 1024, age: None, total_bytes: 256 * 1024 * 1024 }
    }
}

/// Says what a store takes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreLimits {
    /// Topics. Default 10,000. At the limit a topic that holds no event makes room for a new one; if there is none the
    /// append is [`ErrorKind::TooManyTopics`]. Costs some hundred bytes each.
    pub topics: usize,
    /// Bytes of a topic's name. Default 256, at most 60,000.
    pub topic_bytes: usize,
    /// Bytes of an event's name. Default 256, at most 60,000.
    pub name_bytes: usize,
    /// Bytes of an event's data. Default 1 MiB, at most 64 MiB.
    pub data_bytes: usize,
}

impl Default for StoreLimits {
    fn default() -> Self {
        Self { topics: 10_000, topic_bytes: 256, name_bytes: 256, data_bytes: 1024 * 1024 }
    }
}

/// The longest name that fits the stored form.
const MAX_NAME_BYTES: usize = 60_000;
/// The longest data worth holding in one piece.
const MAX_DATA_BYTES: usize = 64 * 1024 * 1024;

impl StoreLimits {
    /// Says whether an append keeps the limits.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::TooLarge`], naming what is too long.
    pub fn check(&self, append: &Append) -> Result<(), StoreError> {
        let name = append.name.as_ref().map_or(0, bytes::Bytes::len);
        let wrong = |what, is: usize, limit| {
            let message = format!("{what} has {is} bytes, at most {limit} are taken");
            Err(StoreError::new(ErrorKind::TooLarge, Operation::Append, message))
        };
        match () {
            () if append.topic.len() > self.topic_bytes.min(MAX_NAME_BYTES) => {
                wrong("the topic's name", append.topic.len(), self.topic_bytes.min(MAX_NAME_BYTES))
            }
            () if name > self.name_bytes.min(MAX_NAME_BYTES) => {
                wrong("the event's name", name, self.name_bytes.min(MAX_NAME_BYTES))
            }
            () if append.data.len() > self.data_bytes.min(MAX_DATA_BYTES) => {
                wrong("the event", append.data.len(), self.data_bytes.min(MAX_DATA_BYTES))
            }
            () => Ok(()),
        }
    }
}

/// What a store says of one of its topics.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopicInfo {
    /// The topic.
    pub topic: bytes::Bytes,
    /// The last position given out.
    pub end: super::Position,
    /// Events held.
    pub events: u64,
    /// Bytes held, as [`Event::size_bytes`](super::Event::size_bytes) counts them.
    pub bytes: u64,
}
