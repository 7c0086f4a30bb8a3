//! A request's head, and its trailers: decoded field lines as bytes and spans, as a head of HTTP/1.1 is.

use super::{Priority, seen::Seen};
use crate::proto::semantics::{Field, Fields, Method, Reject, Span};

/// Decoded head: its bytes, and the positions of its parts in them.
///
/// Reuse it: the next head overwrites it and keeps its memory. Its contents are valid only while the event
/// that they belong to is handled.
#[derive(Debug, Default)]
pub struct Head {
    pub(super) bytes: Vec<u8>,
    pub(super) fields: Vec<Field>,
    pub(super) method: Method,
    pub(super) method_at: Span,
    pub(super) path: Span,
    pub(super) query: Option<Span>,
    pub(super) authority: Option<Span>,
    pub(super) protocol: Option<Span>,
    pub(super) is_asterisk: bool,
    pub(super) length: Option<u64>,
    pub(super) expects_continue: bool,
    pub(super) priority: Option<Priority>,
    pub(super) seen: Seen,
}

impl Head {
    /// Returns the method.
    pub fn method(&self) -> Method {
        self.method
    }

    /// Returns the method as a type of the `http` crate. Allocates for a method that is not standard and
    /// longer than 15 bytes.
    ///
    /// # Errors
    ///
    /// The method is not a token. A head that was accepted has no such method.
    pub fn http_method(&self) -> Result<http::Method, Reject> {
        self.method.to_http(self.method_at.of(&self.bytes))
    }

    /// Returns the bytes that all spans refer to.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns the path, not decoded: `*` for the asterisk form, empty for plain CONNECT.
    pub fn path(&self) -> &[u8] {
        self.path.of(&self.bytes)
    }

    /// Returns the position of the path.
    pub fn path_span(&self) -> Span {
        self.path
    }

    /// Returns the part of the target after `?`; `None` without a `?`.
    pub fn query(&self) -> Option<&[u8]> {
        self.query.map(|span| span.of(&self.bytes))
    }

    /// Returns the position of the query; `None` without a `?`.
    pub fn query_span(&self) -> Option<Span> {
        self.query
    }

    /// Returns the host and port that the request is for: `:authority`, or else Host.
    pub fn authority(&self) -> Option<&[u8]> {
        self.authority.map(|span| span.of(&self.bytes))
    }

    /// Returns the position of the [authority](Self::authority).
    pub fn authority_span(&self) -> Option<Span> {
        self.authority
    }

    /// Returns the position of the value of `:protocol`, which only an extended CONNECT has (RFC 8441 §4).
    pub fn protocol_span(&self) -> Option<Span> {
        self.protocol
    }

    /// Returns `true` for the target `*`.
    pub fn is_asterisk(&self) -> bool {
        self.is_asterisk
    }

    /// Returns the declared length of the body, in bytes; `None` if none is declared.
    pub fn content_length(&self) -> Option<u64> {
        self.length
    }

    /// Returns `true` if the client waits for `100 Continue` before it sends the body. Never without a body.
    pub fn expects_continue(&self) -> bool {
        self.expects_continue
    }

    /// Returns the header fields, without pseudo-header fields; a Cookie that was received in parts is one
    /// field.
    pub fn fields(&self) -> Fields<'_> {
        Fields::new(&self.fields, &self.bytes)
    }

    /// Returns the positions of the header fields, in order.
    pub fn spans(&self) -> &[Field] {
        &self.fields
    }

    /// Returns the size of the memory that the head holds, in bytes.
    pub(super) fn held_bytes(&self) -> usize {
        self.bytes.capacity() + self.fields.capacity() * size_of::<Field>()
    }
}
