//! Handlers: what a route runs, and what stands around it.
//!
//! One handler type serves inline and async routes, since a route may be re-flagged while it serves: a closure from
//! [`Request`] to something that [becomes a response](IntoResponse), or to a future of that. The future need not be
//! `Send`: it is created where it is polled.

mod middleware;

use std::{future::Future, marker::PhantomData, pin::Pin};

use crate::{
    request::Request,
    response::{IntoResponse, Response},
};

pub(crate) use middleware::{Chain, Layer};
pub use middleware::{Middleware, Next};

/// A future of a response; polled where it was made.
#[doc(hidden)]
pub(crate) type ResponseFuture = Pin<Box<dyn Future<Output = Response>>>;

/// What calling a handler gave. Public in name only: it stands in a sealed trait.
#[doc(hidden)]
pub enum Called {
    /// A sync handler answered.
    Ready(Response),
    /// An async handler is to be polled.
    Future(ResponseFuture),
}

/// Says which lane of the pool an async route's handler needs.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A closure that returns its response; on the pool it has a thread to itself and may block.
    Sync,
    /// A closure that returns a future; on the pool it shares a worker with others and must not block.
    Async,
    /// Like `Async`, and it cannot do without the worker's tokio.
    Tokio,
    /// What it opens lives on the connection's shard: it has no business on the pool.
    #[cfg_attr(not(feature = "ws"), allow(dead_code, reason = "nothing opens anything"))]
    Shard,
}

/// Marks closures that return a response.
#[derive(Debug)]
pub struct ReturnsResponse(());

/// Marks closures that return a future of a response.
#[derive(Debug)]
pub struct ReturnsFuture(());

/// A closure that answers requests.
///
/// Implemented for `Fn(Request) -> impl IntoResponse` and `Fn(Request) -> impl Future<Output = impl IntoResponse>`.
/// `M` tells the two apart and is always inferred.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no handler",
    label = "expected `Fn(Request) -> impl IntoResponse`, or an `async fn` of that shape",
    note = "a handler takes exactly one `windlass::Request` and is `Send + Sync + 'static`; what it captures must be too",
    note = "what it returns must be a response: a text, bytes, a status, `Json(…)`, or a `Result` of these (of any error: `HandlerError`)"
)]
pub trait Handler<M>: sealed::Sealed<M> + Send + Sync + 'static {}

mod sealed {
    use super::{Called, Kind, Request};

    pub trait Sealed<M> {
        #[doc(hidden)]
        const KIND: Kind;
        #[doc(hidden)]
        fn call(&self, request: Request) -> Called;
    }
}

impl<F, R> sealed::Sealed<ReturnsResponse> for F
where
    F: Fn(Request) -> R + Send + Sync + 'static,
    R: IntoResponse,
{
    const KIND: Kind = Kind::Sync;

    fn call(&self, request: Request) -> Called {
        Called::Ready(self(request).into_response())
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
    const KIND: Kind = Kind::Async;

    fn call(&self, request: Request) -> Called {
        let future = self(request);
        Called::Future(Box::pin(async move { future.await.into_response() }))
    }
}

impl<F, Fut> Handler<ReturnsFuture> for F
where
    F: Fn(Request) -> Fut + Send + Sync + 'static,
    Fut: Future<Output: IntoResponse> + 'static,
{
}

/// A handler whose type was forgotten.
pub(crate) trait Erased: Send + Sync {
    fn kind(&self) -> Kind;
    fn call(&self, request: Request) -> Called;
}

struct Typed<H, M> {
    handler: H,
    marker: PhantomData<fn() -> M>,
}

impl<M: 'static, H: Handler<M>> Erased for Typed<H, M> {
    fn kind(&self) -> Kind {
        H::KIND
    }

    fn call(&self, request: Request) -> Called {
        self.handler.call(request)
    }
}

/// Forgets a handler's type.
pub(crate) fn erase<M: 'static>(handler: impl Handler<M>) -> std::sync::Arc<dyn Erased> {
    std::sync::Arc::new(Typed { handler, marker: PhantomData })
}
