//! Call sites: the route of a handler and the parts of its request that an error response and a log line
//! need.

use std::{
    any::Any,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use super::on_error::{Answer, Asked, OnError};
use crate::{
    metrics::{RouteMetrics, ShardCounters, UNMATCHED},
    request::{Head, Peer, Request, RequestId},
    response::Response,
};

/// Error text for the end hooks if a handler panicked.
const PANICKED: &str = "the handler panicked";

/// The route of a handler, with the hook, the counters and the advice for its panics.
#[derive(Clone)]
pub(crate) struct CallSite {
    route: Arc<RouteMetrics>,
    /// Advice for a handler that lacks a tokio runtime.
    remedy: &'static str,
    on_error: Option<OnError>,
    /// Counters of the shard.
    counters: Arc<ShardCounters>,
}

/// Parts of a request that are kept while its handler runs.
pub(crate) struct Kept {
    id: Option<RequestId>,
    /// Copy of the head, and the peer. `None` if there is no hook for error responses.
    asked: Option<Box<(Head, Peer)>>,
}

impl CallSite {
    pub(crate) fn new(route: Arc<RouteMetrics>, remedy: &'static str, on_error: Option<OnError>) -> Self {
        Self { route, remedy, on_error, counters: Arc::default() }
    }

    /// Returns a copy for the shard that has these counters.
    pub(crate) fn on_shard(&self, counters: Arc<ShardCounters>) -> Self {
        Self { counters, ..self.clone() }
    }

    pub(crate) fn route(&self) -> &Arc<RouteMetrics> {
        &self.route
    }

    /// Returns the path template of the route. `None` for requests that no route matches.
    pub(crate) fn template(&self) -> Option<&str> {
        Some(self.route.template()).filter(|template| *template != UNMATCHED)
    }

    /// Returns `true` if there is a hook for error responses.
    pub(crate) fn shapes_errors(&self) -> bool {
        self.on_error.is_some()
    }

    /// Copies the identifier of the request and, if there is a hook for error responses, its head and peer.
    pub(crate) fn keep(&self, request: &Request) -> Kept {
        let asked =
            self.on_error.as_ref().map(|_| Box::new((request.head().duplicate(), request.raw_peer())));
        Kept { id: request.id(), asked }
    }

    /// Returns the response to send for `answer`: for an error that of the hook, if there is one.
    pub(crate) fn shaped(&self, kept: &Kept, answer: Answer) -> Response {
        let asked = Asked {
            head: kept.asked.as_deref().map(|(head, _)| head),
            route: self.template(),
            peer: kept.asked.as_deref().map_or(Peer::Unknown, |(_, peer)| *peer),
        };
        answer.shaped(self.on_error.as_ref(), asked, &self.counters)
    }

    /// Counts and logs a panic of the handler or its middleware, and returns the response with status 500,
    /// shaped by the hook. It has the identifier of the request, if the request has one.
    #[cold]
    pub(crate) fn panicked(&self, kept: &Kept, payload: &(dyn Any + Send)) -> Response {
        self.counters.panics.add("handler");
        let panic = PanicReport {
            what: "handler panicked, answering 500",
            method: Some(self.route.method()),
            route: self.route.template(),
            request_id: kept.id.as_ref().map(RequestId::as_str),
            remedy: self.remedy,
        };
        panic.log(payload);
        let mut answer = Answer::handler_failed(PANICKED);
        if let Some(id) = &kept.id {
            answer.response = answer.response.with_header(RequestId::NAME, id.as_str());
        }
        self.shaped(kept, answer)
    }
}

/// A panic of the program's code, for the log.
pub(crate) struct PanicReport<'a> {
    /// Log message: the code that panicked and the consequence.
    pub(crate) what: &'static str,
    pub(crate) method: Option<&'a str>,
    pub(crate) route: &'a str,
    pub(crate) request_id: Option<&'a str>,
    /// Advice for code that lacks a tokio runtime.
    pub(crate) remedy: &'static str,
}

impl PanicReport<'_> {
    /// Logs the panic, with the remedy if the code needs tokio.
    pub(crate) fn log(self, payload: &(dyn Any + Send)) {
        let Self { what, method, route, request_id, remedy } = self;
        let panic = panic_message(payload);
        if needs_tokio(&panic) {
            tracing::error!(
                method,
                route,
                request_id,
                panic,
                remedy,
                "{what}: the code needs a tokio runtime"
            );
        } else {
            tracing::error!(method, route, request_id, panic, "{what}");
        }
    }
}

/// Returns `true` for the messages with which tokio panics outside its runtime.
fn needs_tokio(message: &str) -> bool {
    message.contains("there is no reactor running") || message.contains("A Tokio 1.x context was found, but")
}

/// Returns the message of a panic.
pub(crate) fn panic_message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&'static str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "the panic payload is not text".to_owned())
}

/// Future of the inner future's output, or of the payload of its panic as `Err`.
pub(crate) struct CatchPanic<F>(pub(crate) F);

impl<F: Future + Unpin> Future for CatchPanic<F> {
    type Output = Result<F::Output, Box<dyn Any + Send>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match catch_unwind(AssertUnwindSafe(|| Pin::new(&mut self.0).poll(cx))) {
            Ok(polled) => polled.map(Ok),
            Err(payload) => Poll::Ready(Err(payload)),
        }
    }
}
