//! What a handler may return.

use std::convert::Infallible;

use bytes::Bytes;
use http::StatusCode;

use super::Response;
use crate::body::Body;

/// Turns a handler's result into a [`Response`].
///
/// Texts become `text/plain; charset=utf-8`, bytes `application/octet-stream`, a status is an empty response, a
/// pair sets the status, and of a `Result` either side is a response.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a response",
    label = "a handler must return something that implements `IntoResponse`",
    note = "return a `Response`, a text, bytes, a `StatusCode`, `(StatusCode, …)` or a `Result` of these"
)]
pub trait IntoResponse {
    /// Makes the response.
    fn into_response(self) -> Response;
}

impl IntoResponse for Response {
    fn into_response(self) -> Response {
        self
    }
}

impl IntoResponse for () {
    fn into_response(self) -> Response {
        Response::new()
    }
}

impl IntoResponse for StatusCode {
    fn into_response(self) -> Response {
        Response::status_only(self)
    }
}

impl IntoResponse for &'static str {
    fn into_response(self) -> Response {
        Response::text(self)
    }
}

impl IntoResponse for String {
    fn into_response(self) -> Response {
        Response::text(self)
    }
}

impl IntoResponse for Bytes {
    fn into_response(self) -> Response {
        Response::typed(http::HeaderValue::from_static("application/octet-stream"), self)
    }
}

impl IntoResponse for Vec<u8> {
    fn into_response(self) -> Response {
        Bytes::from(self).into_response()
    }
}

impl IntoResponse for Body {
    fn into_response(self) -> Response {
        Response::new().with_body(self)
    }
}

impl<B: Into<Body>> IntoResponse for http::Response<B> {
    fn into_response(self) -> Response {
        self.into()
    }
}

impl<R: IntoResponse> IntoResponse for (StatusCode, R) {
    fn into_response(self) -> Response {
        self.1.into_response().with_status(self.0)
    }
}

impl<R: IntoResponse, E: IntoResponse> IntoResponse for Result<R, E> {
    fn into_response(self) -> Response {
        match self {
            Ok(ok) => ok.into_response(),
            Err(error) => error.into_response(),
        }
    }
}

impl IntoResponse for Infallible {
    fn into_response(self) -> Response {
        match self {}
    }
}
