//! Conversion of a handler's output to a response.

use std::{borrow::Cow, convert::Infallible};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::Response;
use crate::body::Body;

/// Conversion to a [`Response`]. A handler can return any type that implements it.
///
/// | type | response |
/// |---|---|
/// | [`Response`], `http::Response` | itself |
/// | `&'static str`, `String`, `Cow<'static, str>` | the text as `text/plain; charset=utf-8` |
/// | `&'static [u8]`, `Vec<u8>`, `Bytes` | the bytes as `application/octet-stream` |
/// | [`Body`] | the body without a content type |
/// | [`StatusCode`] | an empty response with this status |
/// | `()` | an empty response with status `200` |
/// | `(StatusCode, R)` | `R` with this status |
/// | `([(name, value); N], R)` | `R` with these headers, each in place of those of its name |
/// | `(StatusCode, [(name, value); N], R)` | `R` with this status and these headers |
/// | `(HeaderMap, R)`, `(StatusCode, HeaderMap, R)` | `R` with these headers, as above, and this status |
/// | [`Html<R>`](crate::Html) | `R` as `text/html; charset=utf-8` |
/// | [`Redirect`](crate::Redirect) | a redirect |
/// | [`Sse<S>`](crate::sse::Sse) | a stream of events, with the feature `stream` |
/// | `Result<R, E>` | `R` or `E`, which is also an `IntoResponse` |
/// | [`Json<T>`](crate::Json) | `T` as JSON, with the feature `json` |
///
/// ```
/// use windlass::{IntoResponse, Request, Response, http::StatusCode};
///
/// fn make(_: Request) -> impl IntoResponse {
///     (StatusCode::CREATED, [("location", "/things/7")], "made")
/// }
///
/// // A handler can return `Result<_, Failure>`.
/// enum Failure { Unknown(u64), Broken }
///
/// impl IntoResponse for Failure {
///     fn into_response(self) -> Response {
///         match self {
///             Self::Unknown(id) => {
///                 (StatusCode::NOT_FOUND, format!("thing {id} does not exist\n")).into_response()
///             }
///             Self::Broken => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
///         }
///     }
/// }
/// ```
///
/// For errors without a type of their own use [`Rejection`](crate::Rejection) or
/// [`HandlerError`](crate::HandlerError).
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a response",
    label = "a handler must return something that implements `IntoResponse`",
    note = "return a `Response`, a text, bytes, a `StatusCode`, `Json(…)`, or a tuple or `Result` of these",
    note = "implement `IntoResponse` for an error type, or convert the error to `windlass::HandlerError`"
)]
pub trait IntoResponse {
    /// Converts the value to a response.
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

impl<R: IntoResponse> IntoResponse for (HeaderMap, R) {
    fn into_response(self) -> Response {
        let (headers, rest) = self;
        let mut response = rest.into_response();
        let fields = response.fields_mut();
        headers.keys().for_each(|name| fields.remove(name));
        headers.iter().for_each(|(name, value)| fields.append(name.clone(), value.clone()));
        response
    }
}

impl<R: IntoResponse> IntoResponse for (StatusCode, HeaderMap, R) {
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
