//! Handlers: closures that answer requests.
//!
//! A handler is a closure from [`Request`] to something that [becomes a response](IntoResponse), or to a
//! future of it. Inline and async routes have the same handler type, because the dispatch of a route can
//! change while it serves. The future need not be `Send`: it is created where it is polled.

mod middleware;

use std::{future::Future, marker::PhantomData, pin::Pin, sync::Arc};

use crate::{
    request::Request,
    response::{IntoResponse, Response},
};

pub(crate) use middleware::{Chain, Layer};
pub use middleware::{Middleware, Next};

/// A future of a response. It is polled where it was created.
#[doc(hidden)]
pub(crate) type ResponseFuture = Pin<Box<dyn Future<Output = Response>>>;

/// Output of a handler call.
// Public only because a sealed trait names it.
#[doc(hidden)]
pub enum HandlerOutput {
    /// The response of a sync handler.
    Ready(Response),
    /// The future of an async handler.
    Future(ResponseFuture),
}

/// Kind of a handler. It selects the threads of the pool on which an async route runs.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandlerKind {
    /// A closure that returns a response. On the pool it has a thread of its own and may block.
    Sync,
    /// A closure that returns a future. On the pool it shares a worker with other handlers and must not
    /// block.
    Async,
    /// Like `Async`, and needs the tokio runtime of the worker, so it cannot run inline.
    Tokio,
    /// Opens a stream or a socket that lives on the connection's shard, so it cannot run on the pool.
    #[cfg_attr(not(feature = "ws"), allow(dead_code, reason = "nothing opens anything"))]
    Shard,
}

/// Marker of closures that return a response.
#[derive(Debug)]
pub struct ReturnsResponse(());

/// Marker of closures that return a future of a response.
#[derive(Debug)]
pub struct ReturnsFuture(());

/// A closure that answers requests.
///
/// Implemented for `Fn(Request) -> impl IntoResponse` and `Fn(Request) -> impl Future<Output = impl
/// IntoResponse>`. The parameter `M` distinguishes the two and is always inferred.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a handler",
    label = "expected `Fn(Request) -> impl IntoResponse`, or an `async fn` of that shape",
    note = "a handler takes exactly one `windlass::Request`; it and its captures are `Send + Sync + 'static`",
    note = "its output is a response: a text, bytes, a status, `Json(…)`, or a `Result` of these",
    note = "any error type converts to `windlass::HandlerError`"
)]
pub trait Handler<M>: sealed::Sealed<M> + Send + Sync + 'static {}

mod sealed {
    use super::{HandlerKind, HandlerOutput, Request};

    pub trait Sealed<M> {
        #[doc(hidden)]
        const KIND: HandlerKind;
        #[doc(hidden)]
        fn call(&self, request: Request) -> HandlerOutput;
    }
}

impl<F, R> sealed::Sealed<ReturnsResponse> for F
where
    F: Fn(Request) -> R + Send + Sync + 'static,
    R: IntoResponse,
{
    const KIND: HandlerKind = HandlerKind::Sync;

    fn call(&self, request: Request) -> HandlerOutput {
        HandlerOutput::Ready(self(request).into_response())
    }
}

impl<F, R> Handler<ReturnsResponse> for F
where
    F: Fn(Request) -> R + Send + Sync + 'static,
    R: IntoResponse,
{
}

impl<F, Fut> sealed::Sealed<ReturnsFuture> for F
where
    F: Fn(Request) -> Fut + Send + Sync + 'static,
    Fut: Future<Output: IntoResponse> + 'static,
{
    const KIND: HandlerKind = HandlerKind::Async;

    fn call(&self, request: Request) -> HandlerOutput {
        let future = self(request);
        HandlerOutput::Future(Box::pin(async move { future.await.into_response() }))
    }
}

impl<F, Fut> Handler<ReturnsFuture> for F
where
    F: Fn(Request) -> Fut + Send + Sync + 'static,
    Fut: Future<Output: IntoResponse> + 'static,
{
}

/// A handler without its type.
pub(crate) trait ErasedHandler: Send + Sync {
    fn kind(&self) -> HandlerKind;
    fn call(&self, request: Request) -> HandlerOutput;
}

struct TypedHandler<H, M> {
    handler: H,
    marker: PhantomData<fn() -> M>,
}

impl<M: 'static, H: Handler<M>> ErasedHandler for TypedHandler<H, M> {
    fn kind(&self) -> HandlerKind {
        H::KIND
    }

    fn call(&self, request: Request) -> HandlerOutput {
        self.handler.call(request)
    }
}

/// Erases the type of a handler.
pub(crate) fn erase<M: 'static>(handler: impl Handler<M>) -> Arc<dyn ErasedHandler> {
    Arc::new(TypedHandler { handler, marker: PhantomData })
}
