//! Groups of routes.

use std::fmt;

use crate::{
    request::Request,
    response::IntoResponse,
    routing::{
        handler::{Handler, Layer, Middleware},
        route::{Dispatch, PathScope, Route, any},
        table::Scope,
    },
};

/// A group of routes that share a path prefix, a dispatch and middleware.
///
/// Middleware and checks of a group cover all its routes and inner groups, whether these were added before or
/// after. A dispatch applies to the routes and inner groups that are added after it.
#[derive(Default)]
pub struct Group {
    prefix: String,
    dispatch: Option<Dispatch>,
    layers: Vec<Layer>,
    routes: Vec<Route>,
    /// Scopes of the inner groups.
    scopes: Vec<Scope>,
}

impl Group {
    pub(super) fn with_prefix(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned(), ..Self::default() }
    }

    /// Returns the routes of the group and its scopes. Both have the group's layers.
    pub(super) fn finish(self) -> (Vec<Route>, Vec<Scope>) {
        let Self { prefix, dispatch, layers, mut routes, mut scopes } = self;
        scopes.push(Scope { prefix: join("", &prefix), dispatch, layers: Vec::new() });
        let inner = routes.iter_mut().map(|route| &mut route.layers);
        for inner in inner.chain(scopes.iter_mut().map(|scope| &mut scope.layers)) {
            inner.splice(0..0, layers.iter().cloned());
        }
        (routes, scopes)
    }

    /// Adds a route. Its path is appended to the group's prefix.
    #[must_use]
    pub fn route(mut self, mut route: Route) -> Self {
        route.path = join(&self.prefix, &route.path);
        route.dispatch = route.dispatch.or(self.dispatch);
        self.routes.push(route);
        self
    }

    /// Adds a group inside this one, below its prefix. The inner group starts with the dispatch that this one
    /// has at this point. The closure adds its routes.
    #[must_use]
    pub fn group(mut self, prefix: &str, fill: impl FnOnce(Group) -> Group) -> Self {
        let group = Self { dispatch: self.dispatch, ..Self::with_prefix(&join(&self.prefix, prefix)) };
        let (routes, scopes) = fill(group).finish();
        self.routes.extend(routes);
        self.scopes.extend(scopes);
        self
    }

    /// Sets a handler for requests of any method to paths without a route, at the prefix of the group and
    /// below it. Without one, the handler of an outer group or of
    /// [`Router::not_found`](crate::Router::not_found) serves them.
    ///
    /// The handler runs inline inside the middleware of the group and sets the status itself. Metrics count
    /// these requests under the route `(unmatched)`. A route of the group whose last parameter matches the
    /// rest of the path conflicts with it.
    ///
    /// ```
    /// use windlass::{Router, TestClient, get, http::StatusCode};
    ///
    /// let router = Router::new().group("/api", |api| {
    ///     api.route(get("/items", || "items")).not_found(|| (StatusCode::NOT_FOUND, "no such call"))
    /// });
    /// let client = TestClient::new(router)?;
    /// assert_eq!(client.get("/api/nothing").body(), "no such call");
    /// assert_eq!(client.post("/api/items", "").status(), StatusCode::METHOD_NOT_ALLOWED);
    /// # Ok::<(), windlass::StartError>(())
    /// ```
    #[must_use]
    pub fn not_found<M: 'static>(self, handler: impl Handler<M>) -> Self {
        let route = any("/", handler).run_inline();
        self.route(Route { scope: PathScope::Fallback, ..route })
    }

    /// Sets inline as the default dispatch of the routes and inner groups that are added after this call.
    #[must_use]
    pub fn run_inline(self) -> Self {
        Self { dispatch: Some(Dispatch::Inline), ..self }
    }

    /// Sets async as the default dispatch of the routes and inner groups that are added after this call.
    #[must_use]
    pub fn run_async(self) -> Self {
        Self { dispatch: Some(Dispatch::Async), ..self }
    }

    /// Adds middleware around all routes of the group: inside the middleware that was added before, and
    /// outside that of inner groups and routes.
    #[must_use]
    pub fn with(mut self, middleware: impl Middleware) -> Self {
        self.layers.push(Layer::around(middleware));
        self
    }

    /// Adds a check before all routes of the group. See [`Route::authorize`]. It covers the same requests as
    /// [`with`](Self::with).
    #[must_use]
    pub fn authorize<E: IntoResponse>(
        mut self,
        check: impl Fn(&Request) -> Result<(), E> + Send + Sync + 'static,
    ) -> Self {
        self.layers.push(Layer::before(check));
        self
    }
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group")
            .field("prefix", &self.prefix)
            .field("routes", &self.routes)
            .finish_non_exhaustive()
    }
}

/// Joins a prefix and a path with one slash. The path `/` in a group is the prefix itself.
fn join(prefix: &str, path: &str) -> String {
    let prefix = prefix.trim_end_matches('/');
    let slash = if prefix.is_empty() || prefix.starts_with('/') { "" } else { "/" };
    let path = if path == "/" && !prefix.is_empty() { "" } else { path };
    let between = if prefix.is_empty() || path.is_empty() || path.starts_with('/') { "" } else { "/" };
    format!("{slash}{prefix}{between}{path}")
}

#[cfg(test)]
mod tests {
    use super::join;

    #[test]
    fn prefixes_join_without_double_slashes() {
        assert_eq!(join("/api", "/x"), "/api/x");
        assert_eq!(join("/api/", "/x"), "/api/x");
        assert_eq!(join("api", "/x"), "/api/x");
        assert_eq!(join("/api", "/"), "/api");
        assert_eq!(join("", "/"), "/");
        assert_eq!(join("/api", "v2/"), "/api/v2/");
    }
}
