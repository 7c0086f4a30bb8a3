//! Errors of handlers: rejections, which the peer reads, and internal errors, which it does not.

use std::{borrow::Cow, error::Error as StdError, fmt};

use http::StatusCode;

use super::{IntoResponse, Response};
use crate::body::{BodyError, BoxError};

/// An error response: a status and a line of plain text for the peer.
///
/// Methods of [`Request`](crate::Request) such as [`param_as`](crate::Request::param_as) return it as their
/// error, so `?` answers the request. Handlers create their own.
///
/// ```
/// use windlass::{Rejection, Request};
///
/// fn square(request: Request) -> Result<String, Rejection> {
///     let side: u32 = request.param_as("side")?;
///     let area = side.checked_mul(side).ok_or(Rejection::bad_request("the square is too large"))?;
///     Ok(area.to_string())
/// }
/// ```
#[derive(Debug)]
pub struct Rejection {
    status: StatusCode,
    text: Cow<'static, str>,
    source: Option<BoxError>,
}

impl Rejection {
    /// Creates a rejection. The text and a line break become the response body.
    pub fn new(status: StatusCode, text: impl Into<Cow<'static, str>>) -> Self {
        Self { status, text: text.into(), source: None }
    }

    /// Creates a rejection with status `400`.
    pub fn bad_request(text: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, text)
    }

    /// Sets the source of the error. It is neither sent nor logged.
    #[must_use]
    pub fn with_source(self, source: impl Into<BoxError>) -> Self {
        Self { source: Some(source.into()), ..self }
    }

    /// Returns the status.
    pub fn status(&self) -> StatusCode {
        self.status
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl StdError for Rejection {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

impl IntoResponse for Rejection {
    fn into_response(self) -> Response {
        let mut text = self.text.into_owned();
        text.push('\n');
        Response::text(text).with_status(self.status)
    }
}

/// Converts to `413` for a body above its limit, and to `400` for every other error.
impl From<BodyError> for Rejection {
    fn from(error: BodyError) -> Self {
        let rejection = match &error {
            BodyError::TooLarge => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, "the request body is larger than this path accepts")
            }
            BodyError::Peer(fault) => Self::bad_request(format!("invalid request body: {fault}")),
            _ => Self::bad_request("the request body is incomplete"),
        };
        rejection.with_source(error)
    }
}

/// The error type of a handler that uses `?` on errors of any type.
///
/// A [`Rejection`] becomes its own response and is not logged. Any other error is logged with its sources and
/// becomes a `500` response, which reveals nothing about it.
///
/// ```
/// use windlass::{HandlerError, Request};
///
/// async fn copy(request: Request) -> Result<String, HandlerError> {
///     let count: usize = request.param_as("count")?;
///     let text = std::fs::read_to_string("/etc/hostname")?;
///     Ok(text.repeat(count.min(10)))
/// }
/// ```
///
/// For other responses, define an error type that implements [`IntoResponse`].
#[derive(Debug)]
pub struct HandlerError(BoxError);

impl HandlerError {
    /// Creates an error from a boxed error or a text.
    pub fn new(error: impl Into<BoxError>) -> Self {
        Self(error.into())
    }

    /// Returns the error.
    pub fn into_inner(self) -> BoxError {
        self.0
    }
}

impl<E: StdError + Send + Sync + 'static> From<E> for HandlerError {
    fn from(error: E) -> Self {
        Self(Box::new(error))
    }
}

impl IntoResponse for HandlerError {
    fn into_response(self) -> Response {
        match self.0.downcast::<Rejection>() {
            Ok(rejection) => rejection.into_response(),
            Err(error) => {
                tracing::error!(
                    error = &*error as &(dyn StdError + 'static),
                    "handler failed, answering 500"
                );
                super::plain(StatusCode::INTERNAL_SERVER_ERROR, "The server failed to handle this request.\n")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(response: &Response) -> &str {
        std::str::from_utf8(response.body().as_bytes().unwrap()).unwrap()
    }

    #[test]
    fn a_rejection_is_answered_as_it_says_and_any_other_error_is_kept_from_the_peer() {
        let rejected = Rejection::new(StatusCode::CONFLICT, "it is taken").with_source("a secret");
        assert_eq!(rejected.source().unwrap().to_string(), "a secret");
        let answer = HandlerError::from(rejected).into_response();
        assert_eq!((answer.status(), text(&answer)), (StatusCode::CONFLICT, "it is taken\n"));
        for error in [HandlerError::from(std::io::Error::other("a secret")), HandlerError::new("a secret")] {
            let answer = error.into_response();
            assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
            assert!(!text(&answer).contains("secret"));
        }
    }

    #[test]
    fn a_body_above_its_limit_is_a_413() {
        assert_eq!(Rejection::from(BodyError::TooLarge).status(), StatusCode::PAYLOAD_TOO_LARGE);
        assert_eq!(Rejection::from(BodyError::Aborted).status(), StatusCode::BAD_REQUEST);
    }

    #[test]
    fn an_invalid_body_is_a_400_that_names_the_fault() {
        let answer = Rejection::from(BodyError::Peer("the chunk is not valid")).into_response();
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
        assert_eq!(text(&answer), "invalid request body: the chunk is not valid\n");
    }
}
