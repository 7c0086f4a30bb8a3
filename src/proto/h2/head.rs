//! A request's head, and its trailers: decoded field lines as bytes and spans, as a head of HTTP/1.1 is.

use super::{Priority, seen::Seen};
use crate::proto::semantics::{Field, Fields, Method, Reject, Span};

/// A decoded head: bytes, and where in them everything is.
///
/// Reuse it: the next head overwrites it and keeps its memory. It means something only while the event that
/// told of it is handled.
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

    /// Returns the method as the `http` crate has it. Allocates for a method of its own of more than 15
    /// bytes.
    ///
    /// # Errors
    ///
    /// The `http` crate takes it for no token; none that was accepted is refused.
    pub fn http_method(&self) -> Result<http::Method, Reject> {
        self.method.to_http(self.method_at.of(&self.bytes))
    }

    /// Returns the bytes that all spans lie in.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns the path, still encoded: `*` for the asterisk form, nothing for CONNECT.
    pub fn path(&self) -> &[u8] {
        self.path.of(&self.bytes)
    }

    /// Returns where the path lies.
    pub fn path_span(&self) -> Span {
        self.path
    }

    /// Returns what follows the `?`, if there is one.
    pub fn query(&self) -> Option<&[u8]> {
        self.query.map(|span| span.of(&self.bytes))
    }

    /// Returns where the query lies.
    pub fn query_span(&self) -> Option<Span> {
        self.query
    }

    /// Returns the host and port asked for: `:authority`, else Host.
    pub fn authority(&self) -> Option<&[u8]> {
        self.authority.map(|span| span.of(&self.bytes))
    }

    /// Returns where the authority lies.
    pub fn authority_span(&self) -> Option<Span> {
        self.authority
    }

    /// Returns where `:protocol` lies, which an extended CONNECT has (RFC 8441 §4).
    pub fn protocol_span(&self) -> Option<Span> {
        self.protocol
    }

    /// Returns `true` for the target `*`.
    pub fn is_asterisk(&self) -> bool {
        self.is_asterisk
    }

    /// Returns the body's length, if it is declared.
    pub fn content_length(&self) -> Option<u64> {
        self.length
    }

    /// Returns `true` if the client waits for an interim response before it sends the body.
    pub fn expects_continue(&self) -> bool {
        self.expects_continue
    }

    /// Returns the header fields, without pseudo-header fields; a Cookie that came in parts is one field.
    pub fn fields(&self) -> Fields<'_> {
        Fields::new(&self.fields, &self.bytes)
    }

    /// Returns where the header fields lie, in order.
    pub fn spans(&self) -> &[Field] {
        &self.fields
    }

    /// Returns the bytes of memory it holds.
    pub(super) fn held_bytes(&self) -> usize {
        self.bytes.capacity() + self.fields.capacity() * size_of::<Field>()
    }
}
