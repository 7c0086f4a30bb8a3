//! Route lookups without a server, for the benchmarks.

use http::Method;

use super::Router;
use crate::{
    metrics::Metrics,
    routing::table::{Found, RouteError, RouteTable},
};

/// A compiled route table.
#[doc(hidden)]
pub struct Lookup(RouteTable);

impl Router {
    /// Compiles the routes like a starting server. Not part of the public API.
    ///
    /// # Errors
    ///
    /// A route is invalid or conflicts with another one.
    #[doc(hidden)]
    pub fn compile(&self) -> Result<Lookup, RouteError> {
        RouteTable::compile(&self.routes, &Metrics::new(1, true)).map(Lookup)
    }
}

impl Lookup {
    /// Returns the path template of the route that serves a method and a path, or `(unmatched)` for the
    /// handler of unmatched paths. Returns `None` if neither serves it. The path must not include the query.
    #[doc(hidden)]
    pub fn find(&self, method: &Method, path: &str) -> Option<&str> {
        match self.0.find(method, path) {
            Found::Route(index, _) | Found::NotFoundHandler(index) => {
                Some(self.0.route(index).route_metrics.template())
            }
            _ => None,
        }
    }
}
