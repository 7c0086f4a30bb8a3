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
    /// `503`: the shard lags behind, the pool is full, or too many connections are busy for another stream.
    Overloaded,
    /// `503`: the pool did not finish the request in time.
    TimedOut,
    /// `503`: the pool is stopping, or dropped the request.
    Unavailable,
    /// `500`: the handler or its middleware panicked, or returned an interim status.
    HandlerFailed,
    /// The request violates the protocol, exceeds a limit or arrives too slowly: `400`, `408`, `414`, `417`,
    /// `431`, `501` or `505`.
    InvalidRequest,
}

/// A response that the server is about to send by itself, as
/// [`Router::on_error_response`](crate::Router::on_error_response) sees it.
#[derive(Clone, Copy)]
pub struct ErrorContext<'a> {
    pub(crate) cause: ErrorCause,
    pub(crate) asked: Asked<'a>,
}

/// The request that an answer of the server is for.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    /// `None` if the request has no valid head.
    pub(crate) head: Option<&'a Head>,
    /// Path template of the route. `None` if no route matched.
    pub(crate) route: Option<&'a str>,
    pub(crate) peer: Peer,
}

impl<'a> ErrorContext<'a> {
    /// Returns the cause.
    pub fn cause(&self) -> ErrorCause {
        self.cause
    }

    /// Returns the method. `None` if the request has no valid head; the same applies to the other methods.
    pub fn method(&self) -> Option<&'a Method> {
        self.asked.head.map(|head| &head.method)
    }

    /// Returns the path as sent, percent-encoded and without the query.
    pub fn path(&self) -> Option<&'a str> {
        self.asked.head.map(|head| head.text(head.path))
    }

    /// Returns the query as sent, percent-encoded and without the `?`.
    pub fn query(&self) -> Option<&'a str> {
        let head = self.asked.head?;
        head.query.map(|query| head.text(query))
    }

    /// Returns the first value of a header, or `None` if it is not UTF-8. The name is case-insensitive.
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

    /// Calls the hook. If it panics, the response is one without its shape.
    fn call(&self, context: &ErrorContext<'_>, response: Response, counters: &ShardCounters) -> Response {
        let status = response.status();
        catch_unwind(AssertUnwindSafe(|| (self.0)(context, response))).unwrap_or_else(|_| {
            counters.panics.add("hook");
            let cause = context.cause;
            tracing::error!(?cause, "hook for error responses panicked, answering without it");
            plain(status, "The server failed to describe this error.\n")
        })
    }
}

/// A response that the server creates itself.
pub(crate) struct Answer {
    /// `None` if the response is no error.
    cause: Option<ErrorCause>,
    pub(crate) response: Response,
}

impl Answer {
    pub(crate) fn new(cause: ErrorCause, response: Response) -> Self {
        Self { cause: Some(cause), response }
    }

    /// Creates an answer that is no error.
    pub(crate) fn success(response: Response) -> Self {
        Self { cause: None, response }
    }

    /// Creates an answer with status 500. `error` is for the end hooks.
    pub(crate) fn handler_failed(error: &'static str) -> Self {
        let text = "The server failed to handle this request.\n";
        let response = plain(StatusCode::INTERNAL_SERVER_ERROR, text).with_error(error);
        Self::new(ErrorCause::HandlerFailed, response)
    }

    /// Returns the response, in the shape that the hook gives it.
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
