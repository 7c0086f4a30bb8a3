//! Retention and limits of a store, and information about a log.

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;

use super::{Append, ErrorKind, MAX_LABELS, MAX_TAGS, Operation, StoreError};

/// Retention of a log. A log that exceeds a bound loses its oldest events. The newest event is kept whatever
/// its size, until it expires by age.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Retention {
    /// Maximum number of recent events per log. Default: 1000.
    pub events: usize,
    /// Maximum bytes of recent events per log, as [`Event::size_bytes`](super::Event::size_bytes) counts
    /// them. Default: 4 MiB.
    pub bytes: usize,
    /// Number of newest events of each label that the log keeps besides the recent ones, so that a busy label
    /// does not push out those of a quiet one. Default: 1. These events have the bounds `events` and `bytes`
    /// once more, for all labels together.
    pub label_events: usize,
    /// Maximum age of an event, by the system clock. Default: `None`, no limit. The memory store removes
    /// expired events when their log is next used, the durable one also in the background.
    pub age: Option<Duration>,
    /// Time without use after which a log may be forgotten. Default: `None`, never for that reason. Appends
    /// and reads are uses. The memory store looks for such logs when it creates another one, the durable
    /// store in the background.
    pub idle: Option<Duration>,
    /// Maximum number of idempotency keys that a log knows. Default: 10,000. Above it, the oldest is
    /// forgotten.
    pub keys: usize,
    /// Time after which an idempotency key is forgotten. Default: 10 minutes.
    pub key_age: Duration,
    /// Maximum bytes of all logs together: their events, [`LOG_OVERHEAD_BYTES`] for each log, and what their
    /// labels, keys and ids take. Default: 256 MiB. Above it, logs that were unused for 10 s lose their
    /// oldest events and are then forgotten, the one that was unused longest first. While all are in use, the
    /// largest ones lose their oldest events. Only the value of the store's own retention counts.
    pub total_bytes: usize,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            events: 1000,
            bytes: 4 * 1024 * 1024,
            label_events: 1,
            age: None,
            idle: None,
            keys: 10_000,
            key_age: Duration::from_secs(600),
            total_bytes: 256 * 1024 * 1024,
        }
    }
}

/// Bytes that a log counts against [`Retention::total_bytes`] besides its name and its events.
pub const LOG_OVERHEAD_BYTES: usize = 512;
/// Bytes that a label counts besides its text, in a log whose events have other labels than its name.
pub const LABEL_OVERHEAD_BYTES: usize = 160;
/// Bytes that an idempotency key counts besides its text.
pub const KEY_OVERHEAD_BYTES: usize = 160;
/// Bytes that an id which the publisher chose counts besides its text.
pub const ID_OVERHEAD_BYTES: usize = 96;

/// Retention of each log of a store. A clone is cheap.
#[derive(Clone)]
pub struct RetentionPolicy {
    default: Arc<Retention>,
    by_log: Option<Arc<ByLog>>,
}

/// Function that returns the retention of a log, or `None` for the store's own.
type ByLog = dyn Fn(&[u8]) -> Option<Arc<Retention>> + Send + Sync;

impl RetentionPolicy {
    /// Creates a policy with the same retention for all logs.
    pub fn new(retention: Retention) -> Self {
        Self { default: Arc::new(retention), by_log: None }
    }

    /// Sets the function that returns the retention of a log by its name, or `None` for the default.
    ///
    /// The store calls it once for each log that it creates or loads, with its locks held. The function must
    /// be quick and must not call the store.
    #[must_use]
    pub fn by_log(
        self,
        retention_of: impl Fn(&[u8]) -> Option<Arc<Retention>> + Send + Sync + 'static,
    ) -> Self {
        Self { by_log: Some(Arc::new(retention_of)), ..self }
    }

    /// Returns the retention of a log.
    pub fn of(&self, log: &[u8]) -> Arc<Retention> {
        let own = self.by_log.as_ref().and_then(|by_log| by_log(log));
        own.unwrap_or_else(|| Arc::clone(&self.default))
    }

    /// Returns the limit of all logs together.
    pub(super) fn total_bytes(&self) -> usize {
        self.default.total_bytes
    }
}

impl From<Retention> for RetentionPolicy {
    fn from(retention: Retention) -> Self {
        Self::new(retention)
    }
}

impl fmt::Debug for RetentionPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by_log = if self.by_log.is_some() { "set" } else { "none" };
        f.debug_struct("RetentionPolicy").field("default", &self.default).field("by_log", &by_log).finish()
    }
}

/// Limits of what a store accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreLimits {
    /// Maximum number of logs. Default: 1,000,000. At the limit, a log is forgotten for a new one: of some,
    /// the one that was unused longest. [`Retention::total_bytes`] is another limit.
    pub logs: usize,
    /// Maximum number of labels without events that a log remembers. Default: 10,000. A reader of a forgotten
    /// label may see a gap although no event of the label is missing.
    pub labels: usize,
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
        Self {
            logs: 1_000_000,
            labels: 10_000,
            log_bytes: 256,
            text_bytes: 256,
            name_bytes: 256,
            data_bytes: 1024 * 1024,
        }
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
