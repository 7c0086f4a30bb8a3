//! Looks routes up without a server; for the benchmarks.

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
    /// Compiles the routes as a starting server does. Not part of the API.
    ///
    /// # Errors
    ///
    /// Names the route that is invalid or in conflict.
    #[doc(hidden)]
    pub fn compile(&self) -> Result<Lookup, RouteError> {
        RouteTable::compile(&self.routes, &Metrics::new(1, true)).map(Lookup)
    }
}

impl Lookup {
    /// Returns the path, as it was registered, of the route that serves a method and a path without its query.
    #[doc(hidden)]
    pub fn find(&self, method: &Method, path: &str) -> Option<&str> {
        match self.0.find(method, path) {
            Found::Entry(index, _) => Some(self.0.entry(index).route_metrics.template()),
            _ => None,
        }
    }
}
