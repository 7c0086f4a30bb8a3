//! The JSON objects of an event stream: ids, and the details of a gap.

use serde::{Serialize, Serializer, de::DeserializeOwned};

use crate::replay::{Position, Reset};

/// The id of an event: the text form of its position.
#[derive(Clone, Copy)]
pub(crate) struct EventId(pub(crate) Position);

impl Serialize for EventId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// The details of a `gap` event, which reports events that the client cannot receive.
#[derive(Clone, Copy, Serialize)]
#[serde(untagged)]
pub(crate) enum GapDetails {
    /// The events between these, both included.
    Between { from: EventId, to: EventId },
    /// Events without a position that follow this one. `None`: the topic has no position yet.
    After { after: Option<EventId> },
    /// The server does not know what the client has missed.
    Reset { reset: ResetReason },
}

/// Reason why the server does not know what a client has missed.
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ResetReason {
    /// The client's last id is not a position.
    UnknownId,
    /// The client's last id belongs to another store.
    UnknownEpoch,
    /// The client's last id is beyond the end of the history.
    BeyondEnd,
}

impl GapDetails {
    pub(crate) fn between(from: Position, to: Position) -> Self {
        Self::Between { from: EventId(from), to: EventId(to) }
    }

    pub(crate) fn after(position: Option<Position>) -> Self {
        Self::After { after: position.map(EventId) }
    }

    /// Encodes the details as a JSON object.
    pub(super) fn to_json(self) -> String {
        to_json(&self)
    }
}

impl From<Reset> for GapDetails {
    fn from(reset: Reset) -> Self {
        let reset = match reset {
            Reset::UnknownEpoch => ResetReason::UnknownEpoch,
            Reset::BeyondEnd => ResetReason::BeyondEnd,
        };
        Self::Reset { reset }
    }
}

/// Encodes a value as JSON. This cannot fail for structs of texts and numbers.
pub(crate) fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// Parses JSON from a client.
pub(crate) fn from_json<T: DeserializeOwned>(json: &[u8]) -> serde_json::Result<T> {
    serde_json::from_slice(json)
}
