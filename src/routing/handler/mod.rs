//! Handlers: functions that answer requests.
//!
//! A handler is a function of [extractors](crate::extract), such as the [`Request`] itself, to something that
//! [becomes a response](IntoResponse), or to a future of it. Inline and async routes have the same handler
//! type, because the dispatch of a route can change while it serves.

mod call_site;
mod function;
mod middleware;
mod on_error;

use std::{future::Future, marker::PhantomData, pin::Pin, sync::Arc};

use crate::{extract::RequiredState, request::Request, response::Response};

pub(crate) use call_site::{CallSite, CatchPanic, Kept, PanicReport, panic_message};
pub use function::{LocalHandler, local};
pub(crate) use middleware::{Chain, Layer};
pub use middleware::{Middleware, Next};
pub(crate) use on_error::{Answer, Asked, OnError};
pub use on_error::{ErrorCause, ErrorContext};

/// A future of a response. It is polled where it was created.
#[doc(hidden)]
pub(crate) type ResponseFuture = Pin<Box<dyn Future<Output = Response>>>;

/// Output of a call of a handler and its layers.
// Public only because a sealed trait names it.
#[doc(hidden)]
pub enum HandlerOutput {
    /// The response of a sync handler, a check, or an argument that rejected the request.
    Ready(Response),
    /// The future of an async handler or of middleware.
    Future(ResponseFuture),
}

/// Kind of a handler. It decides where the handler may run, and on which threads of the pool.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandlerKind {
    /// A function that returns a response. On the pool it runs on a blocking thread and may block.
    Sync,
    /// A function that returns a future. On the pool it shares a worker with other handlers and must not
    /// block.
    Async,
    /// Like `Async`, and needs the tokio runtime of the worker, so it cannot run inline.
    Tokio,
    /// Opens a stream or a socket that lives on the connection's shard, so it cannot run on the pool.
    #[cfg_attr(not(feature = "ws"), allow(dead_code, reason = "nothing opens anything"))]
    Shard,
}

/// A function that answers requests.
///
/// It takes up to 16 [extractors](crate::extract), and returns something that [becomes a
/// response](crate::response::IntoResponse) or a `Send` future of it. All extractors but the last implement
/// [`FromRequestParts`](crate::extract::FromRequestParts). The last one may take the body or the whole
/// [`Request`]. The parameter `M` distinguishes the kinds of functions and is always inferred.
///
/// The future must be `Send`. So a handler that keeps the guard of a `std` lock across an `await`, which
/// could stop a whole shard, does not compile. [`local`](crate::local) takes a function whose future is not
/// `Send`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a handler",
    label = "expected a function of extractors that returns a response, or a `Send` future of one",
    note = "all arguments are extractors (`windlass::extract`); only the last one may take the body or the \
            `Request`",
    note = "its output is a response: a text, bytes, a status, `Json(…)` of a type with `Serialize`, or a \
            `Result` of these",
    note = "any error type converts to `windlass::HandlerError`",
    note = "it and its captures are `Send + Sync + 'static`; if only its future is not `Send`, use \
            `windlass::local(…)`"
)]
pub trait Handler<M>: sealed::Sealed<M> + Send + Sync + 'static {}

impl<M, H: sealed::Sealed<M> + Send + Sync + 'static> Handler<M> for H {}

pub(crate) mod sealed {
    use std::sync::Arc;

    use super::{HandlerKind, HandlerOutput, Request};
    use crate::extract::RequiredState;

    pub trait Sealed<M> {
        #[doc(hidden)]
        const KIND: HandlerKind;
        #[doc(hidden)]
        fn call(handler: &Arc<Self>, request: Request) -> HandlerOutput;
        #[doc(hidden)]
        fn required_state() -> Vec<RequiredState>;
    }
}

/// A handler without its type.
pub(crate) trait ErasedHandler: Send + Sync {
    fn kind(&self) -> HandlerKind;
    fn call(&self, request: Request) -> HandlerOutput;
    /// Returns `true` if it submits jobs to the pool while it runs inline.
    fn uses_pool(&self) -> bool {
        false
    }
    /// Returns the reason why it cannot serve, for an error when its route is added.
    fn problem(&self) -> Option<&str> {
        None
    }
    /// Returns the types of state that its arguments need.
    fn required_state(&self) -> Vec<RequiredState> {
        Vec::new()
    }
}

struct TypedHandler<H, M> {
    handler: Arc<H>,
    marker: PhantomData<fn() -> M>,
}

impl<M: 'static, H: Handler<M>> ErasedHandler for TypedHandler<H, M> {
    fn kind(&self) -> HandlerKind {
        H::KIND
    }

    fn call(&self, request: Request) -> HandlerOutput {
        H::call(&self.handler, request)
    }

    fn required_state(&self) -> Vec<RequiredState> {
        H::required_state()
    }
}

/// Erases the type of a handler.
pub(crate) fn erase<M: 'static>(handler: impl Handler<M>) -> Arc<dyn ErasedHandler> {
    Arc::new(TypedHandler { handler: Arc::new(handler), marker: PhantomData })
}
