//! Events: as a publisher makes them, prepared for many, and with the position they got.

use bytes::Bytes;
use windlass_actors::fanout::Payload;

use crate::{
    proto::{
        h1::encode::{CHUNK_END, CHUNK_HEAD_BYTES, chunk_in_place},
        sse,
    },
    replay::Position,
};

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
    pub fn named(self, name: impl Into<Bytes>) -> Result<Self, sse::InvalidText> {
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
    fn write(&self, out: &mut Vec<u8>, id: Option<&Position>) {
        let id = id.map(|id| id as &dyn std::fmt::Display);
        sse::append_event(out, id, self.name.as_deref(), &self.data);
    }

    /// Returns room enough for the event as a client gets it, bytes.
    fn room(&self) -> usize {
        self.data.len() + self.name.as_ref().map_or(0, Bytes::len) + sse::OVERHEAD_BYTES
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
        let mut encoded = Vec::with_capacity(event.room());
        event.write(&mut encoded, None);
        Self { event, encoded: encoded.into() }
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
    /// The same as a chunk of HTTP/1.1, in the same memory.
    pub(super) chunk: Bytes,
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
            Self::Plain(event) => event.room(),
            Self::Prepared(prepared) => prepared.len() + sse::OVERHEAD_BYTES,
        }
    }

    /// Writes the event with the position it got.
    fn write(&self, out: &mut Vec<u8>, position: Option<&Position>) {
        match self {
            Self::Plain(event) => event.write(out, position),
            Self::Prepared(prepared) => {
                if let Some(position) = position {
                    sse::append_id(out, position);
                }
                out.extend_from_slice(prepared.bytes());
            }
        }
    }

    /// Returns the event, with the position it got, as one client gets it.
    pub(crate) fn encode(&self, position: Option<Position>) -> Bytes {
        if let (Self::Prepared(prepared), None) = (self, position) {
            return prepared.bytes().clone();
        }
        let mut encoded = Vec::with_capacity(self.weight());
        self.write(&mut encoded, position.as_ref());
        encoded.into()
    }

    /// Encodes the event with the position it got for all subscribers of a topic.
    pub(crate) fn stamp(&self, position: Option<Position>) -> Stamped {
        let mut buffer = Vec::with_capacity(CHUNK_HEAD_BYTES + self.weight() + CHUNK_END.len());
        buffer.resize(CHUNK_HEAD_BYTES, 0);
        self.write(&mut buffer, position.as_ref());
        let start = chunk_in_place(&mut buffer);
        let whole = Bytes::from(buffer);
        Stamped {
            position,
            sse: whole.slice(CHUNK_HEAD_BYTES..whole.len() - CHUNK_END.len()),
            chunk: whole.slice(start..),
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
            let encoded = plain.encode(position);
            assert_eq!(encoded, prepared.encode(position));
            assert_eq!((&plain.stamp(position).sse, &prepared.stamp(position).sse), (&encoded, &encoded));
            let mut chunk = Vec::new();
            crate::proto::h1::encode::chunk(&mut chunk, &encoded);
            assert_eq!(plain.stamp(position).chunk, chunk);
        }
        let encoded = Form::Prepared(prepared).encode(Some(at));
        assert_eq!(encoded, format!("id: {at}\nevent: tick\ndata: a\ndata: b\n\n"));
    }
}
