//! The route table: an immutable map from method and path to a route.
//!
//! The router actor compiles a new table for each change and publishes it. A request keeps the table in which
//! it was looked up.

mod compile;
mod compiled;
mod error;
mod exact;
mod methods;
mod scope;
mod view;

use std::sync::Arc;

use http::{HeaderValue, Method};
use windlass_actors::Pool;

use crate::metrics::RouteMetrics;

pub(crate) use compile::RouteSet;
pub(crate) use compiled::{CompiledRoute, RouteAction};
pub use error::RouteError;
use exact::ExactPaths;
use methods::Methods;
pub(crate) use scope::{Scope, enter};
pub(crate) use view::TableView;

/// A route table.
pub(crate) struct RouteTable {
    /// Paths without parameters. They take precedence over patterns.
    exact: ExactPaths,
    /// Paths with parameters.
    patterns: matchit::Router<usize>,
    paths: Vec<CompiledPath>,
    routes: Vec<CompiledRoute>,
    /// Index of the route for unmatched paths.
    not_found: Option<usize>,
    /// Value of `Allow` for `OPTIONS *`: the methods of all paths.
    allow_all: HeaderValue,
    pub(crate) async_routes: usize,
    /// Metrics of requests without a route.
    pub(crate) unmatched: Arc<RouteMetrics>,
    /// Present if the table has an async route.
    pub(crate) pool: Option<Pool>,
}

/// A path and its routes.
struct CompiledPath {
    methods: Methods,
    /// Value of the `Allow` header.
    allow: HeaderValue,
}

/// Result of a lookup.
pub(crate) enum Found<'t, 'p> {
    /// Index of the route, and the path parameters.
    Route(usize, Option<matchit::Params<'t, 'p>>),
    /// The path has no route for the method. The value is for the `Allow` header.
    NotAllowed(&'t HeaderValue),
    /// An OPTIONS request for a path without an OPTIONS route. The value is for the `Allow` header.
    Options(&'t HeaderValue),
    /// The path is unknown.
    Nothing,
}

impl RouteTable {
    /// Looks up a method and a path. The path must not include the query.
    pub(crate) fn find<'t, 'p>(&'t self, method: &Method, path: &'p str) -> Found<'t, 'p> {
        let (path, params) = match self.exact.find(path.as_bytes()) {
            Some(index) => (&self.paths[index], None),
            None => match self.patterns.at(path) {
                Ok(found) => (&self.paths[*found.value], Some(found.params)),
                Err(_) => return self.not_found.map_or(Found::Nothing, |route| Found::Route(route, None)),
            },
        };
        match path.methods.find(method) {
            Some(route) => Found::Route(route, params),
            None if *method == Method::OPTIONS => Found::Options(&path.allow),
            None => Found::NotAllowed(&path.allow),
        }
    }

    /// Returns the value of `Allow` for `OPTIONS *`.
    pub(crate) fn allow_all(&self) -> &HeaderValue {
        &self.allow_all
    }

    /// Returns a route by its index.
    pub(crate) fn route(&self, index: usize) -> &CompiledRoute {
        &self.routes[index]
    }
}
