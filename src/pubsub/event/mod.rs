//! Events and their encodings.
//!
//! A publisher makes an [`Event`]. [`NewEvent::encode_shared`] encodes it once for all subscribers of a
//! topic. An [`EventFormat`] selects the encoding that one kind of client receives. This module must not know
//! topics or streams.

mod encoded;
mod format;
mod json;
mod name;
mod server_sent;
#[cfg(feature = "ws")]
mod text_message;
mod with_topic;

use bytes::Bytes;

use crate::{
    proto::sse,
    replay::{Labels, Position},
};

pub(crate) use encoded::{EncodedEvent, NewEvent};
pub(crate) use format::{EventFormat, gap_between, in_outlet, unknown_id};
pub(crate) use json::{EventId, GapDetails, from_json, to_json};
pub use name::EventNameError;
pub(crate) use server_sent::ServerSent;
#[cfg(feature = "ws")]
pub(crate) use text_message::{JsonText, JsonWithTopic};
pub(crate) use with_topic::{Enveloped, NamedByTopic};

/// An event to publish: data and an optional name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    name: Option<Bytes>,
    data: Bytes,
    tags: Labels,
}

impl Event {
    /// Creates an event without a name. Clients receive line breaks in the data as LF.
    pub fn new(data: impl Into<Bytes>) -> Self {
        Self { name: None, data: data.into(), tags: Labels::new() }
    }

    /// Sets the name. Clients select their event handlers by it. An empty name is none.
    ///
    /// # Errors
    ///
    /// The name is not UTF-8, contains a line break or a NUL, or is `gap`, which the server uses itself.
    pub fn named(self, name: impl Into<Bytes>) -> Result<Self, EventNameError> {
        let name = name.into();
        name::check(&name)?;
        Ok(Self { name: Some(name).filter(|name| !name.is_empty()), ..self })
    }

    /// Sets the tags, each `key=value`, by which subscriptions select events. The store takes at most 8.
    #[must_use]
    pub fn tagged<T: Into<Bytes>>(self, tags: impl IntoIterator<Item = T>) -> Self {
        Self { tags: tags.into_iter().collect(), ..self }
    }

    /// Returns the tags.
    pub fn tags(&self) -> &[Bytes] {
        &self.tags
    }

    /// Returns the name; `None` if the event has none.
    pub fn name(&self) -> Option<&Bytes> {
        self.name.as_ref()
    }

    /// Returns the data.
    pub fn data(&self) -> &Bytes {
        &self.data
    }

    /// Appends the event to `out` as a server-sent event.
    fn write(&self, out: &mut Vec<u8>, id: Option<&Position>) {
        let id = id.map(|id| id as &dyn std::fmt::Display);
        sse::append_event(out, id, self.name.as_deref(), &self.data);
    }

    /// Returns the expected size of the encoded event, bytes. Events with many line breaks are larger.
    fn encoded_capacity(&self) -> usize {
        self.data.len() + self.name.as_ref().map_or(0, Bytes::len) + sse::OVERHEAD_BYTES
    }
}

/// An event that is already encoded. Publish it many times at the cost of one encoding.
///
/// Clones share the encoded bytes.
///
/// ```
/// use windlass::broker::{Event, PreparedEvent};
/// let event = PreparedEvent::new(Event::new("tick"));
/// assert_eq!(event.bytes().as_ref(), b"data: tick\n\n");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PreparedEvent {
    event: Event,
    encoded: Bytes,
}

impl PreparedEvent {
    /// Encodes an event.
    pub fn new(event: Event) -> Self {
        let mut encoded = Vec::with_capacity(event.encoded_capacity());
        event.write(&mut encoded, None);
        Self { event, encoded: encoded.into() }
    }

    /// Returns the event.
    pub fn event(&self) -> &Event {
        &self.event
    }

    /// Returns the server-sent event, without an id.
    pub fn bytes(&self) -> &Bytes {
        &self.encoded
    }

    /// Returns the length of [`bytes`](Self::bytes).
    pub fn len(&self) -> usize {
        self.encoded.len()
    }

    /// Always returns `false`: an encoded event has at least one line.
    pub fn is_empty(&self) -> bool {
        self.encoded.is_empty()
    }
}

impl From<Event> for PreparedEvent {
    fn from(event: Event) -> Self {
        Self::new(event)
    }
}
