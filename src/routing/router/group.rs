//! Groups of routes.

use std::fmt;

use crate::{
    request::Request,
    response::IntoResponse,
    routing::{
        handler::{Layer, Middleware},
        route::{Dispatch, Route},
    },
};

/// A group of routes that share a path prefix, a dispatch and middleware.
///
/// A setting applies to the routes and groups that are added after it.
#[derive(Default)]
pub struct Group {
    prefix: String,
    dispatch: Option<Dispatch>,
    layers: Vec<Layer>,
    routes: Vec<Route>,
}

impl Group {
    pub(super) fn with_prefix(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned(), ..Self::default() }
    }

    pub(crate) fn into_routes(self) -> Vec<Route> {
        self.routes
    }

    /// Adds a route. Its path is appended to the group's prefix.
    #[must_use]
    pub fn route(mut self, mut route: Route) -> Self {
        route.path = join(&self.prefix, &route.path);
        route.dispatch = route.dispatch.or(self.dispatch);
        route.layers.splice(0..0, self.layers.iter().cloned());
        self.routes.push(route);
        self
    }

    /// Adds a group inside this one, which inherits the current settings. The closure adds its routes.
    #[must_use]
    pub fn group(mut self, prefix: &str, fill: impl FnOnce(Group) -> Group) -> Self {
        let prefix = join(&self.prefix, prefix);
        let (dispatch, layers) = (self.dispatch, self.layers.clone());
        let group = Group { prefix, dispatch, layers, routes: Vec::new() };
        self.routes.extend(fill(group).routes);
        self
    }

    /// Sets inline as the default dispatch of the routes added after this call.
    #[must_use]
    pub fn run_inline(self) -> Self {
        Self { dispatch: Some(Dispatch::Inline), ..self }
    }

    /// Sets async as the default dispatch of the routes added after this call.
    #[must_use]
    pub fn run_async(self) -> Self {
        Self { dispatch: Some(Dispatch::Async), ..self }
    }

    /// Adds middleware around the routes added after this call, inside the middleware that was added before.
    #[must_use]
    pub fn with(mut self, middleware: impl Middleware) -> Self {
        self.layers.push(Layer::around(middleware));
        self
    }

    /// Adds a check before the routes added after this call. See [`Route::authorize`].
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
