//! What a request's head says: offsets into its bytes, and everything the connection has to know.

use crate::proto::semantics::{Field, Fields, Form, Method, Reject, Span, list};

/// The version a request was made in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Version {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1.
    #[default]
    Http11,
}

/// How a request's body is framed (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    /// There is none.
    #[default]
    None,
    /// So many bytes, possibly 0.
    Length(u64),
    /// Chunks.
    Chunked,
}

impl Framing {
    /// Says whether no byte of a body follows the head.
    pub fn is_empty(self) -> bool {
        matches!(self, Self::None | Self::Length(0))
    }
}

/// A parsed request head: offsets into the bytes it was parsed from, counted from where that slice started.
///
/// It owns no bytes, so it is as good for a copy of them. Reuse it: [`parse`](super::parse()) overwrites it and keeps
/// its memory. It means something only after `parse` returned a length.
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

    /// Returns how the body is framed.
    pub fn framing(&self) -> Framing {
        self.framing
    }

    /// Says whether the client wants the connection kept (RFC 9112 §9.3).
    pub fn keep_alive(&self) -> bool {
        self.keep_alive
    }

    /// Says whether the client offers another protocol: HTTP/1.1, an Upgrade field and `Connection: upgrade`. See
    /// [`protocols`](Self::protocols).
    pub fn upgrade(&self) -> bool {
        self.upgrade
    }

    /// Says whether the client waits for `100 Continue` before it sends the body. False if there is no body, and in
    /// HTTP/1.0, where the expectation must be ignored (RFC 9110 §10.1.1).
    pub fn expects_continue(&self) -> bool {
        self.expects_continue
    }

    /// Returns the method's token.
    pub fn method_bytes<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        self.method_at.of(bytes)
    }

    /// Returns the method as the `http` crate has it. Allocates for a method of its own of more than 15 bytes.
    ///
    /// # Errors
    ///
    /// The `http` crate takes it for no token; none that was parsed is refused.
    pub fn http_method(&self, bytes: &[u8]) -> Result<http::Method, Reject> {
        Ok(match self.method {
            Method::Get => http::Method::GET,
            Method::Head => http::Method::HEAD,
            Method::Post => http::Method::POST,
            Method::Put => http::Method::PUT,
            Method::Delete => http::Method::DELETE,
            Method::Connect => http::Method::CONNECT,
            Method::Options => http::Method::OPTIONS,
            Method::Trace => http::Method::TRACE,
            Method::Patch => http::Method::PATCH,
            Method::Other => {
                http::Method::from_bytes(self.method_bytes(bytes)).map_err(|_| Reject::Method)?
            }
        })
    }

    /// Returns the whole target as it came.
    pub fn target<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        self.target.of(bytes)
    }

    /// Returns the path, still encoded: `/` if an absolute target has none, `*` for the asterisk form, nothing for
    /// CONNECT.
    pub fn path<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        match self.form {
            Form::Absolute if self.path.is_empty() => b"/",
            _ => self.path.of(bytes),
        }
    }

    /// Returns what follows the `?`, if there is one.
    pub fn query<'a>(&self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        self.query.map(|span| span.of(bytes))
    }

    /// Returns the host and port asked for: the target's if it names one, else Host's, which may be empty.
    pub fn authority<'a>(&self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        self.authority.map(|span| span.of(bytes))
    }

    /// Returns the header fields.
    pub fn fields<'a>(&'a self, bytes: &'a [u8]) -> Fields<'a> {
        Fields::new(&self.fields, bytes)
    }

    /// Returns where the header fields lie, in order.
    pub fn spans(&self) -> &[Field] {
        &self.fields
    }

    /// Returns the first value of this header, whatever its case.
    pub fn header<'a>(&'a self, bytes: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
        self.fields(bytes).first(name)
    }

    /// Walks the protocols of the Upgrade fields, most wanted first: nothing unless [`upgrade`](Self::upgrade).
    pub fn protocols<'a>(&'a self, bytes: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        let fields = if self.upgrade { self.fields(bytes) } else { Fields::new(&[], bytes) };
        fields.all(b"upgrade").flat_map(list)
    }
}
