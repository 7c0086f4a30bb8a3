//! Retention and limits of a store, and information about a log.

use std::time::Duration;

use bytes::Bytes;

use super::{Append, ErrorKind, MAX_LABELS, MAX_TAGS, Operation, StoreError};

/// Retention of events. A log that exceeds any bound loses its oldest events. The newest event is kept
/// whatever its size, until it expires by age.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Retention {
    /// Maximum number of events per log. Default: 1000.
    pub events: usize,
    /// Maximum bytes per log, as [`Event::size_bytes`](super::Event::size_bytes) counts them. Default: 4
    /// MiB.
    pub bytes: usize,
    /// Maximum age of an event, by the system clock. Default: `None`, no limit. The memory store removes
    /// expired events when their log is next used, the durable one also in the background.
    pub age: Option<Duration>,
    /// Maximum bytes of all logs together. Default: 256 MiB. Above it, logs lose their oldest events in
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
    /// Maximum number of logs. Default: 10,000. At the limit, a log without events is evicted for a new one.
    /// If every log has events, the append fails with [`ErrorKind::TooManyLogs`]. A log costs some hundred
    /// bytes.
    pub logs: usize,
    /// Maximum bytes of the name of a log, and of a label. Default: 256, at most 60,000.
    pub log_bytes: usize,
    /// Maximum bytes of a tag, an idempotency key and an id that the publisher chose. Default: 256, at most
    /// 60,000.
    pub text_bytes: usize,
    /// Maximum bytes of an event name. Default: 256, at most 60,000.
    pub name_bytes: usize,
    /// Maximum bytes of an event's data. Default: 1 MiB, at most 64 MiB.
    pub data_bytes: usize,
}

impl Default for StoreLimits {
    fn default() -> Self {
        Self { logs: 10_000, log_bytes: 256, text_bytes: 256, name_bytes: 256, data_bytes: 1024 * 1024 }
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
        let (logs, texts) = (self.log_bytes.min(MAX_NAME_BYTES), self.text_bytes.min(MAX_NAME_BYTES));
        let names = self.name_bytes.min(MAX_NAME_BYTES);
        let text = |part, text: Option<&Bytes>, limit| check_bytes(part, text.map_or(0, Bytes::len), limit);
        check_bytes("the name of the log", append.log.len(), logs)?;
        check_count("labels", append.labels.len(), MAX_LABELS)?;
        append.labels.iter().try_for_each(|label| check_bytes("a label", label.len(), logs))?;
        let attributes = append.attributes();
        check_count("tags", attributes.tags.len(), MAX_TAGS)?;
        attributes.tags.iter().try_for_each(|tag| check_bytes("a tag", tag.len(), texts))?;
        text("the idempotency key", attributes.key.as_ref(), texts)?;
        text("the event id", attributes.id.as_ref(), texts)?;
        text("the event name", append.name.as_ref(), names)?;
        check_bytes("the event data", append.data.len(), self.data_bytes.min(MAX_DATA_BYTES))
    }
}

fn check_bytes(part: &str, bytes: usize, limit: usize) -> Result<(), StoreError> {
    check(bytes <= limit, || format!("{part} has {bytes} bytes, the limit is {limit}"))
}

fn check_count(parts: &str, count: usize, limit: usize) -> Result<(), StoreError> {
    check(count <= limit, || format!("the event has {count} {parts}, the limit is {limit}"))
}

fn check(is_within: bool, message: impl FnOnce() -> String) -> Result<(), StoreError> {
    if is_within {
        return Ok(());
    }
    Err(StoreError::new(ErrorKind::TooLarge, Operation::Append, message()))
}

/// Information about a log of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogInfo {
    /// Name of the log.
    pub log: Bytes,
    /// Last position assigned.
    pub end: super::Position,
    /// Number of stored events.
    pub events: u64,
    /// Bytes of the stored events, as [`Event::size_bytes`](super::Event::size_bytes) counts them.
    pub bytes: u64,
}
