//! A response as a handler makes it.

mod failure;
mod fields;
mod into;
#[cfg(feature = "json")]
mod json;

use std::any::Any;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode, header};

use crate::body::Body;

pub use failure::{HandlerError, Rejection};
pub use fields::Fields;
pub use into::IntoResponse;
#[cfg(feature = "json")]
pub use json::Json;

/// One response: status, headers, body.
///
/// `Content-Length`, `Transfer-Encoding` and `Connection` are the server's: a handler that sets them is overruled,
/// save that `Connection: close` closes the connection behind the response; over HTTP/2 it asks the peer to open no
/// further stream. `Date` is the server's unless a handler
/// sets it. Header names and values cannot hold line breaks: the `http` crate's types refuse them. A handler's
/// status of 1xx ends no request, so it becomes a `500`.
///
/// ```
/// use windlass::{Response, http::StatusCode};
/// let response = Response::text("made").with_status(StatusCode::CREATED).with_header("x-id", "7");
/// assert_eq!(response.header("x-id").unwrap(), "7");
/// ```
#[derive(Debug, Default)]
pub struct Response {
    status: StatusCode,
    fields: Fields,
    body: Body,
    handshake: Option<Box<Handshake>>,
}

/// What takes the connection, or its stream, over behind the head; known to the protocol that made it.
#[derive(Debug)]
struct Handshake(
    #[cfg_attr(not(feature = "ws"), expect(dead_code, reason = "nothing takes over"))] Box<dyn Any + Send>,
);

impl Response {
    /// Makes an empty `200`.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes an empty response with this status.
    pub fn status_only(status: StatusCode) -> Self {
        Self { status, ..Self::default() }
    }

    /// Makes a `200` with `text/plain; charset=utf-8`.
    pub fn text(text: impl Into<Body>) -> Self {
        Self::typed(HeaderValue::from_static("text/plain; charset=utf-8"), text)
    }

    /// Makes a `200` with `text/html; charset=utf-8`.
    pub fn html(text: impl Into<Body>) -> Self {
        Self::typed(HeaderValue::from_static("text/html; charset=utf-8"), text)
    }

    /// Makes a `200` with `application/json` of a text that is JSON already.
    pub fn json_text(text: impl Into<Body>) -> Self {
        Self::typed(HeaderValue::from_static("application/json"), text)
    }

    /// Sends the peer to another place, with a status such as `303 See Other` (the answer to a form), `307 Temporary
    /// Redirect` or `308 Permanent Redirect` (RFC 9110 §15.4).
    ///
    /// A location that cannot stand in a header makes this a `500`, as in [`with_header`](Self::with_header).
    ///
    /// ```
    /// use windlass::{Response, http::StatusCode};
    /// let response = Response::redirect(StatusCode::SEE_OTHER, "/done");
    /// assert_eq!(response.header("location").unwrap(), "/done");
    /// ```
    pub fn redirect(status: StatusCode, location: &str) -> Self {
        Self::status_only(status).with_header(header::LOCATION, location)
    }

    /// Makes a `200` with this content type.
    pub fn typed(content_type: HeaderValue, body: impl Into<Body>) -> Self {
        let mut response = Self { body: body.into(), ..Self::default() };
        response.fields.append(header::CONTENT_TYPE, content_type);
        response
    }

    /// Sets the status.
    #[must_use]
    pub fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn with_body(mut self, body: impl Into<Body>) -> Self {
        self.body = body.into();
        self
    }

    /// Sets a header, replacing earlier values of that name.
    ///
    /// A name or value that is no header by the `http` crate's rules makes this a `500` that says so, so that it
    /// never reaches the wire; use [`fields_mut`](Self::fields_mut) to handle the error yourself.
    #[must_use]
    pub fn with_header<N, V>(mut self, name: N, value: V) -> Self
    where
        N: TryInto<HeaderName>,
        V: TryInto<HeaderValue>,
    {
        match (name.try_into(), value.try_into()) {
            (Ok(name), Ok(value)) => {
                self.fields.insert(name, value);
                self
            }
            _ => {
                tracing::error!("a handler set an invalid response header; answering 500");
                Self::text("The server's handler set an invalid header.\n")
                    .with_status(StatusCode::INTERNAL_SERVER_ERROR)
            }
        }
    }

    /// Has something take over behind the head.
    #[cfg(feature = "ws")]
    pub(crate) fn with_handshake(self, handshake: Box<dyn Any + Send>) -> Self {
        Self { handshake: Some(Box::new(Handshake(handshake))), ..self }
    }

    /// Says whether something takes over behind the head.
    pub(crate) fn has_handshake(&self) -> bool {
        self.handshake.is_some()
    }

    /// Takes what takes over.
    #[cfg(feature = "ws")]
    pub(crate) fn take_handshake(&mut self) -> Option<Box<dyn Any + Send>> {
        self.handshake.take().map(|handshake| handshake.0)
    }

    /// Returns the status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Returns the first value of a header.
    pub fn header(&self, name: impl AsRef<str>) -> Option<&HeaderValue> {
        self.fields.first(name.as_ref())
    }

    /// Returns the headers.
    pub fn fields(&self) -> &Fields {
        &self.fields
    }

    /// Returns the headers, to change them.
    pub fn fields_mut(&mut self) -> &mut Fields {
        &mut self.fields
    }

    /// Returns the body.
    pub fn body(&self) -> &Body {
        &self.body
    }

    /// Returns the body, to change it.
    pub fn body_mut(&mut self) -> &mut Body {
        &mut self.body
    }

    /// Takes the body, leaving an empty one.
    pub fn take_body(&mut self) -> Body {
        std::mem::take(&mut self.body)
    }
}

/// Converts from the `http` crate's response.
impl<B: Into<Body>> From<http::Response<B>> for Response {
    fn from(response: http::Response<B>) -> Self {
        let (parts, body) = response.into_parts();
        Self { status: parts.status, fields: parts.headers.into(), body: body.into(), handshake: None }
    }
}

/// Makes the text answers the server gives by itself.
pub(crate) fn plain(status: StatusCode, text: impl Into<Bytes>) -> Response {
    let mut response = Response::status_only(status).with_body(text.into());
    response.fields.append(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
