//! Events: as a publisher makes them, prepared for many, and with the position they got.

use bytes::Bytes;
use windlass_actors::fanout::Payload;

use crate::{proto::sse, replay::Position};

/// Something to be published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub(super) name: Option<Bytes>,
    pub(super) data: Bytes,
}

impl Event {
    /// Makes an event without a name. Line breaks in its data reach clients as LF.
    pub fn new(data: impl Into<Bytes>) -> Self {
        Self { name: None, data: data.into() }
    }

    /// Names the event: clients tell events apart by it.
    ///
    /// # Errors
    ///
    /// The name has a line break or a NUL.
    pub fn named(self, name: impl Into<Bytes>) -> Result<Self, sse::BadText> {
        let name = name.into();
        sse::check(&name)?;
        Ok(Self { name: Some(name), ..self })
    }

    /// Returns the event's name.
    pub fn name(&self) -> Option<&Bytes> {
        self.name.as_ref()
    }

    /// Returns its data.
    pub fn data(&self) -> &Bytes {
        &self.data
    }

    /// Writes the event as a client gets it.
    pub(crate) fn encode(&self, id: Option<&Position>) -> Bytes {
        let mut encoded = Vec::with_capacity(self.data.len() + self.name.as_ref().map_or(0, Bytes::len) + sse::ROOM);
        let id = id.map(|id| id as &dyn std::fmt::Display);
        sse::event(&mut encoded, id, self.name.as_deref(), &self.data);
        encoded.into()
    }
}

/// An event that is encoded once, to be sent and published many times. Clones share its bytes.
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
        let encoded = event.encode(None);
        Self { event, encoded }
    }

    /// Returns the event.
    pub fn event(&self) -> &Event {
        &self.event
    }

    /// Returns the event as a server-sent event without an id.
    pub fn bytes(&self) -> &Bytes {
        &self.encoded
    }

    /// Returns how many bytes that is.
    pub fn len(&self) -> usize {
        self.encoded.len()
    }

    /// Says whether there are no bytes; there always are.
    pub fn is_empty(&self) -> bool {
        self.encoded.is_empty()
    }

    /// Writes the event with an id before it.
    pub(crate) fn with_id(&self, id: &Position) -> Bytes {
        let mut encoded = Vec::with_capacity(self.encoded.len() + sse::ROOM);
        sse::id(&mut encoded, id);
        encoded.extend_from_slice(&self.encoded);
        encoded.into()
    }
}

impl From<Event> for PreparedEvent {
    fn from(event: Event) -> Self {
        Self::new(event)
    }
}

/// An event as all subscribers of a topic get it: encoded once, shared by them.
#[derive(Clone)]
pub(crate) struct Stamped {
    /// None: the store could not keep it.
    pub(crate) position: Option<Position>,
    pub(crate) sse: Bytes,
    #[cfg(feature = "ws")]
    pub(super) event: Event,
    /// Made when the first WebSocket gets it.
    #[cfg(feature = "ws")]
    pub(super) text: std::sync::OnceLock<crate::proto::ws::Prepared>,
}

impl Payload for Stamped {
    fn weight(&self) -> usize {
        self.sse.len()
    }
}

/// What is to be published.
pub(crate) enum Form {
    Plain(Event),
    Prepared(PreparedEvent),
}

impl Form {
    pub(crate) fn event(&self) -> &Event {
        match self {
            Self::Plain(event) => event,
            Self::Prepared(prepared) => prepared.event(),
        }
    }

    /// Returns what the event counts in a queue, bytes.
    pub(crate) fn weight(&self) -> usize {
        match self {
            Self::Plain(Event { name, data }) => data.len() + name.as_ref().map_or(0, Bytes::len) + sse::ROOM,
            Self::Prepared(prepared) => prepared.len() + sse::ROOM,
        }
    }

    /// Encodes the event with the position it got.
    pub(crate) fn stamp(&self, position: Option<Position>) -> Stamped {
        let sse = match (self, &position) {
            (Self::Plain(event), _) => event.encode(position.as_ref()),
            (Self::Prepared(prepared), Some(position)) => prepared.with_id(position),
            (Self::Prepared(prepared), None) => prepared.bytes().clone(),
        };
        Stamped {
            position,
            sse,
            #[cfg(feature = "ws")]
            event: self.event().clone(),
            #[cfg(feature = "ws")]
            text: std::sync::OnceLock::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::Epoch;

    #[test]
    fn a_prepared_event_is_the_same_bytes_as_a_plain_one() {
        let event = Event::new("a\nb").named("tick").unwrap();
        let prepared = PreparedEvent::new(event.clone());
        assert_eq!((prepared.len(), prepared.is_empty()), (29, false));
        let at = Position::new(Epoch::random().unwrap(), 7);
        for position in [None, Some(at)] {
            let (plain, prepared) = (Form::Plain(event.clone()), Form::Prepared(prepared.clone()));
            assert_eq!(plain.stamp(position).sse, prepared.stamp(position).sse);
        }
        assert_eq!(prepared.with_id(&at), format!("id: {at}\nevent: tick\ndata: a\ndata: b\n\n"));
    }
}
