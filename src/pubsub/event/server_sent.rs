//! Events as server-sent events.

use std::collections::VecDeque;

use bytes::Bytes;

use super::{
    EncodedEvent, EventFormat, GapDetails,
    name::{self, GAP},
};
use crate::{
    proto::{h1::encode::SharedChunk, sse},
    replay::{self, Position},
};

/// The text/event-stream format (WHATWG HTML §9.2). Its outputs are bytes of a response body.
pub(crate) enum ServerSent {}

impl ServerSent {
    /// Size limit of an output of stored events, bytes. A single larger event still makes one output.
    pub(super) const STORED_OUTPUT_BYTES: usize = 16 * 1024;
}

impl EventFormat for ServerSent {
    type Output = Bytes;
    type Shared = SharedChunk;

    fn stored(events: &mut VecDeque<replay::Event>) -> Option<Bytes> {
        let mut output = Vec::new();
        while let Some(event) = events.front() {
            if !output.is_empty() && output.len() + event.data.len() > Self::STORED_OUTPUT_BYTES {
                break;
            }
            sse::append_event(&mut output, Some(&event.position), name::of_stored(event), &event.data);
            events.pop_front();
        }
        (!output.is_empty()).then(|| output.into())
    }

    fn shared(event: &EncodedEvent) -> &SharedChunk {
        &event.server_sent
    }

    fn live(event: &EncodedEvent) -> Bytes {
        event.server_sent.data().clone()
    }

    fn gap(resume: Option<Position>, details: GapDetails) -> Bytes {
        let mut event = Vec::new();
        let id = resume.as_ref().map(|resume| resume as &dyn std::fmt::Display);
        sse::append_event(&mut event, id, Some(GAP), details.to_json().as_bytes());
        event.into()
    }

    fn retry(millis: u64) -> Option<Bytes> {
        let mut field = Vec::new();
        sse::append_retry(&mut field, millis);
        Some(field.into())
    }
}
