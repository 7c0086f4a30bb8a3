//! Events as WebSocket text messages that hold a JSON object.
//!
//! ```json
//! {"id":"…","event":"…","data":"…"}
//! {"id":"…","gap":{…}}
//! ```
//!
//! In a stream of several topics, each event has a member `topic`. `event` is absent if the event has no
//! name. `id` is `null` if the store failed to keep the event. The id of a gap is the position that the next
//! event follows.

use std::{borrow::Cow, collections::VecDeque};

use serde::Serialize;

use super::{EncodedEvent, EventFormat, EventId, GapDetails, name, to_json};
use crate::{
    proto::ws::{Outgoing, Prepared},
    replay::{self, Position},
};

/// The WebSocket format. Its outputs are messages whose frames are already encoded.
pub(crate) enum JsonText {}

impl EventFormat for JsonText {
    type Output = Prepared;
    type Shared = Prepared;

    fn stored(events: &mut VecDeque<replay::Event>) -> Option<Prepared> {
        let event = events.pop_front()?;
        Some(message(Some(event.position), None, name::of_stored(&event), &event.data))
    }

    fn shared(event: &EncodedEvent) -> &Prepared {
        let name = event.event.name().map(|name| &name[..]);
        let encode = || message(event.position, None, name, event.event.data());
        event.json.get_or_init(encode)
    }

    fn live(event: &EncodedEvent) -> Prepared {
        Self::shared(event).clone()
    }

    fn gap(resume: Option<Position>, details: GapDetails) -> Prepared {
        prepared(&GapMessage { id: resume.map(EventId), gap: details })
    }

    fn retry(_: u64) -> Option<Prepared> {
        None
    }
}

/// The WebSocket format for several topics: each event has the member `topic`.
pub(crate) enum JsonWithTopic {}

impl EventFormat for JsonWithTopic {
    type Output = Prepared;
    type Shared = Prepared;

    fn stored(events: &mut VecDeque<replay::Event>) -> Option<Prepared> {
        let event = events.pop_front()?;
        let topic = event.labels.first().map(|label| String::from_utf8_lossy(label));
        Some(message(Some(event.position), topic, name::of_stored(&event), &event.data))
    }

    fn shared(encoded: &EncodedEvent) -> &Prepared {
        // An event without a topic is one of a log of its own.
        let Some(event) = &encoded.with_topic else { return JsonText::shared(encoded) };
        let topic = Some(Cow::Borrowed(&*event.topic));
        let name = event.event.name().map(|name| &name[..]);
        event.json.get_or_init(|| message(encoded.position, topic, name, event.event.data()))
    }

    fn live(event: &EncodedEvent) -> Prepared {
        Self::shared(event).clone()
    }

    fn gap(resume: Option<Position>, details: GapDetails) -> Prepared {
        JsonText::gap(resume, details)
    }

    fn retry(millis: u64) -> Option<Prepared> {
        JsonText::retry(millis)
    }
}

/// A message with an event.
#[derive(Serialize)]
struct EventMessage<'a> {
    id: Option<EventId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    topic: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<Cow<'a, str>>,
    data: Cow<'a, str>,
}

/// A message with a gap.
#[derive(Serialize)]
struct GapMessage {
    id: Option<EventId>,
    gap: GapDetails,
}

/// Encodes a message. Replaces invalid UTF-8 with U+FFFD.
fn message(
    position: Option<Position>,
    topic: Option<Cow<'_, str>>,
    name: Option<&[u8]>,
    data: &[u8],
) -> Prepared {
    prepared(&EventMessage {
        id: position.map(EventId),
        topic,
        event: name.map(String::from_utf8_lossy),
        data: String::from_utf8_lossy(data),
    })
}

fn prepared(message: &impl Serialize) -> Prepared {
    Prepared::new(Outgoing::Text(&to_json(message)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::Epoch;

    fn text(message: &Prepared) -> String {
        String::from_utf8(message.payload().to_vec()).unwrap()
    }

    #[test]
    fn an_event_is_an_object_whatever_is_in_it() {
        let at = Position::new(Epoch::random().unwrap(), 7);
        assert_eq!(text(&message(Some(at), None, None, b"hi")), format!(r#"{{"id":"{at}","data":"hi"}}"#));
        assert_eq!(
            text(&message(None, None, Some(b"a\"b"), b"x\n\\\x01\xff")),
            "{\"id\":null,\"event\":\"a\\\"b\",\"data\":\"x\\n\\\\\\u0001\u{fffd}\"}"
        );
        let gap = JsonText::gap(Some(at), GapDetails::between(at, at));
        assert_eq!(text(&gap), format!(r#"{{"id":"{at}","gap":{{"from":"{at}","to":"{at}"}}}}"#));
        let unnumbered = JsonText::gap(None, GapDetails::after(None));
        assert_eq!(text(&unnumbered), r#"{"id":null,"gap":{"after":null}}"#);
    }
}
