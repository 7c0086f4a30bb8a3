//! Middleware: closures around a handler.

use std::{fmt, future::Future, sync::Arc};

use super::{ErasedHandler, HandlerKind, HandlerOutput, ResponseFuture};
use crate::{
    request::Request,
    response::{IntoResponse, Response},
};

/// A closure around a handler: `Fn(Request, Next) -> impl Future<Output = impl IntoResponse>`.
///
/// The code before [`Next::run`] sees the request, the code after it sees the response. The first middleware
/// of the server is the outermost. Its groups' middleware follows from the outside in, then the route's. On
/// an async route the middleware runs on the pool, like the handler.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not middleware",
    label = "expected `Fn(Request, Next) -> impl Future<Output = impl IntoResponse>`"
)]
pub trait Middleware: Send + Sync + 'static {
    #[doc(hidden)]
    fn wrap(&self, request: Request, next: Next) -> ResponseFuture;
}

impl<F, Fut> Middleware for F
where
    F: Fn(Request, Next) -> Fut + Send + Sync + 'static,
    Fut: Future<Output: IntoResponse> + 'static,
{
    fn wrap(&self, request: Request, next: Next) -> ResponseFuture {
        let future = self(request, next);
        Box::pin(async move { future.await.into_response() })
    }
}

/// A check that passes a request or answers it.
type Check = dyn Fn(&Request) -> Result<(), Response> + Send + Sync;

/// A layer around a handler.
#[derive(Clone)]
pub(crate) enum Layer {
    /// Middleware. Costs a boxed future.
    Around(Arc<dyn Middleware>),
    /// A check before the handler. Costs no future.
    Before(Arc<Check>),
}

impl Layer {
    pub(crate) fn around(middleware: impl Middleware) -> Self {
        Self::Around(Arc::new(middleware))
    }

    pub(crate) fn before<E: IntoResponse>(
        check: impl Fn(&Request) -> Result<(), E> + Send + Sync + 'static,
    ) -> Self {
        Self::Before(Arc::new(move |request| check(request).map_err(IntoResponse::into_response)))
    }

    /// Returns `true` if both are clones of one layer.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Around(one), Self::Around(other)) => Arc::ptr_eq(one, other),
            (Self::Before(one), Self::Before(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }
}

/// A handler and its layers, the outermost first.
#[derive(Clone)]
pub(crate) struct Chain {
    pub(crate) layers: Vec<Layer>,
    pub(crate) handler: Arc<dyn ErasedHandler>,
}

impl Chain {
    pub(crate) fn kind(&self) -> HandlerKind {
        self.handler.kind()
    }

    /// Calls the layers and the handler.
    pub(crate) fn call(self: &Arc<Self>, request: Request) -> HandlerOutput {
        self.call_from(0, request)
    }

    /// Calls the layers from index `start` on, and the handler.
    fn call_from(self: &Arc<Self>, start: usize, request: Request) -> HandlerOutput {
        for (index, layer) in self.layers.iter().enumerate().skip(start) {
            match layer {
                Layer::Around(middleware) => {
                    let next = Next { chain: self.clone(), start: index + 1 };
                    return HandlerOutput::Future(middleware.wrap(request, next));
                }
                Layer::Before(check) => {
                    if let Err(response) = check(&request) {
                        return HandlerOutput::Ready(response);
                    }
                }
            }
        }
        self.handler.call(request)
    }
}

/// The rest of the chain: the inner middleware and the handler.
pub struct Next {
    chain: Arc<Chain>,
    start: usize,
}

impl Next {
    /// Runs the rest of the chain and returns its response.
    ///
    /// # Panics
    ///
    /// Panics if the inner middleware or the handler panics. The server catches the panic and answers `500`.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the handler's future at its current `await`.
    pub async fn run(self, request: Request) -> Response {
        match self.chain.call_from(self.start, request) {
            HandlerOutput::Ready(response) => response,
            HandlerOutput::Future(future) => future.await,
        }
    }
}

impl fmt::Debug for Next {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Next").field("layers_left", &(self.chain.layers.len() - self.start)).finish()
    }
}
