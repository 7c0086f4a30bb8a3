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
mod template;
mod view;

use std::sync::Arc;

use http::{HeaderValue, Method};
use windlass_actors::Pool;

use crate::{metrics::RouteMetrics, routing::handler::OnError};

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
    /// Index of the route whose layers surround the server's answers to unmatched paths. `None` if the router
    /// itself has no layers.
    around_all: Option<usize>,
    /// Value of `Allow` for `OPTIONS *`: the methods of all paths.
    allow_all: HeaderValue,
    /// Methods of all routes that have no fixed slot in [`Methods`], such as PROPFIND.
    extension_methods: Vec<Method>,
    /// Number of routes that run on the pool.
    pub(crate) async_routes: usize,
    /// A handler of an inline route submits jobs to the pool.
    pub(crate) uses_pool: bool,
    /// Metrics of requests without a route.
    pub(crate) unmatched: Arc<RouteMetrics>,
    /// Hook that shapes the error responses that the server creates itself.
    pub(crate) on_error: Option<OnError>,
    /// Pool for the async routes and the inline handlers that use it. The registry sets it before it
    /// publishes a table that has any.
    pub(crate) pool: Option<Pool>,
}

/// A path and its routes.
struct CompiledPath {
    methods: Methods,
    /// Value of the `Allow` header.
    allow: HeaderValue,
    /// The last parameter matches the rest of the path.
    has_rest: bool,
    /// Index of the route whose layers surround the server's answers to methods that the path has no route
    /// for. `None` if the routes of the path share no layers.
    around: Option<usize>,
}

/// Path parameters that a lookup found.
pub(crate) struct PathParams<'t, 'p> {
    values: matchit::Params<'t, 'p>,
    /// The last parameter matches the rest of the path.
    pub(crate) has_rest: bool,
}

impl<'p> PathParams<'_, 'p> {
    /// Iterates over the names and the values, as they are in the path that was looked up.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &'p str)> {
        self.values.iter()
    }

    /// Returns `true` if a value is percent-encoded.
    fn are_encoded(&self) -> bool {
        self.values.iter().any(|(_, value)| value.as_bytes().contains(&b'%'))
    }
}

/// Result of a lookup.
pub(crate) enum Found<'t, 'p> {
    /// Index of the route, and the path parameters.
    Route(usize, Option<PathParams<'t, 'p>>),
    /// Index of the handler for unmatched paths.
    NotFoundHandler(usize),
    /// No route serves the request.
    Unserved(Unserved<'t>),
}

/// A request that no route serves.
pub(crate) struct Unserved<'t> {
    pub(crate) reason: Reason<'t>,
    /// Index of the route whose layers surround the answer. `None` if no layers do.
    pub(crate) around: Option<usize>,
}

/// Reason why no route serves a request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reason<'t> {
    /// The path is unknown.
    NotFound,
    /// The path has no route for the method. The value is for the `Allow` header.
    NotAllowed(&'t HeaderValue),
    /// An OPTIONS request for a path without an OPTIONS route. The value is for the `Allow` header.
    Options(&'t HeaderValue),
    /// The method is not one of RFC 9110, not PATCH, and no route has it.
    UnknownMethod,
    /// The request asks for a tunnel (CONNECT). A lookup does not return this reason.
    Tunnel,
}

impl Found<'_, '_> {
    /// Returns `true` if the path must be [normalized](crate::proto::percent::normalized) and looked up
    /// again: an encoded byte of it may stand for a plain one.
    pub(crate) fn may_change(&self, path: &str) -> bool {
        match self {
            Self::Route(_, None) => false,
            // The path outside the parameters equals the route's template, which is normalized.
            Self::Route(_, Some(params)) => params.are_encoded(),
            Self::NotFoundHandler(_) | Self::Unserved(_) => path.contains('%'),
        }
    }
}

impl RouteTable {
    /// Looks up a method and a path. The path must not include the query.
    pub(crate) fn find<'t, 'p>(&'t self, method: &Method, path: &'p str) -> Found<'t, 'p> {
        let (path, params) = match self.exact.find(path.as_bytes()) {
            Some(index) => (&self.paths[index], None),
            None => match self.patterns.at(path) {
                Ok(found) => {
                    let path = &self.paths[*found.value];
                    (path, Some(PathParams { values: found.params, has_rest: path.has_rest }))
                }
                Err(_) => return self.unmatched(method),
            },
        };
        match path.methods.find(method) {
            Some(route) => Found::Route(route, params),
            None => Found::Unserved(Unserved { reason: self.refusal(method, path), around: path.around }),
        }
    }

    /// Returns the result for a path that no route matches: the handler for unmatched paths, or else 404 or
    /// 501.
    #[cold]
    fn unmatched<'t>(&'t self, method: &Method) -> Found<'t, 'static> {
        match self.not_found {
            Some(handler) => Found::NotFoundHandler(handler),
            None if !self.knows(method) => self.unserved(Reason::UnknownMethod),
            None => self.unserved(Reason::NotFound),
        }
    }

    /// Returns the reason why no route of a path serves a method.
    #[cold]
    fn refusal<'t>(&self, method: &Method, path: &'t CompiledPath) -> Reason<'t> {
        match *method {
            Method::OPTIONS => Reason::Options(&path.allow),
            _ if self.knows(method) => Reason::NotAllowed(&path.allow),
            _ => Reason::UnknownMethod,
        }
    }

    /// Returns the result for `OPTIONS *`.
    pub(crate) fn options_for_all(&self) -> Found<'_, 'static> {
        self.unserved(Reason::Options(&self.allow_all))
    }

    /// Returns the result for a request that no route serves because of this reason, with the router's layers
    /// around the answer.
    pub(crate) fn unserved<'t>(&'t self, reason: Reason<'t>) -> Found<'t, 'static> {
        Found::Unserved(Unserved { reason, around: self.around_all })
    }

    /// Returns `true` for the methods of RFC 9110, for PATCH, and for those that a route has.
    fn knows(&self, method: &Method) -> bool {
        Methods::has_slot(method)
            || matches!(*method, Method::TRACE | Method::CONNECT)
            || self.extension_methods.contains(method)
    }

    /// Returns a route by its index.
    pub(crate) fn route(&self, index: usize) -> &CompiledRoute {
        &self.routes[index]
    }
}
