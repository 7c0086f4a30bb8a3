//! What a handler fails with: answers for the peer, and errors that are none of its business.

use std::{borrow::Cow, error::Error as StdError, fmt};

use http::StatusCode;

use super::{IntoResponse, Response};
use crate::body::{BodyError, BoxError};

/// An answer to a request that cannot be served as it is: a status and a text for the peer.
///
/// The typed readers of [`Request`](crate::Request) give one, so that `?` answers; handlers make their own.
///
/// ```
/// use windlass::{Rejection, Request, http::StatusCode};
///
/// fn square(request: Request) -> Result<String, Rejection> {
///     let side: u32 = request.param_as("side")?;
///     let area = side.checked_mul(side).ok_or(Rejection::new(StatusCode::BAD_REQUEST, "that is too large"))?;
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
    /// Makes a rejection with this status and text.
    pub fn new(status: StatusCode, text: impl Into<Cow<'static, str>>) -> Self {
        Self { status, text: text.into(), source: None }
    }

    /// Makes a `400` with this text.
    pub fn bad_request(text: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, text)
    }

    /// Keeps what it comes from, for logs; the peer is not told.
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

/// Answers `413` to a body above its limit, and `400` to one that ended early.
impl From<BodyError> for Rejection {
    fn from(error: BodyError) -> Self {
        let rejection = match &error {
            BodyError::TooLarge => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, "the request body is larger than this path takes")
            }
            _ => Self::bad_request("the request body did not come to its end"),
        };
        rejection.with_source(error)
    }
}

/// Any error that a handler may return with `?`.
///
/// A [`Rejection`] is answered as it says. Every other error is logged with its sources and answered `500`, without a
/// word of it to the peer.
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
/// A program that wants other answers to its own errors has a type of its own: see [`IntoResponse`].
#[derive(Debug)]
pub struct HandlerError(BoxError);

impl HandlerError {
    /// Makes one of an error that is in a box already, or of a text.
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
                    "a handler failed; answering 500"
                );
                super::plain(StatusCode::INTERNAL_SERVER_ERROR, "The handler of this path failed.\n")
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
}
