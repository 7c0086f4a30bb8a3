//! Parsed head of a request: offsets into its bytes, and the properties that a connection needs.

use crate::proto::semantics::{Field, Fields, Form, Method, Reject, Span, list};

/// HTTP version of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Version {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1.
    #[default]
    Http11,
}

/// Framing of a request body (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    /// There is no body.
    #[default]
    None,
    /// The body has this many bytes, possibly 0.
    Length(u64),
    /// The body comes in chunks.
    Chunked,
}

impl Framing {
    /// Returns `true` if no byte of a body follows the head.
    pub fn is_empty(self) -> bool {
        matches!(self, Self::None | Self::Length(0))
    }
}

/// Parsed head of a request: offsets into the bytes that it was parsed from.
///
/// It owns no bytes, so it is valid for a copy of them too. Reuse it for the next request:
/// [`parse`](super::parse()) overwrites it and keeps its memory. Its contents are valid only after `parse`
/// has returned a length.
#[derive(Clone, Debug, Default)]
pub struct Head {
    pub(super) method: Method,
    pub(super) version: Version,
    pub(super) form: Form,
    pub(super) framing: Framing,
    pub(super) keep_alive: bool,
    pub(super) upgrade: bool,
    pub(super) expects_continue: bool,
    pub(super) method_at: Span,
    pub(super) target: Span,
    pub(super) path: Span,
    pub(super) query: Option<Span>,
    pub(super) authority: Option<Span>,
    pub(super) fields: Vec<Field>,
}

impl Head {
    /// Returns the method.
    pub fn method(&self) -> Method {
        self.method
    }

    /// Returns the version.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Returns the form of the target.
    pub fn form(&self) -> Form {
        self.form
    }

    /// Returns the framing of the body.
    pub fn framing(&self) -> Framing {
        self.framing
    }

    /// Returns `true` if the client wants the connection to be kept open (RFC 9112 §9.3).
    pub fn keep_alive(&self) -> bool {
        self.keep_alive
    }

    /// Returns `true` if the client offers to switch to another protocol: it speaks HTTP/1.1 and sends an
    /// `Upgrade` field and `Connection: upgrade`. See [`protocols`](Self::protocols).
    pub fn upgrade(&self) -> bool {
        self.upgrade
    }

    /// Returns `true` if the client waits for `100 Continue` before it sends the body. Returns `false`
    /// without a body, and in HTTP/1.0, where the expectation must be ignored (RFC 9110 §10.1.1).
    pub fn expects_continue(&self) -> bool {
        self.expects_continue
    }

    /// Returns the method as it was sent.
    pub fn method_bytes<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        self.method_at.of(bytes)
    }

    /// Returns the method as a type of the `http` crate. Allocates if the method is not standard and longer
    /// than 15 bytes.
    ///
    /// # Errors
    ///
    /// The `http` crate does not accept the method. That does not happen for a method that was parsed.
    pub fn http_method(&self, bytes: &[u8]) -> Result<http::Method, Reject> {
        self.method.to_http(self.method_bytes(bytes))
    }

    /// Returns the whole request target as it was sent.
    pub fn target<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        self.target.of(bytes)
    }

    /// Returns the path, not decoded: `/` if an absolute target has no path, `*` for the asterisk form, empty
    /// for CONNECT.
    pub fn path<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        match self.form {
            Form::Absolute if self.path.is_empty() => b"/",
            _ => self.path.of(bytes),
        }
    }

    /// Returns the part of the target after `?`; `None` without a `?`.
    pub fn query<'a>(&self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        self.query.map(|span| span.of(bytes))
    }

    /// Returns the host and port of the target, or else of the `Host` field, which may be empty.
    pub fn authority<'a>(&self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        self.authority.map(|span| span.of(bytes))
    }

    /// Returns the header fields.
    pub fn fields<'a>(&'a self, bytes: &'a [u8]) -> Fields<'a> {
        Fields::new(&self.fields, bytes)
    }

    /// Returns the positions of the header fields, in order.
    pub fn spans(&self) -> &[Field] {
        &self.fields
    }

    /// Returns the first value of a header field. The case of its name does not matter.
    pub fn header<'a>(&'a self, bytes: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
        self.fields(bytes).first(name)
    }

    /// Iterates over the protocols in the `Upgrade` fields, in the client's order of preference. Empty unless
    /// [`upgrade`](Self::upgrade) returns `true`.
    pub fn protocols<'a>(&'a self, bytes: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        let fields = if self.upgrade { self.fields(bytes) } else { Fields::new(&[], bytes) };
        fields.all(b"upgrade").flat_map(list)
    }

    /// Returns the value of `HTTP2-Settings` if the client offers to switch to HTTP/2: `Upgrade` has `h2c`,
    /// `Connection` names the field, and there is one of it (RFC 7540 §3.2).
    pub fn h2c_settings<'a>(&'a self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        let mut values = self.fields(bytes).all(b"http2-settings");
        let (Some(value), None) = (values.next(), values.next()) else { return None };
        let is_named = self
            .fields(bytes)
            .all(b"connection")
            .flat_map(list)
            .any(|option| option.eq_ignore_ascii_case(b"http2-settings"));
        let has_h2c = self.protocols(bytes).any(|protocol| protocol == b"h2c");
        (is_named && has_h2c).then_some(value)
    }
}
