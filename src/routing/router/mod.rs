//! The routes of a server: registered before the start, and changed while it serves.

mod actor;
mod error;
mod group;
mod handle;
mod lookup;
mod registry;

use std::fmt;

use http::Method;

#[cfg(feature = "tower")]
use crate::body::{Body, BoxError};
use crate::{
    request::Request,
    response::{IntoResponse, Response},
    routing::{
        handler::{ErrorContext, Handler, Layer, Middleware, OnError},
        route::{Dispatch, Route},
        table::RouteSet,
    },
};

pub(crate) use actor::{RouterActor, RouterMsg};
pub use error::RouterError;
pub use group::Group;
pub use handle::RouterHandle;
#[doc(hidden)]
pub use lookup::Lookup;
pub(crate) use registry::{RouteRegistry, SHARED_ROUTER};

/// The routes of a server, before it starts.
///
/// ```
/// use windlass::{Request, Router, get, post};
/// async fn report(_: Request) -> &'static str { "made" }
///
/// let router = Router::new()
///     .route(get("/", || "hello"))
///     .group("/api", |api| {
///         api.run_async().route(post("/reports", report)).route(get("/status", || "fine").run_inline())
///     });
/// ```
#[derive(Clone, Default)]
pub struct Router {
    pub(crate) routes: RouteSet,
}

impl Router {
    /// Creates a router without routes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a route.
    #[must_use]
    pub fn route(mut self, route: Route) -> Self {
        self.routes.list.push(route);
        self
    }

    /// Adds a tower service, such as an axum `Router`, at a path and all paths below it. See
    /// [`mount`](crate::mount()). Requires the feature `tower`.
    #[cfg(feature = "tower")]
    #[must_use]
    pub fn mount<S, B>(self, path: &str, service: S) -> Self
    where
        S: tower_service::Service<
                http::Request<Body>,
                Response = http::Response<B>,
                Error: Into<BoxError>,
                Future: 'static,
            >,
        S: Clone + Send + 'static,
        B: http_body::Body<Data: bytes::Buf, Error: Into<BoxError>> + Send + 'static,
    {
        self.route(crate::routing::mount::mount(path, service))
    }

    /// Adds a group of routes under a path prefix. The closure adds its routes.
    #[must_use]
    pub fn group(mut self, prefix: &str, fill: impl FnOnce(Group) -> Group) -> Self {
        let (routes, scopes) = fill(Group::with_prefix(prefix)).finish();
        self.routes.list.extend(routes);
        self.routes.scopes.extend(scopes);
        self
    }

    /// Adds the routes of another router.
    ///
    /// They keep the layers of `other`, inside those of this router, and its dispatch. This router gets what
    /// it lacks: the values of [`state`](Self::state), the handler for unmatched paths and the hook for error
    /// responses. What both have stays as it is in this router.
    ///
    /// A route that both have makes the start of the server fail.
    ///
    /// ```
    /// use windlass::{Router, TestClient, get};
    ///
    /// let users = Router::new().route(get("/users", || "all users"));
    /// let items = Router::new().route(get("/items", || "all items"));
    /// let client = TestClient::new(users.merge(items))?;
    /// assert_eq!(client.get("/items").body(), "all items");
    /// # Ok::<(), windlass::StartError>(())
    /// ```
    #[must_use]
    pub fn merge(mut self, other: Router) -> Self {
        self.routes.merge(other.routes);
        self
    }

    /// Sets inline as the dispatch of every route that neither sets its own nor has one from its group. This
    /// is the default.
    #[must_use]
    pub fn run_inline(mut self) -> Self {
        self.routes.default_dispatch = Dispatch::Inline;
        self
    }

    /// Sets async as the dispatch of every route that neither sets its own nor has one from its group.
    #[must_use]
    pub fn run_async(mut self) -> Self {
        self.routes.default_dispatch = Dispatch::Async;
        self
    }

    /// Adds middleware around all routes: inside the middleware that was added before, and outside that of
    /// groups and routes.
    ///
    /// Static routes are then served by inline handlers.
    ///
    /// Responses that the server creates itself pass the middleware too: for the router's middleware `404`,
    /// for that of all routes at a path `405` and the answer to OPTIONS, and for the route's own `413` and
    /// `503`. Then [`Next::run`](crate::Next::run) returns the server's response, and the request has no
    /// body. These do not pass it: answers to requests without a valid head, `503` to a request that the pool
    /// dropped or did not finish in time, and answers in place of a response that the server may not send,
    /// such as one with status 1xx.
    #[must_use]
    pub fn with(mut self, middleware: impl Middleware) -> Self {
        self.routes.layers.push(Layer::around(middleware));
        self
    }

    /// Adds a check before all routes. See [`Route::authorize`]. It covers the same requests as
    /// [`with`](Self::with).
    #[must_use]
    pub fn authorize<E: IntoResponse>(
        mut self,
        check: impl Fn(&Request) -> Result<(), E> + Send + Sync + 'static,
    ) -> Self {
        self.routes.layers.push(Layer::before(check));
        self
    }

    /// Sets a handler for requests of any method to paths without a route. Default: a `404` response.
    ///
    /// The handler runs inline and sets the status itself. Metrics count these requests under the route
    /// `(unmatched)`.
    #[must_use]
    pub fn not_found<M: 'static>(mut self, handler: impl Handler<M>) -> Self {
        let route = Route::new(Method::GET, "/", handler);
        self.routes.not_found = Some(route.run_inline());
        self
    }

    /// Sets a hook for responses that the server creates itself, such as `404`, `405`, `413`, `503` and the
    /// `500` of a panic. The hook returns the response to send, which also passes the middleware that
    /// [`with`](Self::with) describes. Default: a line of plain text.
    ///
    /// The hook runs on the connection's shard or on the pool and must not block. If it panics, the response
    /// has the original status and a line of plain text. With a hook, each request that runs a handler costs
    /// a copy of its head.
    ///
    /// ```
    /// use windlass::{ErrorContext, Response, Router};
    ///
    /// fn as_json(context: &ErrorContext<'_>, response: Response) -> Response {
    ///     let (status, cause) = (response.status().as_u16(), context.cause());
    ///     let body = format!(r#"{{"status":{status},"cause":"{cause:?}"}}"#);
    ///     response.with_header("content-type", "application/json").with_body(body)
    /// }
    /// let router = Router::new().on_error_response(as_json);
    /// ```
    #[must_use]
    pub fn on_error_response(
        mut self,
        hook: impl Fn(&ErrorContext<'_>, Response) -> Response + Send + Sync + 'static,
    ) -> Self {
        self.routes.on_error = Some(OnError::new(hook));
        self
    }

    /// Adds a value that handlers take as [`State<T>`](crate::extract::State) or read with
    /// [`Request::state`](crate::Request::state). A router has at most one value of each type.
    ///
    /// Each shard keeps a clone of the value. Use an `Arc` for a value that all shards share.
    #[must_use]
    pub fn state<T: Clone + Send + Sync + 'static>(mut self, value: T) -> Self {
        self.routes.state.insert(value);
        self
    }
}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Router").field("routes", &self.routes.list).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{get, metrics::Metrics, routing::table::RouteTable};

    fn compiled(router: &Router) -> RouteTable {
        RouteTable::compile(&router.routes, &Metrics::new(1, true)).unwrap()
    }

    fn handler(_: crate::Request) -> &'static str {
        ""
    }

    #[test]
    fn route_wins_over_group_wins_over_server() {
        let router = Router::new()
            .run_async()
            .route(get("/default", handler))
            .route(get("/inline", handler).run_inline())
            .group("/g", |g| {
                g.route(get("/before", handler))
                    .run_inline()
                    .route(get("/after", handler))
                    .route(get("/own", handler).run_async())
                    .group("/sub", |s| s.route(get("/inherits", handler)))
                    .run_async()
            });
        let dispatch: Vec<_> = router.routes.list.iter().map(|r| (r.path.as_str(), r.dispatch)).collect();
        assert_eq!(
            dispatch,
            [
                ("/default", None),
                ("/inline", Some(Dispatch::Inline)),
                ("/g/before", None),
                ("/g/after", Some(Dispatch::Inline)),
                ("/g/own", Some(Dispatch::Async)),
                ("/g/sub/inherits", Some(Dispatch::Inline)),
            ]
        );
        assert_eq!(compiled(&router).async_routes, 3);
        assert_eq!(compiled(&router.run_inline()).async_routes, 1);
    }

    #[test]
    fn middleware_keeps_the_dispatch() {
        let through = |request, next: crate::Next| next.run(request);
        let router = Router::new().route(get("/a", handler).run_async().with(through)).with(through);
        assert_eq!(compiled(&router).async_routes, 1);
    }

    #[test]
    fn bad_routes_are_named() {
        let fails = |router: Router| {
            RouteTable::compile(&router.routes, &Metrics::new(1, true))
                .err()
                .map(|e| e.to_string())
                .unwrap_or_default()
        };
        assert!(
            fails(Router::new().route(get("a", handler))).contains("GET a: the path must begin with '/'")
        );
        let twice = Router::new().route(get("/a", handler)).route(get("/a", handler));
        assert!(fails(twice).contains("GET /a: a route with this method and path exists already"));
        let conflict = Router::new().route(get("/{a}", handler)).route(get("/{b}", handler));
        let text = "GET /{b}: the route `/{a}` matches the same paths; give the parameters the same names";
        assert!(fails(conflict).contains(text));
        assert!(fails(Router::new().route(get("/a?b", handler))).contains("'?'"));
    }
}
