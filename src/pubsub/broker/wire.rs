//! The forms in which clients are told a topic's events.

use std::collections::VecDeque;

use bytes::Bytes;

use super::event::Stamped;
use crate::{
    proto::sse,
    replay::{self, Position},
};

/// A form for one kind of client.
pub(crate) trait Wire {
    /// What is sent at once.
    type Piece;

    /// Takes events of history, as many as make a piece.
    fn past(events: &mut VecDeque<replay::Event>) -> Option<Self::Piece>;

    /// Makes an event as it comes.
    fn live(stamped: &Stamped) -> Self::Piece;

    /// Makes what is told of events that will not come; the client goes on behind `at`. `what` is a JSON object.
    fn gap(at: Option<Position>, what: &str) -> Self::Piece;

    /// Tells how long to wait before connecting anew, milliseconds, if the form has a way to.
    fn retry(millis: u64) -> Option<Self::Piece>;
}

/// Makes what is told of a range of events.
pub(crate) fn range<F: Wire>(from: Position, to: Position) -> F::Piece {
    F::gap(Some(to), &format!(r#"{{"from":"{from}","to":"{to}"}}"#))
}

/// Makes what is told when the client named no position of any store.
pub(crate) fn unknown_id<F: Wire>() -> F::Piece {
    F::gap(None, r#"{"reset":"unknown_id"}"#)
}

/// Server-sent events, as bytes.
pub(crate) enum ServerSent {}

/// Bytes of history put into one piece of the body at most, unless one event is larger.
const PIECE_BYTES: usize = 16 * 1024;

impl Wire for ServerSent {
    type Piece = Bytes;

    fn past(events: &mut VecDeque<replay::Event>) -> Option<Bytes> {
        let mut piece = Vec::new();
        while let Some(event) = events.front() {
            if !piece.is_empty() && piece.len() + event.data.len() > PIECE_BYTES {
                break;
            }
            sse::append_event(&mut piece, Some(&event.position), event.name.as_deref(), &event.data);
            events.pop_front();
        }
        (!piece.is_empty()).then(|| piece.into())
    }

    fn live(stamped: &Stamped) -> Bytes {
        stamped.sse.clone()
    }

    fn gap(at: Option<Position>, what: &str) -> Bytes {
        let mut event = Vec::new();
        sse::append_event(
            &mut event,
            at.as_ref().map(|at| at as &dyn std::fmt::Display),
            Some(b"gap"),
            what.as_bytes(),
        );
        event.into()
    }

    fn retry(millis: u64) -> Option<Bytes> {
        let mut piece = Vec::new();
        sse::append_retry(&mut piece, millis);
        Some(piece.into())
    }
}
