//! The interface of an event encoding.

use std::collections::VecDeque;

use windlass_actors::OutletEvent;

use super::{EncodedEvent, GapDetails, json::ResetReason};
use crate::replay::{self, Position};

/// An encoding of events for one kind of client.
pub(crate) trait EventFormat {
    /// Unit of what a client is sent: bytes of a body, or a message.
    type Output;

    /// Encoding of a live event that all clients of this kind share.
    type Shared: 'static;

    /// Encodes stored events from the front of the queue and removes them.
    ///
    /// Encodes as many as fit one output. Returns `None` if the queue is empty.
    fn stored(events: &mut VecDeque<replay::Event>) -> Option<Self::Output>;

    /// Returns the shared encoding of a live event.
    fn shared(event: &EncodedEvent) -> &Self::Shared;

    /// Returns the encoding of a live event.
    fn live(event: &EncodedEvent) -> Self::Output;

    /// Encodes a `gap` event, which reports events that the client cannot receive.
    ///
    /// The client continues after `resume`, which is sent as the event's id; without it the event has none.
    fn gap(resume: Option<Position>, details: GapDetails) -> Self::Output;

    /// Encodes the reconnection delay. Returns `None` if the format has no way to send it.
    fn retry(millis: u64) -> Option<Self::Output>;
}

/// Returns the shared encoding of the event that an outlet holds; `None` if it is not an event of a topic.
pub(crate) fn in_outlet<F: EventFormat>(event: &OutletEvent) -> Option<&F::Shared> {
    EncodedEvent::of(event).map(F::shared)
}

/// Encodes a gap that covers the events from `from` to `to`, both included.
pub(crate) fn gap_between<F: EventFormat>(from: Position, to: Position) -> F::Output {
    F::gap(Some(to), GapDetails::between(from, to))
}

/// Encodes the answer to a last event id that is not a position of any store.
pub(crate) fn unknown_id<F: EventFormat>() -> F::Output {
    F::gap(None, GapDetails::Reset { reset: ResetReason::UnknownId })
}
