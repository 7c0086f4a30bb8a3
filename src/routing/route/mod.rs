//! Routes as a program registers them.

mod static_route;

use std::{fmt, sync::Arc};

use http::Method;

use crate::{
    request::Request,
    response::IntoResponse,
    routing::handler::{ErasedHandler, Handler, HandlerKind, Layer, Middleware, erase},
};

pub(crate) use static_route::StaticResponse;
pub use static_route::static_route;

/// Placement of a route's handler: on the connection's shard, or on the pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dispatch {
    /// On the connection's shard, at once. This is the default.
    ///
    /// For handlers that answer within microseconds. All other connections of the shard wait meanwhile, and
    /// nothing stops a handler that takes longer. One that holds its shard longer than
    /// [`Timeouts::inline_stall`](crate::Timeouts::inline_stall) is logged and counted.
    #[default]
    Inline,
    /// On the pool. For handlers that wait or compute.
    ///
    /// An async handler runs on a worker, inside a tokio runtime. A sync handler runs on a blocking thread.
    /// The response is `503` with `Retry-After` if the pool is full, or if the handler takes longer than
    /// [`Timeouts::job`](crate::Timeouts::job), 30 s by default. At that timeout the future of an async
    /// handler is dropped. A sync handler continues to its end, but its response is discarded.
    Async,
}

/// Delivery of the request body to a route's handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyMode {
    /// Collected before the handler runs. The limit is in bytes. `None` applies the server's limit.
    Whole(Option<usize>),
    /// The handler runs after the request head and reads the body as it arrives.
    Streamed,
}

/// Order in which an overloaded shard rejects the requests of routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shed {
    /// Rejects the route's requests before those of other routes, because its responses take long. Default of
    /// async routes and of handlers that open a stream or a socket.
    First,
    /// Rejects the route's requests only when it rejects those of all routes.
    Last,
    /// Never rejects the route's requests. For health checks and metrics.
    Never,
}

/// Action of a route.
#[derive(Clone)]
pub(crate) enum Action {
    /// Sends a fixed response.
    Static(Arc<StaticResponse>),
    /// Runs a handler.
    Handler(Arc<dyn ErasedHandler>),
}

/// The path parameter that holds the rest of the path in a route of scope [`Subtree`](PathScope::Subtree).
pub(crate) const SUBTREE_PARAM: &str = "below";

/// The paths that a route serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PathScope {
    /// The paths that match its template.
    Path,
    /// The paths that match its template, and all paths below them.
    #[cfg_attr(
        not(any(feature = "tower", feature = "files")),
        expect(dead_code, reason = "only mounted services and static files have such routes")
    )]
    Subtree,
    /// As [`Subtree`](Self::Subtree), except the paths that other routes serve, for whatever method.
    Fallback,
}

/// A method and a path, and the handler that serves them.
///
/// ```
/// use windlass::{Request, get, post};
/// async fn slow(_: Request) -> &'static str { "done" }
/// let a = get("/hello/{name}", |request: Request| format!("Hello, {}!", request.param("name").unwrap()));
/// let b = post("/slow", slow).run_async();
/// ```
///
/// Paths have the syntax of [`matchit`](https://docs.rs/matchit): `{id}` matches one segment or the end of
/// one, as in `/v{version}`. `{*rest}` matches the rest of the path. A path without parameters takes
/// precedence. A GET route also answers HEAD, unless the path has a HEAD route.
#[derive(Clone)]
pub struct Route {
    /// Method that the route serves. `None`: every method without a route of its own at this path.
    pub(crate) method: Option<Method>,
    pub(crate) path: String,
    pub(crate) action: Action,
    pub(crate) dispatch: Option<Dispatch>,
    pub(crate) layers: Vec<Layer>,
    pub(crate) body: BodyMode,
    pub(crate) scope: PathScope,
    pub(crate) shed: Shed,
}

impl Route {
    /// Creates a route for one method, which can be any, such as `PROPFIND`. The common methods have
    /// functions such as [`get`].
    pub fn new<M: 'static>(method: Method, path: impl Into<String>, handler: impl Handler<M>) -> Self {
        Self::with_action(Some(method), path.into(), Action::Handler(erase(handler)))
    }

    pub(crate) fn with_action(method: Option<Method>, path: String, action: Action) -> Self {
        let body = BodyMode::Whole(None);
        let shed = match &action {
            Action::Handler(handler) if handler.kind() == HandlerKind::Shard => Shed::First,
            _ => Shed::Last,
        };
        Self { method, path, action, dispatch: None, layers: Vec::new(), body, scope: PathScope::Path, shed }
    }

    /// Returns the method's name for metrics and errors, `(any)` for an `any` route.
    pub(crate) fn method_name(&self) -> &str {
        self.method.as_ref().map_or("(any)", Method::as_str)
    }

    /// Runs the handler on the connection's shard. Overrides the dispatch of the group and the server.
    #[must_use]
    pub fn run_inline(self) -> Self {
        Self { dispatch: Some(Dispatch::Inline), ..self }
    }

    /// Runs the handler on the pool. Overrides the dispatch of the group and the server.
    #[must_use]
    pub fn run_async(self) -> Self {
        Self { dispatch: Some(Dispatch::Async), ..self }
    }

    /// Adds middleware around the handler, inside the middleware that was added before. Does not change the
    /// dispatch.
    #[must_use]
    pub fn with(mut self, middleware: impl Middleware) -> Self {
        self.layers.push(Layer::around(middleware));
        self
    }

    /// Adds a check that runs before the handler and can answer the request instead.
    ///
    /// The check is one of the route's layers, in the order in which they were added. It costs no future, so
    /// it suits access tokens. On an ordinary route it sees the complete body.
    ///
    /// ```
    /// use windlass::{Request, get, http::StatusCode};
    /// fn known(request: &Request) -> Result<(), StatusCode> {
    ///     let is_known = request.header("authorization") == Some("Bearer secret");
    ///     if is_known { Ok(()) } else { Err(StatusCode::UNAUTHORIZED) }
    /// }
    /// let route = get("/private", |_: Request| "for your eyes only").authorize(known);
    /// ```
    #[must_use]
    pub fn authorize<E: IntoResponse>(
        mut self,
        check: impl Fn(&Request) -> Result<(), E> + Send + Sync + 'static,
    ) -> Self {
        self.layers.push(Layer::before(check));
        self
    }

    /// Runs the handler right after the request head. The handler reads the body as it arrives, without a
    /// size limit.
    ///
    /// Overrides an earlier [`body_limit`](Self::body_limit).
    #[must_use]
    pub fn streamed(self) -> Self {
        Self { body: BodyMode::Streamed, ..self }
    }

    /// Sets the maximum size of the request body, bytes. Replaces
    /// [`Limits::body_bytes`](crate::Limits::body_bytes) for this route. A larger body is answered with
    /// `413`.
    ///
    /// Overrides an earlier [`streamed`](Self::streamed).
    #[must_use]
    pub fn body_limit(self, bytes: usize) -> Self {
        Self { body: BodyMode::Whole(Some(bytes)), ..self }
    }

    /// Serves the route even while an overloaded shard answers the requests of other routes with `503`
    /// ([`Timeouts::shed_all`](crate::Timeouts::shed_all)).
    ///
    /// For fast handlers that report the health of the program.
    #[must_use]
    pub fn never_shed(self) -> Self {
        Self { shed: Shed::Never, ..self }
    }

    /// Adds a layer of the server itself, inside the layers that the route has. `None` adds nothing.
    pub(crate) fn with_layer(mut self, layer: Option<Layer>) -> Self {
        self.layers.extend(layer);
        self
    }

    /// Sheds the route's requests before others, because their responses take long.
    pub(crate) fn shed_first(self) -> Self {
        Self { shed: Shed::First, ..self }
    }
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Route");
        debug.field("method", &self.method).field("path", &self.path).field("dispatch", &self.dispatch);
        debug.finish_non_exhaustive()
    }
}

macro_rules! methods {
    ($($name:ident $method:ident),*) => {
        $(
            #[doc = concat!("Creates a ", stringify!($method), " route.")]
            pub fn $name<M: 'static>(path: impl Into<String>, handler: impl Handler<M>) -> Route {
                Route::new(Method::$method, path, handler)
            }
        )*
    };
}

/// Creates a route for every method that has no route of its own at this path, including OPTIONS.
///
/// ```
/// use windlass::{Request, any};
/// let route = any("/echo", |request: Request| format!("{} {}", request.method(), request.path()));
/// ```
pub fn any<M: 'static>(path: impl Into<String>, handler: impl Handler<M>) -> Route {
    Route::with_action(None, path.into(), Action::Handler(erase(handler)))
}

methods!(get GET, post POST, put PUT, delete DELETE, patch PATCH, head HEAD, options OPTIONS);
