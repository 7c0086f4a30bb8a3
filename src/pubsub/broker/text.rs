//! Events as text messages of a WebSocket: JSON objects.
//!
//! `{"id":"…","event":"…","data":"…"}`, without `event` where it has no name, `"id":null` where the store did not keep it; and
//! `{"id":"…","gap":{…}}` for events that will not come, whose id is where the next one follows.

use std::{borrow::Cow, collections::VecDeque};

use windlass_actors::Parcel;

use super::{event::Stamped, stream::stamped, wire::Wire};
use crate::{
    body::Piece,
    proto::ws::{Outgoing, Prepared},
    replay::{self, Position},
};

/// Text messages, their frames made once.
pub(crate) enum Text {}

impl Wire for Text {
    type Piece = Prepared;

    fn past(events: &mut VecDeque<replay::Event>) -> Option<Prepared> {
        let event = events.pop_front()?;
        Some(message(Some(event.position), event.name.as_deref(), &event.data))
    }

    fn live(stamped: &Stamped) -> Prepared {
        stamped
            .text
            .get_or_init(|| message(stamped.position, stamped.event.name.as_deref(), &stamped.event.data))
            .clone()
    }

    fn gap(at: Option<Position>, what: &str) -> Prepared {
        Prepared::new(Outgoing::Text(&format!(r#"{{"id":{},"gap":{what}}}"#, id(at))))
    }

    fn retry(_: u64) -> Option<Prepared> {
        None
    }
}

/// Returns what a WebSocket is sent of an event that was put into an outlet; it has no compressed form.
pub(crate) fn text_frame(parcel: &Parcel) -> Option<Piece> {
    let message = Text::live(stamped(parcel)?);
    Some(Piece { bytes: message.frame(false).clone(), payload_bytes: message.payload_bytes() })
}

fn message(position: Option<Position>, name: Option<&[u8]>, data: &[u8]) -> Prepared {
    let name = name.map(|name| format!(r#""event":{},"#, string(name))).unwrap_or_default();
    Prepared::new(Outgoing::Text(&format!(r#"{{"id":{},{name}"data":{}}}"#, id(position), string(data))))
}

fn id(position: Option<Position>) -> Cow<'static, str> {
    position.map_or("null".into(), |position| format!("\"{position}\"").into())
}

/// Writes a text as JSON; what is no UTF-8 becomes U+FFFD.
fn string(text: &[u8]) -> String {
    // Writing a string to memory does not fail.
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
        let gap = Text::gap(Some(at), r#"{"from":1,"to":2}"#);
        assert_eq!(text(&gap), format!(r#"{{"id":"{at}","gap":{{"from":1,"to":2}}}}"#));
    }
}
