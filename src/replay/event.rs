//! Events of a log, before and after they are stored.

use std::{sync::Arc, time::SystemTime};

use bytes::Bytes;

use super::{Filter, Labels, Position};

/// Bytes that retention and page windows count per event beside its name and data, so that empty events are
/// bounded.
pub const EVENT_OVERHEAD_BYTES: usize = 64;
/// Maximum number of labels of an event.
pub const MAX_LABELS: usize = 8;
/// Maximum number of tags of an event.
pub const MAX_TAGS: usize = 8;

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
    /// Position in the log, which is also the event's id.
    pub position: Position,
    /// Event name, if the publisher set one.
    pub name: Option<Bytes>,
    /// Payload.
    pub data: Bytes,
    /// Time of the append, with millisecond resolution.
    pub time: SystemTime,
    /// Labels: the topics of the event.
    pub labels: Labels,
    pub(super) attributes: Option<Arc<Attributes>>,
}

impl Event {
    /// Creates an event without labels and attributes.
    pub fn new(position: Position, name: Option<Bytes>, data: Bytes, time: SystemTime) -> Self {
        Self { position, name, data, time, labels: Labels::new(), attributes: None }
    }

    /// Sets the labels.
    #[must_use]
    pub fn with_labels(self, labels: Labels) -> Self {
        Self { labels, ..self }
    }

    /// Sets the attributes.
    #[must_use]
    pub fn with_attributes(self, attributes: Attributes) -> Self {
        Self { attributes: attributes.shared(), ..self }
    }

    /// Returns the attributes that few events have.
    pub fn attributes(&self) -> &Attributes {
        self.attributes.as_deref().unwrap_or(&NO_ATTRIBUTES)
    }

    /// Returns the bytes that retention and page windows count: name, data, attributes, the labels after the
    /// first, and [`EVENT_OVERHEAD_BYTES`].
    pub fn size_bytes(&self) -> usize {
        size_bytes(self.name.as_ref(), &self.data, &self.labels, self.attributes.as_deref())
    }

    /// Returns `true` if the event passes the filter.
    pub fn matches(&self, filter: &Filter) -> bool {
        let Attributes { tags, private, .. } = self.attributes();
        filter.matches(&self.labels, tags, *private)
    }
}

/// Event to append to a store.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Append {
    /// Name of the log. Any bytes, up to the length that the store's limits allow.
    pub log: Bytes,
    /// Labels: the topics of the event. At most [`MAX_LABELS`]. Default: the name of the log.
    pub labels: Labels,
    /// Event name. Default: none.
    pub name: Option<Bytes>,
    /// Payload. A store may keep this buffer itself, so a slice of a large buffer keeps the whole buffer
    /// alive.
    pub data: Bytes,
    /// Durability required before the append is acknowledged. Default: [`Durability::None`].
    pub durability: Durability,
    pub(super) attributes: Option<Arc<Attributes>>,
}

impl Append {
    /// Creates an event without a name, with the name of the log as its only label.
    pub fn new(log: impl Into<Bytes>, data: impl Into<Bytes>) -> Self {
        let log = log.into();
        Self {
            labels: log.clone().into(),
            log,
            name: None,
            data: data.into(),
            durability: Durability::None,
            attributes: None,
        }
    }

    /// Sets the event name.
    pub fn name(self, name: impl Into<Bytes>) -> Self {
        Self { name: Some(name.into()), ..self }
    }

    /// Sets the durability required before the append is acknowledged.
    pub fn durability(self, durability: Durability) -> Self {
        Self { durability, ..self }
    }

    /// Sets the labels.
    pub fn labels<T: Into<Bytes>>(self, labels: impl IntoIterator<Item = T>) -> Self {
        Self { labels: labels.into_iter().collect(), ..self }
    }

    /// Sets the tags, each `key=value`. The append is rejected if there are more than [`MAX_TAGS`].
    pub fn tags<T: Into<Bytes>>(self, tags: impl IntoIterator<Item = T>) -> Self {
        let tags = tags.into_iter().collect();
        self.set(|attributes| attributes.tags = tags)
    }

    /// Sets the idempotency key. If the log knows the key, nothing is appended and the acknowledgement is
    /// that of the first event with the key.
    pub fn key(self, key: impl Into<Bytes>) -> Self {
        self.set(|attributes| attributes.key = Some(key.into()))
    }

    /// Sets the id that the publisher chose.
    pub fn id(self, id: impl Into<Bytes>) -> Self {
        self.set(|attributes| attributes.id = Some(id.into()))
    }

    /// Makes the event private, or public again.
    pub fn private(self, private: bool) -> Self {
        self.set(|attributes| attributes.private = private)
    }

    fn set(self, set: impl FnOnce(&mut Attributes)) -> Self {
        let mut attributes = self.attributes.map(Arc::unwrap_or_clone).unwrap_or_default();
        set(&mut attributes);
        Self { attributes: attributes.shared(), ..self }
    }

    /// Returns the attributes that few events have.
    pub fn attributes(&self) -> &Attributes {
        self.attributes.as_deref().unwrap_or(&NO_ATTRIBUTES)
    }

    /// Returns the bytes that retention and page windows will count for the event.
    pub fn size_bytes(&self) -> usize {
        size_bytes(self.name.as_ref(), &self.data, &self.labels, self.attributes.as_deref())
    }
}

/// Attributes that few events have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Attributes {
    /// Tags, each `key=value`.
    pub tags: Labels,
    /// Idempotency key, if the publisher sent one.
    pub key: Option<Bytes>,
    /// Id that the publisher chose, if it did.
    pub id: Option<Bytes>,
    /// Whether the event is private: only for subscribers with a permission for it.
    pub private: bool,
}

/// Attributes of an event that has none.
static NO_ATTRIBUTES: Attributes = Attributes { tags: Labels::new(), key: None, id: None, private: false };

impl Attributes {
    /// Returns the attributes for an event; `None` if there are none.
    pub(super) fn shared(self) -> Option<Arc<Self>> {
        (self != NO_ATTRIBUTES).then(|| Arc::new(self))
    }

    /// Returns the total length of tags, key and id in bytes.
    pub(super) fn total_bytes(&self) -> usize {
        let text = |text: Option<&Bytes>| text.map_or(0, Bytes::len);
        self.tags.total_bytes() + text(self.key.as_ref()) + text(self.id.as_ref())
    }
}

/// Returns the bytes that retention and page windows count for an event.
pub(super) fn size_bytes(
    name: Option<&Bytes>,
    data: &Bytes,
    labels: &Labels,
    attributes: Option<&Attributes>,
) -> usize {
    let more_labels = labels.total_bytes() - labels.first().map_or(0, Bytes::len);
    let name = name.map_or(0, Bytes::len);
    let attributes = attributes.map_or(0, Attributes::total_bytes);
    name + data.len() + more_labels + attributes + EVENT_OVERHEAD_BYTES
}
