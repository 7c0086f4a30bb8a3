//! A request as a handler sees it: owned, `Send`, its head kept as one buffer and ranges into it.
//!
//! The buffer comes from a free list of the thread and returns to the free list of the thread that drops the
//! request, so that an inline request costs no allocation for its head.

mod context;
mod head;
#[cfg(feature = "json")]
mod typed;

use std::{
    borrow::Cow,
    fmt::{self, Display},
    net::SocketAddr,
    str::FromStr,
    sync::Arc,
};

use http::{Extensions, HeaderMap, HeaderName, HeaderValue, Method, Uri, Version, header};
use percent_encoding::percent_decode;

use crate::{body::Body, metrics::ShardCounters, response::Rejection};

pub(crate) use context::Context;
pub use context::{Peer, TrustedProxies};
pub(crate) use head::{Head, Span};

/// One request.
///
/// ```
/// use windlass::{Request, Response};
/// fn hello(request: Request) -> Response {
///     let name = request.param("name").unwrap_or_default();
///     Response::text(format!("Hello, {name}!"))
/// }
/// ```
pub struct Request {
    head: Head,
    body: Body,
    peer: Peer,
    secure: bool,
    context: Arc<Context>,
    extensions: Extensions,
}

impl Request {
    pub(crate) fn new(head: Head, body: Body, peer: Peer, context: Arc<Context>) -> Self {
        Self { head, body, peer, secure: false, context, extensions: Extensions::new() }
    }

    /// Notes whether it came over TLS.
    pub(crate) fn over_tls(self, secure: bool) -> Self {
        Self { secure, ..self }
    }

    /// Returns the method.
    pub fn method(&self) -> &Method {
        &self.head.method
    }

    /// Returns the protocol version.
    pub fn version(&self) -> Version {
        self.head.version
    }

    /// Returns what an extended CONNECT asks for (RFC 8441 §4).
    #[cfg(feature = "ws")]
    pub(crate) fn protocol(&self) -> Option<&[u8]> {
        self.head.protocol.map(|span| self.head.bytes(span))
    }

    /// Returns the path as it was sent, still percent-encoded, without the query.
    pub fn path(&self) -> &str {
        self.head.text(self.head.path)
    }

    /// Returns what stood behind the `?`, still percent-encoded.
    pub fn query(&self) -> Option<&str> {
        self.head.query.map(|span| self.head.text(span))
    }

    /// Makes the `http` crate's request, with this URI.
    pub(crate) fn into_http(mut self, uri: Uri) -> http::Request<Body> {
        let mut made = http::Request::new(self.take_body());
        *made.method_mut() = self.method().clone();
        *made.uri_mut() = uri;
        *made.version_mut() = self.version();
        *made.headers_mut() = self.header_map();
        // The authority of an absolute target wins over Host (RFC 9112 §3.2.2), and the URI here has none.
        if let Some(Ok(host)) = self.host().map(HeaderValue::from_str) {
            made.headers_mut().insert(header::HOST, host);
        }
        *made.extensions_mut() = std::mem::take(&mut self.extensions);
        made.extensions_mut().insert(self.peer);
        made
    }

    /// Returns path and query as they were sent.
    pub(crate) fn target(&self) -> Cow<'_, str> {
        match self.query() {
            Some(query) => Cow::Owned(format!("{}?{query}", self.path())),
            None => Cow::Borrowed(self.path()),
        }
    }

    /// Returns the first value of one `key=value` pair of the query, percent-decoded, `+` as a space.
    ///
    /// Invalid UTF-8 is replaced by U+FFFD.
    pub fn query_value(&self, key: &str) -> Option<Cow<'_, str>> {
        let pairs = form_urlencoded::parse(self.query()?.as_bytes());
        pairs.into_iter().find_map(|(name, value)| (name == key).then_some(value))
    }

    /// Returns the authority the request is for: of the request target if it has one, else of `Host`.
    pub fn host(&self) -> Option<&str> {
        self.head.authority.map(|span| self.head.text(span))
    }

    /// Returns one path parameter, percent-decoded.
    ///
    /// A parameter that is not UTF-8 after decoding, or that holds a NUL, was answered `400` before any handler ran.
    pub fn param(&self, name: &str) -> Option<Cow<'_, str>> {
        let raw = self.param_raw(name)?;
        Some(percent_decode(raw.as_bytes()).decode_utf8_lossy())
    }

    /// Reads one path parameter as a number, or whatever else is parsed from a text.
    ///
    /// ```
    /// use windlass::{Rejection, Request};
    /// fn double(request: Request) -> Result<String, Rejection> {
    ///     Ok((request.param_as::<u32>("n")? * 2).to_string())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// A `400` that names the parameter: it cannot be parsed, or the route has none of that name.
    pub fn param_as<T: FromStr<Err: Display>>(&self, name: &str) -> Result<T, Rejection> {
        let value = self
            .param(name)
            .ok_or_else(|| Rejection::bad_request(format!("there is no parameter '{name}'")))?;
        value
            .parse()
            .map_err(|error| Rejection::bad_request(format!("the parameter '{name}' is wrong: {error}")))
    }

    /// Reads one value of the query, percent-decoded, as a number, or whatever else is parsed from a text; `None` when
    /// the query has none of that name.
    ///
    /// # Errors
    ///
    /// A `400` that names the key: its value cannot be parsed.
    pub fn query_value_as<T: FromStr<Err: Display>>(&self, key: &str) -> Result<Option<T>, Rejection> {
        let Some(value) = self.query_value(key) else { return Ok(None) };
        let parsed = value.parse().map_err(|error| format!("the query's '{key}' is wrong: {error}"));
        parsed.map(Some).map_err(Rejection::bad_request)
    }

    /// Returns one path parameter as it was sent.
    pub fn param_raw(&self, name: &str) -> Option<&str> {
        let head = &self.head;
        head.params.iter().find(|(key, _)| head.text(*key) == name).map(|(_, value)| head.text(*value))
    }

    /// Returns the first value of a header, if it is visible ASCII or UTF-8.
    pub fn header(&self, name: impl AsRef<str>) -> Option<&str> {
        std::str::from_utf8(self.header_bytes(name)?).ok()
    }

    /// Returns the first value of a header.
    pub fn header_bytes(&self, name: impl AsRef<str>) -> Option<&[u8]> {
        let wanted = name.as_ref().as_bytes();
        self.header_pairs().find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value)
    }

    /// Returns all headers in the order they came, names as they were sent.
    pub fn header_pairs(&self) -> impl Iterator<Item = (&[u8], &[u8])> + Clone {
        let head = &self.head;
        head.headers.iter().map(|(name, value)| (head.bytes(*name), head.bytes(*value)))
    }

    /// Builds an [`http::HeaderMap`] of all headers. Costs an allocation or more; prefer [`header`](Self::header).
    pub fn header_map(&self) -> HeaderMap {
        let pairs = self.header_pairs();
        pairs
            .filter_map(|(n, v)| Some((HeaderName::from_bytes(n).ok()?, HeaderValue::from_bytes(v).ok()?)))
            .collect()
    }

    /// Returns the request's `Content-Type`.
    pub fn content_type(&self) -> Option<&str> {
        self.header(header::CONTENT_TYPE)
    }

    /// Returns the body: whole on an ordinary route, streamed on a streaming one.
    pub fn body(&self) -> &Body {
        &self.body
    }

    /// Returns the body to read from.
    pub fn body_mut(&mut self) -> &mut Body {
        &mut self.body
    }

    /// Takes the body, leaving an empty one.
    pub fn take_body(&mut self) -> Body {
        std::mem::take(&mut self.body)
    }

    /// Replaces the body; for middleware.
    pub fn set_body(&mut self, body: Body) {
        self.body = body;
    }

    /// Returns the address of the socket's other side, or the one a PROXY preamble named. `None` on a Unix socket.
    pub fn peer(&self) -> Option<SocketAddr> {
        self.peer.address()
    }

    /// Says whether the request came over TLS that ends at this server. A proxy in front may have ended another one,
    /// and says so in a header.
    pub fn is_secure(&self) -> bool {
        self.secure
    }

    /// Returns the address of the client: [`peer`](Self::peer), or what `Forwarded` or `X-Forwarded-For` say when
    /// the peer is one of the server's trusted proxies.
    ///
    /// The list is read from its end, over every trusted proxy, to the first address that is not one.
    pub fn client(&self) -> Option<std::net::IpAddr> {
        self.context.trusted.client(self.peer, self.header_pairs())
    }

    /// Returns the server's state of this type, set by [`Router::state`](crate::Router::state).
    ///
    /// A closure may as well capture what it needs: then the compiler knows that it is there.
    pub fn state<T: Send + Sync + Clone + 'static>(&self) -> Option<&T> {
        self.context.state.get::<T>()
    }

    /// Returns the server's state of this type, for handlers that cannot go on without it.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use windlass::{HandlerError, Request, Router, get};
    ///
    /// struct Greeting(String);
    ///
    /// async fn greet(request: Request) -> Result<String, HandlerError> {
    ///     Ok(request.need_state::<Arc<Greeting>>()?.0.clone())
    /// }
    /// let router = Router::new().state(Arc::new(Greeting("hello".to_owned()))).route(get("/", greet));
    /// ```
    ///
    /// # Errors
    ///
    /// The program never set it: as a [`HandlerError`](crate::HandlerError) it is a `500`, and logged by its type.
    pub fn need_state<T: Send + Sync + Clone + 'static>(&self) -> Result<&T, MissingState> {
        self.state().ok_or(MissingState(std::any::type_name::<T>()))
    }

    /// Returns the figures of the connection's shard.
    pub(crate) fn counters(&self) -> Arc<ShardCounters> {
        self.context.counters.clone()
    }

    /// Returns what middleware attached.
    pub fn extensions(&self) -> &Extensions {
        &self.extensions
    }

    /// Returns what middleware attached, to add to it.
    pub fn extensions_mut(&mut self) -> &mut Extensions {
        &mut self.extensions
    }
}

/// Converts to the `http` crate's request, for libraries that speak it. Builds a header map. The extensions go along,
/// and have the [`Peer`] among them.
///
/// # Errors
///
/// The target is not a URI by that crate's rules.
impl TryFrom<Request> for http::Request<Body> {
    type Error = http::Error;

    fn try_from(request: Request) -> Result<Self, Self::Error> {
        let uri = Uri::try_from(request.target().as_ref())?;
        Ok(request.into_http(uri))
    }
}

/// A type that is no part of the server's state, although a handler needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MissingState(&'static str);

impl Display for MissingState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the router has no state of the type {}", self.0)
    }
}

impl std::error::Error for MissingState {}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Request");
        debug.field("method", self.method()).field("path", &self.path()).field("query", &self.query());
        debug.field("body", &self.body).finish_non_exhaustive()
    }
}
