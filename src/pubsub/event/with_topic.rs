//! Server-sent events that name their topic, for streams of several topics.

use std::collections::VecDeque;

use bytes::Bytes;
use serde::Serialize;

use super::{
    EncodedEvent, Event, EventFormat, GapDetails, ServerSent, encoded::EventWithTopic, name, to_json,
};
use crate::{
    proto::{h1::encode::SharedChunk, sse},
    replay::{self, Position},
};

/// Server-sent events whose data is a JSON object with the topic and the data.
pub(crate) enum Enveloped {}

/// Server-sent events that have the name of their topic.
pub(crate) enum NamedByTopic {}

/// Data of an [`Enveloped`] event.
#[derive(Serialize)]
struct Envelope<'a> {
    topic: &'a str,
    data: std::borrow::Cow<'a, str>,
}

/// Encodes an event with its topic.
type Append = fn(&mut Vec<u8>, Option<&Position>, &str, Option<&[u8]>, &[u8]);

fn append_enveloped(out: &mut Vec<u8>, id: Option<&Position>, topic: &str, name: Option<&[u8]>, data: &[u8]) {
    let data = to_json(&Envelope { topic, data: String::from_utf8_lossy(data) });
    sse::append_event(out, id.map(|id| id as &dyn std::fmt::Display), name, data.as_bytes());
}

fn append_named(out: &mut Vec<u8>, id: Option<&Position>, topic: &str, _: Option<&[u8]>, data: &[u8]) {
    sse::append_event(out, id.map(|id| id as &dyn std::fmt::Display), Some(topic.as_bytes()), data);
}

/// Encodes stored events, as many as fit one output.
fn stored(events: &mut VecDeque<replay::Event>, append: Append) -> Option<Bytes> {
    let mut output = Vec::new();
    while let Some(event) = events.front() {
        if !output.is_empty() && output.len() + event.data.len() > ServerSent::STORED_OUTPUT_BYTES {
            break;
        }
        let topic = event.labels.first().map(|label| String::from_utf8_lossy(label)).unwrap_or_default();
        append(&mut output, Some(&event.position), &topic, name::of_stored(event), &event.data);
        events.pop_front();
    }
    (!output.is_empty()).then(|| output.into())
}

/// Returns the shared encoding of a live event.
fn shared(encoded: &EncodedEvent, append: Append) -> &SharedChunk {
    // An event without a topic is one of a log of its own.
    let Some(event) = &encoded.with_topic else { return &encoded.server_sent };
    let EventWithTopic { topic, event, server_sent, .. } = &**event;
    server_sent.get_or_init(|| {
        let capacity = Event::encoded_capacity(event) + topic.len() + sse::OVERHEAD_BYTES;
        let position = encoded.position.as_ref();
        let name = event.name().map(|name| &name[..]);
        SharedChunk::new(capacity, |out| append(out, position, topic, name, event.data()))
    })
}

macro_rules! format_with_topic {
    ($format:ty, $append:expr) => {
        impl EventFormat for $format {
            type Output = Bytes;
            type Shared = SharedChunk;

            fn stored(events: &mut VecDeque<replay::Event>) -> Option<Bytes> {
                stored(events, $append)
            }

            fn shared(event: &EncodedEvent) -> &SharedChunk {
                shared(event, $append)
            }

            fn live(event: &EncodedEvent) -> Bytes {
                Self::shared(event).data().clone()
            }

            fn gap(resume: Option<Position>, details: GapDetails) -> Bytes {
                ServerSent::gap(resume, details)
            }

            fn retry(millis: u64) -> Option<Bytes> {
                ServerSent::retry(millis)
            }
        }
    };
}

format_with_topic!(Enveloped, append_enveloped);
format_with_topic!(NamedByTopic, append_named);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_names_its_topic_in_its_data_or_as_its_name() {
        let text = |append: Append| {
            let mut out = Vec::new();
            append(&mut out, None, "a/b", Some(b"tick"), b"x\"y");
            String::from_utf8(out).unwrap()
        };
        assert_eq!(text(append_enveloped), "event: tick\ndata: {\"topic\":\"a/b\",\"data\":\"x\\\"y\"}\n\n");
        assert_eq!(text(append_named), "event: a/b\ndata: x\"y\n\n");
    }
}
