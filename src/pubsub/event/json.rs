//! Events as WebSocket text messages that hold a JSON object.
//!
//! ```json
//! {"id":"…","event":"…","data":"…"}
//! {"id":"…","gap":{…}}
//! ```
//!
//! `event` is absent if the event has no name. `id` is `null` if the store failed to keep the event. The id
//! of a gap is the position that the next event follows.

use std::{borrow::Cow, collections::VecDeque};

use windlass_actors::Parcel;

use super::{EncodedEvent, EventFormat};
use crate::{
    body::Piece,
    proto::ws::{Outgoing, Prepared},
    replay::{self, Position},
    ws::piece,
};

/// The WebSocket format. Its outputs are messages whose frames are already encoded.
pub(crate) enum JsonText {}

impl EventFormat for JsonText {
    type Output = Prepared;

    fn stored(events: &mut VecDeque<replay::Event>) -> Option<Prepared> {
        let event = events.pop_front()?;
        Some(message(Some(event.position), event.name.as_deref(), &event.data))
    }

    fn live(event: &EncodedEvent) -> Prepared {
        let encode = || message(event.position, event.event.name().map(|name| &name[..]), event.event.data());
        event.json.get_or_init(encode).clone()
    }

    fn gap(resume: Option<Position>, details: &str) -> Prepared {
        Prepared::new(Outgoing::Text(&format!(r#"{{"id":{},"gap":{details}}}"#, id(resume))))
    }

    fn retry(_: u64) -> Option<Prepared> {
        None
    }
}

/// Returns the frame of an event that an outlet holds. It is never compressed.
pub(crate) fn text_frame(parcel: &Parcel) -> Option<Piece> {
    Some(piece(&JsonText::live(EncodedEvent::of(parcel)?), false))
}

fn message(position: Option<Position>, name: Option<&[u8]>, data: &[u8]) -> Prepared {
    let name = name.map(|name| format!(r#""event":{},"#, string(name))).unwrap_or_default();
    Prepared::new(Outgoing::Text(&format!(r#"{{"id":{},{name}"data":{}}}"#, id(position), string(data))))
}

fn id(position: Option<Position>) -> Cow<'static, str> {
    position.map_or("null".into(), |position| format!("\"{position}\"").into())
}

/// Encodes a text as a JSON string. Replaces invalid UTF-8 with U+FFFD.
fn string(text: &[u8]) -> String {
    // Encoding a string into memory does not fail.
    serde_json::to_string(&String::from_utf8_lossy(text)).unwrap_or_default()
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
        assert_eq!(text(&message(Some(at), None, b"hi")), format!(r#"{{"id":"{at}","data":"hi"}}"#));
        assert_eq!(
            text(&message(None, Some(b"a\"b"), b"x\n\\\x01\xff")),
            "{\"id\":null,\"event\":\"a\\\"b\",\"data\":\"x\\n\\\\\\u0001\u{fffd}\"}"
        );
        let gap = JsonText::gap(Some(at), r#"{"from":1,"to":2}"#);
        assert_eq!(text(&gap), format!(r#"{{"id":"{at}","gap":{{"from":1,"to":2}}}}"#));
    }
}
