//! The parts that all event streams share: the response head, heartbeats and stored history.
//!
//! This module must not know who writes the events: neither topics nor handlers.

mod body;
mod history;

use http::{HeaderValue, header};

use crate::{body::Body, request::Request, response::Response, spread::spread};

pub(crate) use body::{EventStream, HeartbeatBody, PollNext};
pub(crate) use history::{History, HistoryItem, ResumePoint};

/// Creates the response that carries an event stream. It is not cached, and proxies forward it without
/// buffering.
pub(crate) fn response(body: Body) -> Response {
    let mut response = Response::new().with_body(body);
    let fields = response.fields_mut();
    fields.append(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    fields.append(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // NGINX and other proxies buffer responses without this header.
    fields.append(header::HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    response
}

/// Returns the id of the last event that the client received.
///
/// Reads the header `Last-Event-ID`, or the query key `last_event_id` for clients that cannot set headers.
pub(crate) fn last_event_id(request: &Request) -> Option<Vec<u8>> {
    let in_header = request.header("last-event-id").map(|value| value.as_bytes().to_vec());
    in_header.or_else(|| request.query_value("last_event_id").map(|value| value.into_owned().into_bytes()))
}

/// Returns the reconnection delay for the client number `client` of a draining server, milliseconds.
///
/// The delays spread over about four seconds, so that the clients do not reconnect all at once.
pub(crate) fn reconnect_millis(client: u32) -> u64 {
    500 + u64::from(spread(client, 4096))
}
