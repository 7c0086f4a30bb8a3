//! The hook for responses that the server creates itself.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use http::{Method, StatusCode};

use crate::{
    metrics::ShardCounters,
    request::{Head, Peer},
    response::{Response, plain},
};

/// Cause of a response that the server creates itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorCause {
    /// `404`: no route matches the path.
    NotFound,
    /// `405`: the path has no route for the method.
    MethodNotAllowed,
    /// `501`: the server does not know the method, or the request asks for a tunnel.
    NotImplemented,
    /// `413`: the body is larger than the route accepts.
    BodyTooLarge,
    /// `503`: the shard lags behind, the pool is full, or too few free connections are left to open a
    /// WebSocket or an event stream.
    Overloaded,
    /// `503`: the pool did not finish the request in time.
    TimedOut,
    /// `503`: the pool is stopping, or dropped the request.
    Unavailable,
    /// `500`: the handler or its middleware panicked, or returned an interim (1xx) status.
    HandlerFailed,
    /// The request violates the protocol, exceeds a limit, arrives too slowly or has an invalid path
    /// parameter: `400`, `408`, `414`, `417`, `431`, `501` or `505`.
    InvalidRequest,
}

/// The cause of a response that the server creates itself, and parts of the request that it answers. Argument
/// of the hook of [`Router::on_error_response`](crate::Router::on_error_response).
#[derive(Clone, Copy)]
pub struct ErrorContext<'a> {
    pub(crate) cause: ErrorCause,
    pub(crate) asked: Asked<'a>,
}

/// Parts of the request that an answer of the server is for.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    /// Head of the request. `None` if it is invalid, or was not kept.
    pub(crate) head: Option<&'a Head>,
    /// Path template of the route. `None` if no route matched.
    pub(crate) route: Option<&'a str>,
    pub(crate) peer: Peer,
}

impl<'a> ErrorContext<'a> {
    /// Returns the cause of the response.
    pub fn cause(&self) -> ErrorCause {
        self.cause
    }

    /// Returns the method of the request. `None` if the head is not available, for example because it is
    /// invalid.
    pub fn method(&self) -> Option<&'a Method> {
        self.asked.head.map(|head| &head.method)
    }

    /// Returns the path as sent, percent-encoded and without the query. `None` if the
    /// head is not available.
    pub fn path(&self) -> Option<&'a str> {
        self.asked.head.map(|head| head.text(head.path))
    }

    /// Returns the query as sent, percent-encoded and without the `?`. `None` if there is none, or if
    /// the head is not available.
    pub fn query(&self) -> Option<&'a str> {
        let head = self.asked.head?;
        head.query.map(|query| head.text(query))
    }

    /// Returns the first value of a header. The name is case-insensitive. `None` if the request lacks the
    /// header, if the value is not UTF-8, or if the head is not available.
    pub fn header(&self, name: impl AsRef<str>) -> Option<&'a str> {
        std::str::from_utf8(self.asked.head?.header(name.as_ref())?).ok()
    }

    /// Returns the path template of the route. `None` if no route matched.
    pub fn route(&self) -> Option<&'a str> {
        self.asked.route
    }

    /// Returns the peer of the connection.
    pub fn peer(&self) -> Peer {
        self.asked.peer
    }
}

impl fmt::Debug for ErrorContext<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("ErrorContext");
        debug.field("cause", &self.cause).field("method", &self.method()).field("path", &self.path());
        debug.field("route", &self.route()).finish_non_exhaustive()
    }
}

type Hook = dyn Fn(&ErrorContext<'_>, Response) -> Response + Send + Sync;

/// A hook for responses that the server creates itself.
#[derive(Clone)]
pub(crate) struct OnError(Arc<Hook>);

impl OnError {
    pub(crate) fn new(
        hook: impl Fn(&ErrorContext<'_>, Response) -> Response + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(hook))
    }

    /// Calls the hook and returns its response. If the hook panics, logs and counts it, and returns a line of
    /// plain text with the status of `response`.
    fn call(&self, context: &ErrorContext<'_>, response: Response, counters: &ShardCounters) -> Response {
        let status = response.status();
        catch_unwind(AssertUnwindSafe(|| (self.0)(context, response))).unwrap_or_else(|_| {
            counters.panics.add("hook");
            let cause = context.cause;
            tracing::error!(?cause, "hook for error responses panicked, answering with plain text");
            plain(status, "The server failed to describe this error.\n")
        })
    }
}

/// A response that the server creates itself.
pub(crate) struct Answer {
    /// Cause of an error response. `None` for other responses, which no hook sees.
    cause: Option<ErrorCause>,
    pub(crate) response: Response,
}

impl Answer {
    pub(crate) fn new(cause: ErrorCause, response: Response) -> Self {
        Self { cause: Some(cause), response }
    }

    /// Creates an answer that is no error, which no hook sees.
    pub(crate) fn success(response: Response) -> Self {
        Self { cause: None, response }
    }

    /// Creates an answer with status 500. `error` is for the end hooks.
    pub(crate) fn handler_failed(error: &'static str) -> Self {
        let text = "The server failed to handle this request.\n";
        let response = plain(StatusCode::INTERNAL_SERVER_ERROR, text).with_error(error);
        Self::new(ErrorCause::HandlerFailed, response)
    }

    /// Returns the hook's response for an error, otherwise the response itself. The error text for the end
    /// hooks is kept.
    pub(crate) fn shaped(
        self,
        hook: Option<&OnError>,
        asked: Asked<'_>,
        counters: &ShardCounters,
    ) -> Response {
        let Self { cause, response } = self;
        let (Some(hook), Some(cause)) = (hook, cause) else { return response };
        let error = response.error();
        let shaped = hook.call(&ErrorContext { cause, asked }, response, counters);
        match error {
            Some(error) => shaped.with_error(error),
            None => shaped,
        }
    }
}
