//! Middleware: closures around a handler.

use std::{future::Future, sync::Arc};

use super::{Called, Erased, Kind, ResponseFuture};
use crate::{
    request::Request,
    response::{IntoResponse, Response},
};

/// A closure that stands around a handler: `Fn(Request, Next) -> impl Future<Output = impl IntoResponse>`.
///
/// Order: the server's first registered is outermost, then its groups' from the outside in, then the route's. What
/// runs before [`Next::run`] sees the request, what runs after it sees the response. On an async route it runs on
/// the pool, where its handler runs.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no middleware",
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

/// What lets a request pass, or answers it.
type Check = dyn Fn(&Request) -> Result<(), Response> + Send + Sync;

/// One thing around a handler, its type forgotten.
#[derive(Clone)]
pub(crate) enum Layer {
    Around(Arc<dyn Middleware>),
    /// Costs no future.
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
}

/// A handler and what stands around it, outermost first.
#[derive(Clone)]
pub(crate) struct Chain {
    pub(crate) layers: Vec<Layer>,
    pub(crate) handler: Arc<dyn Erased>,
}

impl Chain {
    pub(crate) fn kind(&self) -> Kind {
        self.handler.kind()
    }

    /// Starts the chain. Without layers this is the handler itself.
    pub(crate) fn call(self: &Arc<Self>, request: Request) -> Called {
        self.call_from(0, request)
    }

    fn call_from(self: &Arc<Self>, at: usize, request: Request) -> Called {
        for (index, layer) in self.layers.iter().enumerate().skip(at) {
            match layer {
                Layer::Around(layer) => {
                    let next = Next { chain: self.clone(), at: index + 1 };
                    return Called::Future(layer.wrap(request, next));
                }
                Layer::Before(check) => {
                    if let Err(refused) = check(&request) {
                        return Called::Ready(refused);
                    }
                }
            }
        }
        self.handler.call(request)
    }
}

/// The rest of the chain: further middleware and the handler.
pub struct Next {
    chain: Arc<Chain>,
    at: usize,
}

impl Next {
    /// Runs the rest of the chain.
    ///
    /// # Panics
    ///
    /// As what it runs; the server contains it and answers `500`.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the handler where it waits.
    pub async fn run(self, request: Request) -> Response {
        match self.chain.call_from(self.at, request) {
            Called::Ready(response) => response,
            Called::Future(future) => future.await,
        }
    }
}

impl std::fmt::Debug for Next {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Next").field("left", &(self.chain.layers.len() - self.at)).finish()
    }
}
