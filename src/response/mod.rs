//! Responses as a handler creates them; must not know connections, routes or handlers.

mod error;
mod fields;
mod html;
mod into_response;
#[cfg(feature = "json")]
mod json;
mod redirect;

use std::any::Any;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode, header};

use crate::body::Body;

pub use error::{HandlerError, Rejection};
pub use fields::Fields;
pub use html::Html;
pub use into_response::IntoResponse;
#[cfg(feature = "json")]
pub use json::Json;
pub use redirect::Redirect;

/// A response: status, headers and body.
///
/// The server sets `Content-Length`, `Transfer-Encoding` and `Connection`, and ignores a handler's values,
/// with two exceptions. `Connection: close` closes the connection after the response; over HTTP/2 it asks the
/// peer to open no new streams. A response to HEAD and a `304` keep their first `Content-Length`. The server
/// sets `Date` unless the handler does. A 1xx status does not end a request, so the server answers `500`
/// instead.
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
    note: Option<Box<Note>>,
}

/// Extra information of a response for the connection. Few responses have it.
#[derive(Debug)]
enum Note {
    /// Outcome of a protocol handshake. The protocol that created it takes it out of the response.
    #[cfg_attr(not(feature = "ws"), expect(dead_code, reason = "WebSocket is the only handshake"))]
    Handshake(Box<dyn Any + Send>),
    /// Reason why the server answered instead of the handler, for the end hooks.
    Error(&'static str),
}

impl Response {
    /// Creates an empty response with status `200`.
    pub fn new() -> Self {
        Self::default()
    }

    /// Creates an empty response with this status.
    pub fn status_only(status: StatusCode) -> Self {
        Self { status, ..Self::default() }
    }

    /// Creates a `200` response of type `text/plain; charset=utf-8`.
    pub fn text(text: impl Into<Body>) -> Self {
        Self::typed(HeaderValue::from_static("text/plain; charset=utf-8"), text)
    }

    /// Creates a `200` response of type `text/html; charset=utf-8`.
    pub fn html(text: impl Into<Body>) -> Self {
        Self::typed(HeaderValue::from_static("text/html; charset=utf-8"), text)
    }

    /// Creates a `200` response of type `application/json`. The text must be JSON already.
    pub fn json_text(text: impl Into<Body>) -> Self {
        Self::typed(HeaderValue::from_static("application/json"), text)
    }

    /// Creates a redirect (RFC 9110 §15.4). Common statuses are `303 See Other` after a form, `307 Temporary
    /// Redirect` and `308 Permanent Redirect`.
    ///
    /// An invalid location makes this a `500` response, as in [`with_header`](Self::with_header).
    ///
    /// ```
    /// use windlass::{Response, http::StatusCode};
    /// let response = Response::redirect(StatusCode::SEE_OTHER, "/done");
    /// assert_eq!(response.header("location").unwrap(), "/done");
    /// ```
    pub fn redirect(status: StatusCode, location: &str) -> Self {
        Self::status_only(status).with_header(header::LOCATION, location)
    }

    /// Creates a `200` response with this content type and body.
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

    /// Sets a header. Replaces all values of that name.
    ///
    /// An invalid name or value, such as one with a line break, is logged and replaces the whole response by
    /// a `500`. To handle the error, convert the name and value yourself and use
    /// [`fields_mut`](Self::fields_mut).
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
                tracing::error!("handler set an invalid response header, answering 500");
                Self::text("The server created an invalid response header.\n")
                    .with_status(StatusCode::INTERNAL_SERVER_ERROR)
            }
        }
    }

    /// Sets the reason why the server answers instead of the handler. Replaces the outcome of a handshake.
    pub(crate) fn with_error(self, error: &'static str) -> Self {
        Self { note: Some(Box::new(Note::Error(error))), ..self }
    }

    /// Returns the reason why the server answered instead of the handler. `None` for a handler's response.
    pub(crate) fn error(&self) -> Option<&'static str> {
        match self.note.as_deref()? {
            Note::Error(error) => Some(error),
            Note::Handshake(_) => None,
        }
    }

    /// Copies the response. A body that is not complete, trailers and the outcome of a handshake are left
    /// out.
    pub(crate) fn duplicate(&self) -> Self {
        let body = Bytes::copy_from_slice(self.body.as_bytes().unwrap_or_default());
        let copy = Self { status: self.status, fields: self.fields.clone(), ..Self::default() };
        let copy = copy.with_body(body);
        match self.error() {
            Some(error) => copy.with_error(error),
            None => copy,
        }
    }

    /// Attaches the outcome of a protocol handshake, which the connection takes out when it sends the
    /// response.
    #[cfg(feature = "ws")]
    pub(crate) fn with_handshake(self, handshake: Box<dyn Any + Send>) -> Self {
        Self { note: Some(Box::new(Note::Handshake(handshake))), ..self }
    }

    /// Returns `true` if the response carries the outcome of a protocol handshake.
    pub(crate) fn has_handshake(&self) -> bool {
        matches!(self.note.as_deref(), Some(Note::Handshake(_)))
    }

    /// Takes the outcome of a protocol handshake. Returns `None` if the response has none.
    #[cfg(feature = "ws")]
    pub(crate) fn take_handshake(&mut self) -> Option<Box<dyn Any + Send>> {
        match *self.note.take()? {
            Note::Handshake(handshake) => Some(handshake),
            note @ Note::Error(_) => {
                self.note = Some(Box::new(note));
                None
            }
        }
    }

    /// Returns the status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Returns the first value of a header, or `None` without that header. The name is case-insensitive.
    pub fn header(&self, name: impl AsRef<str>) -> Option<&HeaderValue> {
        self.fields.first(name.as_ref())
    }

    /// Returns the headers.
    pub fn fields(&self) -> &Fields {
        &self.fields
    }

    /// Returns the headers for modification.
    pub fn fields_mut(&mut self) -> &mut Fields {
        &mut self.fields
    }

    /// Returns the body.
    pub fn body(&self) -> &Body {
        &self.body
    }

    /// Returns the body mutably, for reading or replacement.
    pub fn body_mut(&mut self) -> &mut Body {
        &mut self.body
    }

    /// Takes the body and leaves an empty one.
    pub fn take_body(&mut self) -> Body {
        std::mem::take(&mut self.body)
    }
}

/// Converts from the `http` crate's response.
impl<B: Into<Body>> From<http::Response<B>> for Response {
    fn from(response: http::Response<B>) -> Self {
        let (parts, body) = response.into_parts();
        Self { status: parts.status, fields: parts.headers.into(), body: body.into(), ..Self::default() }
    }
}

/// Creates a text response of the server itself.
pub(crate) fn plain(status: StatusCode, text: impl Into<Bytes>) -> Response {
    let mut response = Response::status_only(status).with_body(text.into());
    response.fields.append(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
