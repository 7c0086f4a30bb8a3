//! Heads of responses, and trailers, as header blocks.

use http::{HeaderName, HeaderValue, StatusCode, header};

use super::hpack::encode::{self, Strings, index};
use crate::proto::semantics::{Content, Date, Length, MessageFields, content, is_forbidden_trailer};

/// Properties of a request that its response depends on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exchange {
    /// The method is HEAD.
    pub is_head: bool,
    /// The method is CONNECT, plain or extended.
    pub is_connect: bool,
}

/// Conclusions from a response's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// The response has content: DATA must follow unless its length is 0.
    pub has_body: bool,
    /// The handler's response has `connection: close`.
    pub closes: bool,
}

/// Returns `true` if a response with this status has content. It is what [`head`] reports as `has_body`.
pub fn has_body(exchange: Exchange, status: StatusCode) -> bool {
    content(exchange.is_head, exchange.is_connect, status) == Content::Sent
}

/// Appends a response's head.
///
/// As over HTTP/1.1, this function decides the fields that describe the message: `content-length` is that of
/// the body, `date` is the given one unless the handler set its own. Fields that belong to a connection are
/// left out (RFC 9113 §8.2.2); `close` in `connection` is reported.
pub fn head<'h>(
    out: &mut Vec<u8>,
    exchange: Exchange,
    status: StatusCode,
    length: Length,
    headers: impl IntoIterator<Item = (&'h HeaderName, &'h HeaderValue)>,
    date: &Date,
    strings: Strings,
) -> Sent {
    encode::status(out, status);
    let mut own = MessageFields::default();
    for (name, value) in headers {
        if own.is_copied(name, value) && !is_connections(name) {
            encode::field(out, name, value, strings);
        }
    }
    let content = content(exchange.is_head, exchange.is_connect, status);
    if let Some(digits) = own.content_length(content, length) {
        encode::literal(out, index::CONTENT_LENGTH, digits.as_bytes(), strings);
    }
    if !own.has_date {
        encode::literal(out, index::DATE, date, Strings::Plain);
    }
    Sent { has_body: content == Content::Sent, closes: own.closes }
}

/// Appends the head of an interim response: the status alone.
pub fn interim(out: &mut Vec<u8>, status: StatusCode) {
    encode::status(out, status);
}

/// Appends trailers, without fields that may not be trailers. Returns `false` if none are left.
pub fn trailers<'h>(
    out: &mut Vec<u8>,
    trailers: impl IntoIterator<Item = (&'h HeaderName, &'h HeaderValue)>,
) -> bool {
    let before = out.len();
    for (name, value) in trailers {
        if !is_forbidden_trailer(name.as_str().as_bytes()) && !is_connections(name) {
            encode::field(out, name, value, Strings::Plain);
        }
    }
    out.len() > before
}

/// Returns `true` for fields that belong to one connection and that [`MessageFields`] does not handle, and
/// for `te`, which is a request's.
fn is_connections(name: &HeaderName) -> bool {
    matches!(*name, header::UPGRADE | header::TE)
        || matches!(name.as_str(), "keep-alive" | "proxy-connection")
}
