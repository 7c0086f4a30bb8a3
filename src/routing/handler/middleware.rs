//! Middleware: closures around a handler.

use std::{
    fmt,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use super::{
    ErasedHandler, HandlerKind, HandlerOutput, ResponseFuture,
    call_site::{CallSite, CatchPanic},
};
use crate::{
    request::Request,
    response::{IntoResponse, Response},
};

/// A closure around a handler: `Fn(Request, Next) -> impl Future<Output = impl IntoResponse>`.
///
/// The code before [`Next::run`] sees the request, the code after it sees the response. The router's
/// middleware surrounds that of a group, which surrounds that of its inner groups and routes: see
/// [the order](crate::middleware#order). On an async route the middleware runs on the pool, like the handler.
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
    /// Middleware outside all other layers of the route, those of the server included.
    Outermost(Arc<dyn Middleware>),
    /// A check before the inner layers and the handler. Costs no future.
    Before(Arc<Check>),
}

impl Layer {
    pub(crate) fn around(middleware: impl Middleware) -> Self {
        Self::Around(Arc::new(middleware))
    }

    pub(crate) fn outermost(middleware: impl Middleware) -> Self {
        Self::Outermost(Arc::new(middleware))
    }

    pub(crate) fn is_outermost(&self) -> bool {
        matches!(self, Self::Outermost(_))
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
            (Self::Outermost(one), Self::Outermost(other)) => Arc::ptr_eq(one, other),
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
    pub(crate) site: CallSite,
}

impl Chain {
    pub(crate) fn kind(&self) -> HandlerKind {
        self.handler.kind()
    }

    /// Calls the layers and the handler. If `instead` is a response, the layers surround it and the handler
    /// is not called.
    pub(crate) fn call(self: &Arc<Self>, request: Request, instead: Option<Response>) -> HandlerOutput {
        self.call_from(0, request, instead)
    }

    /// Calls the layers from index `start` on, and then the handler. Middleware calls the layers inside it
    /// itself, through [`Next`]. A check that fails ends the call with its response.
    fn call_from(
        self: &Arc<Self>,
        start: usize,
        request: Request,
        instead: Option<Response>,
    ) -> HandlerOutput {
        for (index, layer) in self.layers.iter().enumerate().skip(start) {
            match layer {
                Layer::Around(middleware) | Layer::Outermost(middleware) => {
                    let next = Next { chain: self.clone(), start: index + 1, instead };
                    return HandlerOutput::Future(middleware.wrap(request, next));
                }
                Layer::Before(check) => {
                    if let Err(response) = check(&request) {
                        return HandlerOutput::Ready(response);
                    }
                }
            }
        }
        match instead {
            None => self.handler.call(request),
            Some(response) => HandlerOutput::Ready(response),
        }
    }
}

/// The rest of the chain: the inner middleware and the handler.
pub struct Next {
    chain: Arc<Chain>,
    start: usize,
    /// Response of the server instead of a call of the handler. `None` calls the handler.
    instead: Option<Response>,
}

impl Next {
    /// Runs the rest of the chain and returns its response. If the inner middleware or the handler panics,
    /// the panic is logged and the response is the server's `500`.
    ///
    /// If the server does not run the handler, for example because no route matches or the body is too large,
    /// the response is the server's answer.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the handler's future at its current `await`.
    pub async fn run(self, request: Request) -> Response {
        let Self { chain, start, instead } = self;
        let kept = chain.site.keep(&request);
        let called = catch_unwind(AssertUnwindSafe(|| chain.call_from(start, request, instead)));
        let outcome = match called {
            Ok(HandlerOutput::Ready(response)) => return response,
            Ok(HandlerOutput::Future(future)) => CatchPanic(future).await,
            Err(payload) => Err(payload),
        };
        outcome.unwrap_or_else(|payload| chain.site.panicked(&kept, &*payload))
    }
}

impl Next {
    /// Returns the path template of the route. `None` if no route matches.
    pub fn route(&self) -> Option<&str> {
        self.chain.site.template()
    }
}

impl fmt::Debug for Next {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Next").field("layers_left", &(self.chain.layers.len() - self.start)).finish()
    }
}
