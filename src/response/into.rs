//! What a handler may return.

use std::{borrow::Cow, convert::Infallible};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode};

use super::Response;
use crate::body::Body;

/// Turns a handler's result into a [`Response`].
///
/// Texts become `text/plain; charset=utf-8`, bytes `application/octet-stream`, a status is an empty response; in a
/// tuple a status and headers, as an array of names and values, stand before what they are set on; and of a `Result`
/// either side is a response. With the feature `json` there is [`Json`](crate::Json).
///
/// ```
/// use windlass::{IntoResponse, Request, Response, http::StatusCode};
///
/// fn make(_: Request) -> impl IntoResponse {
///     (StatusCode::CREATED, [("location", "/things/7")], "made")
/// }
///
/// // An error of the program's own: `Result<_, Failure>` is then what a handler may return.
/// enum Failure { Unknown(u64), Broken }
///
/// impl IntoResponse for Failure {
///     fn into_response(self) -> Response {
///         match self {
///             Self::Unknown(id) => (StatusCode::NOT_FOUND, format!("there is no thing {id}\n")).into_response(),
///             Self::Broken => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
///         }
///     }
/// }
/// ```
///
/// For errors that are not worth a type there are [`Rejection`](crate::Rejection) and
/// [`HandlerError`](crate::HandlerError).
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a response",
    label = "a handler must return something that implements `IntoResponse`",
    note = "return a `Response`, a text, bytes, a `StatusCode`, `Json(…)`, `(StatusCode, …)` or a `Result` of these",
    note = "an error type of your own implements `IntoResponse`; any other error goes through `windlass::HandlerError`"
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

impl IntoResponse for Cow<'static, str> {
    fn into_response(self) -> Response {
        match self {
            Self::Borrowed(text) => text.into_response(),
            Self::Owned(text) => text.into_response(),
        }
    }
}

impl IntoResponse for &'static [u8] {
    fn into_response(self) -> Response {
        Bytes::from_static(self).into_response()
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

impl<N, V, R, const COUNT: usize> IntoResponse for ([(N, V); COUNT], R)
where
    N: TryInto<HeaderName>,
    V: TryInto<HeaderValue>,
    R: IntoResponse,
{
    fn into_response(self) -> Response {
        let (headers, rest) = self;
        headers
            .into_iter()
            .fold(rest.into_response(), |response, (name, value)| response.with_header(name, value))
    }
}

impl<N, V, R, const COUNT: usize> IntoResponse for (StatusCode, [(N, V); COUNT], R)
where
    N: TryInto<HeaderName>,
    V: TryInto<HeaderValue>,
    R: IntoResponse,
{
    fn into_response(self) -> Response {
        let (status, headers, rest) = self;
        (headers, rest.into_response().with_status(status)).into_response()
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
