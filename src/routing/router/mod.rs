//! The router: where routes are registered before the start, and the actor that changes them while serving.

mod actor;
mod lookup;

use http::Extensions;

#[cfg(feature = "tower")]
use crate::body::{Body, BoxError};
use crate::{
    request::Request,
    response::IntoResponse,
    routing::{
        handler::{Handler, Layer, Middleware},
        route::{Dispatch, Route},
        table::Routes,
    },
};

pub(crate) use actor::{RouterActor, RouterMsg, Source};
pub use actor::{RouterError, RouterHandle};
#[doc(hidden)]
pub use lookup::Lookup;

/// The routes of a server, before it starts.
///
/// ```
/// use windlass::{Request, Router, get, post};
/// async fn report(_: Request) -> &'static str { "made" }
///
/// let router = Router::new()
///     .route(get("/", |_| "hello"))
///     .group("/api", |api| {
///         api.run_async().route(post("/reports", report)).route(get("/status", |_| "fine").run_inline())
///     });
/// ```
#[derive(Clone, Default)]
pub struct Router {
    pub(crate) routes: Routes,
    pub(crate) state: Extensions,
}

impl Router {
    /// Makes a router without routes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a route.
    #[must_use]
    pub fn route(mut self, route: Route) -> Self {
        self.routes.list.push(route);
        self
    }

    /// Serves a path, and everything below it, with a tower service, such as an axum `Router`: see
    /// [`mount`](crate::mount()). Feature `tower`.
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

    /// Adds a group of routes under a prefix; the closure fills it.
    #[must_use]
    pub fn group(mut self, prefix: &str, fill: impl FnOnce(Group) -> Group) -> Self {
        let group = fill(Group { prefix: prefix.to_owned(), ..Group::default() });
        self.routes.list.extend(group.list);
        self
    }

    /// Runs routes inline that neither they nor their group say otherwise for. This is the default.
    #[must_use]
    pub fn run_inline(mut self) -> Self {
        self.routes.default_dispatch = Dispatch::Inline;
        self
    }

    /// Runs routes on the pool that neither they nor their group say otherwise for.
    #[must_use]
    pub fn run_async(mut self) -> Self {
        self.routes.default_dispatch = Dispatch::Async;
        self
    }

    /// Puts middleware around every route of the server, inside of what was put before, outside of groups' and
    /// routes' own. Static routes are then served by inline handlers. Not covered is what the server answers by itself:
    /// unmatched paths, unless [`not_found`](Self::not_found) gives them a handler, `405`, and OPTIONS of a path without
    /// a route for it.
    #[must_use]
    pub fn with(mut self, middleware: impl Middleware) -> Self {
        self.routes.layers.push(Layer::around(middleware));
        self
    }

    /// Has a check let each request of any route pass, or answer it instead: see [`Route::authorize`]. What it covers
    /// is what [`with`](Self::with) covers.
    #[must_use]
    pub fn authorize<E: IntoResponse>(
        mut self,
        check: impl Fn(&Request) -> Result<(), E> + Send + Sync + 'static,
    ) -> Self {
        self.routes.layers.push(Layer::before(check));
        self
    }

    /// Answers paths that no route matches, instead of a plain `404`.
    ///
    /// The handler sets its own status. Such requests count as route `(unmatched)`.
    #[must_use]
    pub fn not_found<M: 'static>(mut self, handler: impl Handler<M>) -> Self {
        let route = Route::new(http::Method::GET, "/", handler);
        self.routes.not_found = Some(route.run_inline());
        self
    }

    /// Gives every handler a value of this type, read with [`Request::state`](crate::Request::state).
    ///
    /// Each shard keeps a clone, so put an `Arc` around what must be one.
    #[must_use]
    pub fn state<T: Clone + Send + Sync + 'static>(mut self, value: T) -> Self {
        self.state.insert(value);
        self
    }
}

impl std::fmt::Debug for Router {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Router").field("routes", &self.routes.list).finish_non_exhaustive()
    }
}

/// Routes that share a prefix, a dispatch and middleware.
///
/// A setting affects what is registered after it; a sub-group takes over what its parent has when it is made.
#[derive(Default)]
pub struct Group {
    prefix: String,
    dispatch: Option<Dispatch>,
    layers: Vec<Layer>,
    list: Vec<Route>,
}

impl Group {
    /// Adds a route; its path stands behind the group's prefix.
    #[must_use]
    pub fn route(mut self, mut route: Route) -> Self {
        route.path = join(&self.prefix, &route.path);
        route.dispatch = route.dispatch.or(self.dispatch);
        route.layers.splice(0..0, self.layers.iter().cloned());
        self.list.push(route);
        self
    }

    /// Adds a group within this one.
    #[must_use]
    pub fn group(mut self, prefix: &str, fill: impl FnOnce(Group) -> Group) -> Self {
        let prefix = join(&self.prefix, prefix);
        let group = Group { prefix, dispatch: self.dispatch, layers: self.layers.clone(), list: Vec::new() };
        self.list.extend(fill(group).list);
        self
    }

    /// Runs the routes registered after this on their connection's shard, unless they say otherwise.
    #[must_use]
    pub fn run_inline(self) -> Self {
        Self { dispatch: Some(Dispatch::Inline), ..self }
    }

    /// Runs the routes registered after this on the pool, unless they say otherwise.
    #[must_use]
    pub fn run_async(self) -> Self {
        Self { dispatch: Some(Dispatch::Async), ..self }
    }

    /// Puts middleware around the routes registered after this, inside of what was put before.
    #[must_use]
    pub fn with(mut self, middleware: impl Middleware) -> Self {
        self.layers.push(Layer::around(middleware));
        self
    }

    /// Has a check let each request of the routes registered after this pass, or answer it instead: see
    /// [`Route::authorize`].
    #[must_use]
    pub fn authorize<E: IntoResponse>(
        mut self,
        check: impl Fn(&Request) -> Result<(), E> + Send + Sync + 'static,
    ) -> Self {
        self.layers.push(Layer::before(check));
        self
    }
}

impl Group {
    pub(crate) fn into_routes(self) -> Vec<Route> {
        self.list
    }
}

impl std::fmt::Debug for Group {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Group")
            .field("prefix", &self.prefix)
            .field("routes", &self.list)
            .finish_non_exhaustive()
    }
}

fn join(prefix: &str, path: &str) -> String {
    let prefix = prefix.trim_end_matches('/');
    let slash = if prefix.is_empty() || prefix.starts_with('/') { "" } else { "/" };
    // "/" within a group is the group's own path.
    let path = if path == "/" && !prefix.is_empty() { "" } else { path };
    let between = if prefix.is_empty() || path.is_empty() || path.starts_with('/') { "" } else { "/" };
    format!("{slash}{prefix}{between}{path}")
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
    fn middleware_keeps_the_flag() {
        let through = |request, next: crate::Next| next.run(request);
        let router = Router::new().route(get("/a", handler).run_async().with(through)).with(through);
        assert_eq!(compiled(&router).async_routes, 1);
    }

    #[test]
    fn prefixes_join_without_double_slashes() {
        assert_eq!(join("/api", "/x"), "/api/x");
        assert_eq!(join("/api/", "/x"), "/api/x");
        assert_eq!(join("api", "/x"), "/api/x");
        assert_eq!(join("/api", "/"), "/api");
        assert_eq!(join("", "/"), "/");
        assert_eq!(join("/api", "v2/"), "/api/v2/");
    }

    #[test]
    fn bad_routes_are_named() {
        let fails = |router: Router| {
            RouteTable::compile(&router.routes, &Metrics::new(1, true))
                .err()
                .map(|e| e.to_string())
                .unwrap_or_default()
        };
        assert!(fails(Router::new().route(get("a", handler))).contains("GET a must begin with '/'"));
        let twice = Router::new().route(get("/a", handler)).route(get("/a", handler));
        assert!(fails(twice).contains("GET /a is registered twice"));
        let conflict = Router::new().route(get("/{a}", handler)).route(get("/{b}", handler));
        assert!(fails(conflict).contains("GET /{b}"));
        assert!(fails(Router::new().route(get("/a?b", handler))).contains("'?'"));
    }
}
