//! The encoding of an event that all subscribers of a topic share.

use std::{slice, sync::OnceLock};

use bytes::Bytes;
use windlass_actors::{
    OutletEvent,
    fanout::{self, Label, Payload},
};

use super::{Event, PreparedEvent};
use crate::{
    proto::{h1::encode::SharedChunk, sse},
    replay::{Labels, Position},
};

/// A new event, which has no position yet.
pub(crate) enum NewEvent {
    Plain(Event),
    Prepared(PreparedEvent),
}

/// An event and its position, encoded once for all subscribers of a topic.
#[derive(Clone)]
pub(crate) struct EncodedEvent {
    /// `None` if the store failed to keep the event.
    pub(crate) position: Option<Position>,
    pub(crate) tags: Labels,
    /// The event with its topic, in a log of several topics.
    pub(super) with_topic: Option<Box<EventWithTopic>>,
    /// The server-sent event, also as an HTTP/1.1 chunk.
    pub(super) server_sent: SharedChunk,
    #[cfg(feature = "ws")]
    pub(super) event: Event,
    /// The WebSocket message. The first WebSocket subscriber encodes it.
    #[cfg(feature = "ws")]
    pub(super) json: OnceLock<crate::proto::ws::Prepared>,
}

impl Payload for EncodedEvent {
    fn weight(&self) -> usize {
        self.server_sent.data().len()
    }

    fn labels(&self) -> &[Label] {
        self.with_topic.as_ref().map_or(&[], |event| slice::from_ref(&event.topic))
    }
}

/// An event of a log of several topics. The first subscriber that needs an encoding makes it.
#[derive(Clone)]
pub(super) struct EventWithTopic {
    pub(super) topic: Label,
    pub(super) event: Event,
    /// The server-sent event with its topic.
    pub(super) server_sent: OnceLock<SharedChunk>,
    /// The WebSocket message with its topic.
    #[cfg(feature = "ws")]
    pub(super) json: OnceLock<crate::proto::ws::Prepared>,
}

impl EventWithTopic {
    fn new(topic: Label, event: Event) -> Self {
        Self {
            topic,
            event,
            server_sent: OnceLock::new(),
            #[cfg(feature = "ws")]
            json: OnceLock::new(),
        }
    }
}

impl EncodedEvent {
    /// Returns the event that an outlet holds; `None` if it is not an event of a topic.
    pub(super) fn of(event: &OutletEvent) -> Option<&Self> {
        event.downcast_ref::<fanout::Event<Self>>().map(fanout::Event::payload)
    }
}

impl NewEvent {
    pub(crate) fn event(&self) -> &Event {
        match self {
            Self::Plain(event) => event,
            Self::Prepared(prepared) => prepared.event(),
        }
    }

    /// Returns the estimated size of the encoded event in bytes. It counts against the limit of a handler's
    /// queue.
    pub(crate) fn weight(&self) -> usize {
        match self {
            Self::Plain(event) => event.encoded_capacity(),
            Self::Prepared(prepared) => prepared.len() + sse::OVERHEAD_BYTES,
        }
    }

    /// Encodes the event for one client.
    pub(crate) fn encode(&self, position: Option<Position>) -> Bytes {
        if let (Self::Prepared(prepared), None) = (self, position) {
            return prepared.bytes().clone();
        }
        let mut encoded = Vec::with_capacity(self.weight());
        self.write(&mut encoded, position.as_ref());
        encoded.into()
    }

    /// Encodes the event for all subscribers of a topic, in one allocation. `topic` is given in a log of
    /// several topics.
    pub(crate) fn encode_shared(&self, position: Option<Position>, topic: Option<Label>) -> EncodedEvent {
        let with_topic = topic.map(|topic| Box::new(EventWithTopic::new(topic, self.event().clone())));
        EncodedEvent {
            position,
            tags: self.event().tags.clone(),
            with_topic,
            server_sent: SharedChunk::new(self.weight(), |out| self.write(out, position.as_ref())),
            #[cfg(feature = "ws")]
            event: self.event().clone(),
            #[cfg(feature = "ws")]
            json: OnceLock::new(),
        }
    }

    /// Appends the server-sent event to `out`.
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
            let (plain, prepared) = (NewEvent::Plain(event.clone()), NewEvent::Prepared(prepared.clone()));
            let encoded = plain.encode(position);
            assert_eq!(encoded, prepared.encode(position));
            let (plain, prepared) =
                (plain.encode_shared(position, None), prepared.encode_shared(position, None));
            assert_eq!((plain.server_sent.data(), prepared.server_sent.data()), (&encoded, &encoded));
            let mut chunk = Vec::new();
            crate::proto::h1::encode::chunk(&mut chunk, &encoded);
            assert_eq!(plain.server_sent.chunk(), &chunk);
        }
        let encoded = NewEvent::Prepared(prepared).encode(Some(at));
        assert_eq!(encoded, format!("id: {at}\nevent: tick\ndata: a\ndata: b\n\n"));
    }
}
