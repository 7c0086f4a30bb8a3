//! Requests as a handler sees them; must not know connections, routes or handlers.
//!
//! A request owns its head: one buffer, and ranges into it. The buffer comes from a free list of the thread
//! and returns to the free list of the thread that drops the request. An inline request allocates nothing for
//! its head while that list has a buffer that is large enough.

mod context;
mod head;
mod id;
mod missing_state;
#[cfg(feature = "json")]
mod params;
mod peer;
mod trusted_proxies;
#[cfg(feature = "json")]
mod typed;

use std::{
    borrow::Cow,
    fmt::{self, Display},
    net::SocketAddr,
    str::FromStr,
    sync::Arc,
};

use bytes::Bytes;
use http::{Extensions, HeaderMap, HeaderName, HeaderValue, Method, Uri, Version, header};
use windlass_actors::Pool;

use crate::{body::Body, metrics::ShardCounters, proto::percent, response::Rejection};

pub(crate) use context::Context;
pub(crate) use head::{Head, Span};
pub use id::RequestId;
pub use missing_state::MissingState;
pub use peer::Peer;
pub use trusted_proxies::TrustedProxies;

/// Largest body that [`Request::whole_body`] collects on a streamed route, bytes. On other routes the body is
/// collected before, within the route's limit.
const STREAMED_BODY_BYTES: usize = 1024 * 1024;

/// A request.
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

    /// Sets whether the request arrived over TLS.
    pub(crate) fn with_tls(self, secure: bool) -> Self {
        Self { secure, ..self }
    }

    /// Returns the head.
    pub(crate) fn head(&self) -> &Head {
        &self.head
    }

    /// Returns the peer of the connection.
    pub(crate) fn raw_peer(&self) -> Peer {
        self.peer
    }

    /// Returns the identifier that [`RequestIds`](crate::middleware::RequestIds) has given the request,
    /// otherwise that of its `x-request-id` field. `None` if there is neither, or the field is not valid: see
    /// [`RequestId`](crate::middleware::RequestId).
    pub fn id(&self) -> Option<RequestId> {
        let given = self.extensions().get::<RequestId>().copied();
        given.or_else(|| RequestId::new(self.head.header(RequestId::NAME.as_str())?))
    }

    /// Returns the method.
    pub fn method(&self) -> &Method {
        &self.head.method
    }

    /// Returns the protocol version.
    pub fn version(&self) -> Version {
        self.head.version
    }

    /// Returns the protocol of an extended CONNECT (RFC 8441 §4). `None` for other requests.
    #[cfg(feature = "ws")]
    pub(crate) fn protocol(&self) -> Option<&[u8]> {
        self.head.protocol.map(|span| self.head.bytes(span))
    }

    /// Returns the path as sent, percent-encoded and without the query.
    pub fn path(&self) -> &str {
        self.head.text(self.head.path)
    }

    /// Returns the query as sent, percent-encoded and without the `?`.
    pub fn query(&self) -> Option<&str> {
        self.head.query.map(|span| self.head.text(span))
    }

    /// Converts to a request of the `http` crate with this URI. Its extensions include the [`Peer`].
    pub(crate) fn into_http(mut self, uri: Uri) -> http::Request<Body> {
        let mut request = http::Request::new(self.take_body());
        *request.method_mut() = self.method().clone();
        *request.uri_mut() = uri;
        *request.version_mut() = self.version();
        *request.headers_mut() = self.header_map();
        // The authority of an absolute target replaces Host (RFC 9112 §3.2.2). The URI here has no authority.
        if let Some(Ok(host)) = self.host().map(HeaderValue::from_str) {
            request.headers_mut().insert(header::HOST, host);
        }
        *request.extensions_mut() = std::mem::take(&mut self.extensions);
        request.extensions_mut().insert(self.peer);
        request
    }

    /// Returns the path and the query as sent.
    pub(crate) fn target(&self) -> Cow<'_, str> {
        match self.query() {
            Some(query) => Cow::Owned(format!("{}?{query}", self.path())),
            None => Cow::Borrowed(self.path()),
        }
    }

    /// Returns the first value of a query key, percent-decoded. A `+` becomes a space.
    ///
    /// Invalid UTF-8 becomes U+FFFD.
    pub fn query_value(&self, key: &str) -> Option<Cow<'_, str>> {
        let pairs = form_urlencoded::parse(self.query()?.as_bytes());
        pairs.into_iter().find_map(|(name, value)| (name == key).then_some(value))
    }

    /// Returns the first value of a query key as bytes, percent-decoded. A `+` becomes a space. Returns
    /// `None` if the query lacks the key.
    pub fn query_bytes(&self, key: &str) -> Option<Cow<'_, [u8]>> {
        self.query_pairs().find(|(name, _)| **name == *key.as_bytes()).map(|(_, value)| value)
    }

    /// Returns the keys and values of the query as bytes, percent-decoded, in order. A key without `=` has an
    /// empty value.
    pub(crate) fn query_pairs(&self) -> impl Iterator<Item = (Cow<'_, [u8]>, Cow<'_, [u8]>)> {
        let query = self.query().unwrap_or_default().as_bytes();
        query.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (key, value) = match memchr::memchr(b'=', pair) {
                Some(at) => (&pair[..at], &pair[at + 1..]),
                None => (pair, &[][..]),
            };
            (form_decode(key), form_decode(value))
        })
    }

    /// Returns the host, and the port if one was sent: the authority of the request target, or without one
    /// the value of `Host`.
    pub fn host(&self) -> Option<&str> {
        self.head.authority.map(|span| self.head.text(span))
    }

    /// Returns the host, and the port if one was sent, that the client has asked for: what a
    /// [trusted proxy](crate::Builder::trusted_proxies) has sent in `Forwarded` or `X-Forwarded-Host`,
    /// otherwise the [`host`](Self::host).
    ///
    /// In `Forwarded` it is the `host` of the outermost trusted proxy. `X-Forwarded-Host` does not tell who
    /// has added a value, so only the last one is believed, which the peer has added. With several proxies
    /// that change `Host`, use `Forwarded`. A proxy must replace or remove the header that it does not set,
    /// because it would pass on that of the client.
    ///
    /// Requests of a page of this server name this host in their `Origin` header.
    pub fn original_host(&self) -> Option<&str> {
        self.context.trusted.host(self.peer, self.header_pairs()).or_else(|| self.host())
    }

    /// Returns a path parameter, percent-decoded. Returns `None` if the route has no parameter of this name.
    ///
    /// In a parameter that matches the rest of the path, such as `{*path}`, an encoded slash stays encoded
    /// (`%2F`), so that every plain slash separates two segments. [`param_segments`](Self::param_segments)
    /// decodes each segment completely.
    ///
    /// The decoded parameter is valid UTF-8 without NUL. The server answers `400` to other requests before it
    /// calls a handler.
    pub fn param(&self, name: &str) -> Option<Cow<'_, str>> {
        let (index, raw) = self.find_param(name)?;
        Some(self.decoded_param(index, raw))
    }

    /// Iterates over the segments of a path parameter that matches the rest of the path, each
    /// percent-decoded. Yields nothing if the route has no parameter of this name.
    ///
    /// ```
    /// use windlass::{Request, get};
    /// // `/files/a/b%2Fc` has the segments `a` and `b/c`.
    /// let route = get("/files/{*path}", |request: Request| {
    ///     request.param_segments("path").collect::<Vec<_>>().join("|")
    /// });
    /// ```
    pub fn param_segments(&self, name: &str) -> impl Iterator<Item = Cow<'_, str>> {
        self.param_raw(name).into_iter().flat_map(|raw| raw.split('/')).map(percent::decoded)
    }

    /// Parses a path parameter as a number or any other type that implements [`FromStr`].
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
    /// `400` if the parameter is invalid, or if the route has no parameter of this name. The text names the
    /// parameter.
    pub fn param_as<T: FromStr<Err: Display>>(&self, name: &str) -> Result<T, Rejection> {
        let value = self
            .param(name)
            .ok_or_else(|| Rejection::bad_request(format!("the route has no path parameter `{name}`")))?;
        value
            .parse()
            .map_err(|error| Rejection::bad_request(format!("invalid path parameter `{name}`: {error}")))
    }

    /// Parses a query value as a number or any other type that implements [`FromStr`]. Returns `None` if the
    /// query lacks the key.
    ///
    /// # Errors
    ///
    /// `400` if the value is invalid. The text names the key.
    pub fn query_value_as<T: FromStr<Err: Display>>(&self, key: &str) -> Result<Option<T>, Rejection> {
        let Some(value) = self.query_value(key) else { return Ok(None) };
        let parsed = value.parse().map_err(|error| format!("invalid query value `{key}`: {error}"));
        parsed.map(Some).map_err(Rejection::bad_request)
    }

    /// Returns a path parameter, percent-encoded, in which unreserved characters are never encoded. Returns
    /// `None` if the route has no parameter of this name.
    pub fn param_raw(&self, name: &str) -> Option<&str> {
        self.find_param(name).map(|(_, value)| value)
    }

    /// Returns the index and the value of a path parameter.
    fn find_param(&self, name: &str) -> Option<(usize, &str)> {
        let head = &self.head;
        let index = head.params.iter().position(|(key, _)| head.text(*key) == name)?;
        Some((index, head.text(head.params[index].1)))
    }

    /// Decodes the value of the path parameter with this index.
    fn decoded_param<'a>(&self, index: usize, raw: &'a str) -> Cow<'a, str> {
        let is_rest = self.head.has_rest && index + 1 == self.head.params.len();
        if is_rest { percent::decoded_rest(raw) } else { percent::decoded(raw) }
    }

    /// Returns the names and values of all path parameters, in the order of the path. The values are decoded
    /// as [`param`](Self::param) does it.
    pub fn params(&self) -> impl Iterator<Item = (&str, Cow<'_, str>)> {
        let head = &self.head;
        let pairs = head.params.iter().enumerate();
        pairs.map(|(index, (name, value))| (head.text(*name), self.decoded_param(index, head.text(*value))))
    }

    /// Returns the first value of a header. The name is case-insensitive. Returns `None` if the request lacks
    /// the header, or if its first value is not UTF-8.
    pub fn header(&self, name: impl AsRef<str>) -> Option<&str> {
        std::str::from_utf8(self.header_bytes(name)?).ok()
    }

    /// Returns the first value of a header as bytes, or `None` if the request lacks it. The name is
    /// case-insensitive.
    pub fn header_bytes(&self, name: impl AsRef<str>) -> Option<&[u8]> {
        self.head.header(name.as_ref())
    }

    /// Returns all header names and values, in order. HTTP/2 names are lowercase.
    pub fn header_pairs(&self) -> impl Iterator<Item = (&[u8], &[u8])> + Clone {
        self.head.header_pairs()
    }

    /// Returns all headers as an [`http::HeaderMap`]. Allocates; [`header`](Self::header) does not.
    pub fn header_map(&self) -> HeaderMap {
        let pairs = self.header_pairs();
        pairs
            .filter_map(|(n, v)| Some((HeaderName::from_bytes(n).ok()?, HeaderValue::from_bytes(v).ok()?)))
            .collect()
    }

    /// Returns the value of `Content-Type`, or `None` if it is missing or not UTF-8.
    pub fn content_type(&self) -> Option<&str> {
        self.header(header::CONTENT_TYPE)
    }

    /// Returns the body. It is complete, except on a [streamed](crate::Route::streamed) route.
    pub fn body(&self) -> &Body {
        &self.body
    }

    /// Returns the body mutably, for reading.
    pub fn body_mut(&mut self) -> &mut Body {
        &mut self.body
    }

    /// Takes the body and leaves an empty one.
    pub fn take_body(&mut self) -> Body {
        std::mem::take(&mut self.body)
    }

    /// Takes the whole body and leaves an empty one. Waits for the rest of it on a
    /// [streamed](crate::Route::streamed) route.
    ///
    /// # Errors
    ///
    /// On a streamed route `413` if the body is larger than 1 MiB, and `400` if it is invalid or ended early.
    /// On other routes the server answers such requests itself, with the route's limit.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it is ready, the body is lost.
    pub async fn whole_body(&mut self) -> Result<Bytes, Rejection> {
        // A body that is already collected is within the limit of its route.
        let collected = self.body.as_bytes().map_or(0, <[u8]>::len);
        Ok(self.take_body().collect(STREAMED_BODY_BYTES.max(collected)).await?)
    }

    /// Replaces the body. For middleware.
    pub fn set_body(&mut self, body: Body) {
        self.body = body;
    }

    /// Returns the address of the peer, or the client's address that a proxy has sent in the PROXY protocol.
    /// Returns `None` for a Unix socket, and if the peer had disconnected before its address was read.
    pub fn peer(&self) -> Option<SocketAddr> {
        self.peer.address()
    }

    /// Returns `true` if the request arrived over TLS at this server. TLS that ends at a proxy in front does
    /// not count.
    pub fn is_secure(&self) -> bool {
        self.secure
    }

    /// Returns the address of the client: that of the [`peer`](Self::peer), or a forwarded address if the
    /// peer is a [trusted proxy](crate::Builder::trusted_proxies). Returns `None` if the peer has no address
    /// and none was forwarded.
    ///
    /// The forwarded address is the last one in `Forwarded`, or without that header in `X-Forwarded-For`,
    /// that is not a trusted proxy itself. If all are trusted it is the first one. Addresses before one that
    /// is unreadable are ignored.
    pub fn client(&self) -> Option<std::net::IpAddr> {
        self.context.trusted.client(self.peer, self.header_pairs())
    }

    /// Returns the value of this type that [`Router::state`](crate::Router::state) has added, or `None` if
    /// the router has none.
    ///
    /// A handler can also capture values in its closure, which the compiler checks.
    pub fn state<T: Send + Sync + Clone + 'static>(&self) -> Option<&T> {
        self.context.state.get::<T>()
    }

    /// Returns the value of this type as [`state`](Self::state) does, or an error for `?` in handlers that
    /// require it.
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
    /// The router has no value of this type. As a [`HandlerError`](crate::HandlerError) it is logged and
    /// becomes `500`.
    pub fn need_state<T: Send + Sync + Clone + 'static>(&self) -> Result<&T, MissingState> {
        self.state().ok_or_else(MissingState::of::<T>)
    }

    /// Returns the counters of the connection's shard.
    pub(crate) fn counters(&self) -> Arc<ShardCounters> {
        self.context.counters.clone()
    }

    /// Returns the server's pool. Returns `None` if it has not started.
    #[cfg_attr(not(feature = "files"), allow(dead_code, reason = "only static files use it inline"))]
    pub(crate) fn pool(&self) -> Option<&Pool> {
        self.context.pool.get()
    }

    /// Returns the values that middleware has attached with [`extensions_mut`](Self::extensions_mut).
    pub fn extensions(&self) -> &Extensions {
        &self.extensions
    }

    /// Returns the attached values mutably, so that middleware can attach others for the handler.
    pub fn extensions_mut(&mut self) -> &mut Extensions {
        &mut self.extensions
    }
}

/// Decodes a key or value of a query: `%` sequences, and `+` as a space (WHATWG URL §5.1).
fn form_decode(part: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr2(b'%', b'+', part).is_none() {
        return Cow::Borrowed(part);
    }
    let spaced: Vec<u8> = part.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    percent_encoding::percent_decode(&spaced).collect::<Vec<u8>>().into()
}

/// Converts to a request of the `http` crate. Creates a header map. The extensions include the [`Peer`].
///
/// # Errors
///
/// The request target is not a valid URI for that crate.
impl TryFrom<Request> for http::Request<Body> {
    type Error = http::Error;

    fn try_from(request: Request) -> Result<Self, Self::Error> {
        let uri = Uri::try_from(request.target().as_ref())?;
        Ok(request.into_http(uri))
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Request");
        debug.field("method", self.method()).field("path", &self.path()).field("query", &self.query());
        debug.field("body", &self.body).finish_non_exhaustive()
    }
}
