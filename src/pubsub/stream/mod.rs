//! The parts that all event streams share: the response head, heartbeats and stored history.
//!
//! This module must not know who writes the events: neither topics nor handlers.

mod body;
mod history;
mod leased;

use http::{HeaderValue, header};

use crate::{body::Body, request::Request, response::Response, spread::spread};

pub(crate) use body::{EventStream, HeartbeatBody, PollNext};
pub(crate) use history::{History, HistoryItem, ResumePoint};
pub(crate) use leased::LeasedBody;

/// Creates the response that carries an event stream. Proxies forward it without caching, compressing or
/// buffering it.
pub(crate) fn response(body: Body) -> Response {
    let mut response = Response::new().with_body(body);
    let fields = response.fields_mut();
    fields.append(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    // `no-transform` (RFC 9111 §5.2.2.6) forbids compression, which holds events back until a block is full.
    fields.append(header::CACHE_CONTROL, HeaderValue::from_static("no-store, no-transform"));
    // NGINX and other proxies buffer responses without this header.
    fields.append(header::HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    response
}

/// Returns the id of the last event that the client received. An empty id is none.
///
/// Reads the header `Last-Event-ID`, then the query, for clients that cannot set headers. The id need not be
/// UTF-8: any id that is no position is [unknown](ResumePoint::UnknownId).
pub(crate) fn last_event_id(request: &Request) -> Option<Vec<u8>> {
    let is_field = |name: &[u8]| name.eq_ignore_ascii_case(b"last-event-id");
    let in_header = request.header_pairs().filter(|(name, _)| is_field(name)).map(|(_, value)| value);
    let in_header = in_header.into_iter().find(|id| !id.is_empty()).map(<[u8]>::to_vec);
    in_header.or_else(|| {
        let mut pairs = request.query_pairs().filter(|(key, _)| is_last_event_id_key(key));
        pairs.find(|(_, id)| !id.is_empty()).map(|(_, id)| id.into_owned())
    })
}

/// Returns `true` for the spellings of the query key that clients use: `last_event_id`, `lastEventId`,
/// `last-event-id` and others that differ in case and separators.
fn is_last_event_id_key(key: &[u8]) -> bool {
    let letters = key.iter().filter(|byte| !matches!(byte, b'-' | b'_')).map(u8::to_ascii_lowercase);
    letters.eq(b"lasteventid".iter().copied())
}

/// Returns the reconnection delay for the client number `client` of a draining server, milliseconds.
///
/// The delays spread over about four seconds, so that the clients do not reconnect all at once.
pub(crate) fn reconnect_millis(client: u32) -> u64 {
    500 + u64::from(spread(client, 4096))
}
