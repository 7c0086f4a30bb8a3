//! Compilation of routes to a table.

use std::{collections::HashMap, sync::Arc};

use http::{Extensions, HeaderValue};

use super::{
    CompiledPath, CompiledRoute, RouteAction, RouteError, RouteTable, Scope, compiled::Images,
    exact::ExactPaths, methods::Methods,
};
use crate::{
    metrics::{Metrics, RouteMetrics, UNMATCHED},
    routing::{
        handler::{Chain, ErasedHandler, HandlerKind, Layer},
        route::{Action, Dispatch, PathScope, Route, SUBTREE_PARAM, Shed},
    },
};

/// The input of a route table. The router actor owns it.
#[derive(Clone, Default)]
pub(crate) struct RouteSet {
    pub(crate) list: Vec<Route>,
    /// The groups of the routes, for routes that are added later.
    pub(crate) scopes: Vec<Scope>,
    /// Middleware around every route.
    pub(crate) layers: Vec<Layer>,
    pub(crate) default_dispatch: Dispatch,
    /// Values that handlers may require.
    pub(crate) state: Extensions,
    /// The handler for paths without a route.
    pub(crate) not_found: Option<Route>,
}

impl RouteTable {
    /// Compiles a table.
    ///
    /// # Errors
    ///
    /// A route is invalid or conflicts with another one.
    pub(crate) fn compile(set: &RouteSet, metrics: &Metrics) -> Result<Self, RouteError> {
        let mut table = Self {
            exact: ExactPaths::default(),
            patterns: matchit::Router::new(),
            paths: Vec::new(),
            routes: Vec::new(),
            not_found: None,
            allow_all: HeaderValue::from_static("OPTIONS"),
            async_routes: 0,
            unmatched: metrics.route(UNMATCHED, "(any)"),
            pool: None,
        };
        let mut known = HashMap::new();
        for route in &set.list {
            let index = table.add_route(set, route, metrics.route(&route.path, route.method_name()))?;
            for template in templates(route) {
                let path = match known.get(&template) {
                    Some(path) => *path,
                    None => table.add_path(route, &template)?,
                };
                known.insert(template, path);
                if !table.paths[path].methods.insert(route.method.as_ref(), index) {
                    return Err(RouteError::new(route, "it is registered twice"));
                }
            }
        }
        if let Some(route) = &set.not_found {
            let route_metrics = table.unmatched.clone();
            table.not_found = Some(table.add_route(set, route, route_metrics)?);
        }
        table.finish();
        Ok(table)
    }

    /// Adds a path and returns its index.
    fn add_path(&mut self, route: &Route, template: &str) -> Result<usize, RouteError> {
        if !template.starts_with('/') {
            return Err(RouteError::new(route, "the path must begin with '/'"));
        }
        if !template.bytes().all(|b| b.is_ascii_graphic() && b != b'?' && b != b'#') {
            let problem =
                "the path must be visible ASCII without '?' and '#'; percent-encode other characters";
            return Err(RouteError::new(route, problem));
        }
        let index = self.paths.len();
        if template.contains(['{', '}']) {
            self.patterns
                .insert(template, index)
                .map_err(|error| RouteError::new(route, error.to_string()))?;
        } else {
            self.exact.insert(template, index);
        }
        self.paths
            .push(CompiledPath { methods: Methods::default(), allow: HeaderValue::from_static("OPTIONS") });
        Ok(index)
    }

    /// Adds a compiled route and returns its index.
    fn add_route(
        &mut self,
        set: &RouteSet,
        route: &Route,
        route_metrics: Arc<RouteMetrics>,
    ) -> Result<usize, RouteError> {
        let layers: Vec<Layer> = set.layers.iter().chain(&route.layers).cloned().collect();
        let dispatch = route.dispatch.unwrap_or(set.default_dispatch);
        let action = match &route.action {
            Action::Static(fixed) if layers.is_empty() => {
                RouteAction::Static(Images::new(fixed), fixed.clone())
            }
            Action::Static(fixed) => {
                RouteAction::Chain(Chain { layers, handler: fixed.as_handler() }, Dispatch::Inline)
            }
            Action::Handler(handler) => {
                check_dispatch(route, handler.kind(), dispatch)?;
                check_state(route, handler.as_ref(), &set.state)?;
                RouteAction::Chain(Chain { layers, handler: handler.clone() }, dispatch)
            }
        };
        let shed = match (&action, route.shed) {
            (RouteAction::Chain(_, Dispatch::Async), Shed::Last) => Shed::First,
            (_, shed) => shed,
        };
        self.routes.push(CompiledRoute { route_metrics, body: route.body, action, shed });
        Ok(self.routes.len() - 1)
    }

    fn finish(&mut self) {
        self.exact.sort();
        let mut all = Vec::new();
        for path in &mut self.paths {
            let methods = path.methods.allowed();
            path.allow = allow_header(&methods);
            all.extend(methods);
        }
        all.sort_unstable();
        all.dedup();
        if !all.is_empty() {
            self.allow_all = allow_header(&all);
        }
        self.async_routes = self.routes.iter().filter(|route| route.dispatch() == Dispatch::Async).count();
    }
}

/// Returns an error if a handler of this kind cannot run there.
fn check_dispatch(route: &Route, kind: HandlerKind, dispatch: Dispatch) -> Result<(), RouteError> {
    match (kind, dispatch) {
        (HandlerKind::Tokio, Dispatch::Inline) => {
            Err(RouteError::new(route, "its service needs a tokio runtime, so it cannot run inline"))
        }
        (HandlerKind::Shard, Dispatch::Async) => Err(RouteError::new(
            route,
            "WebSockets and event streams run on their connection's shard, so the route cannot be async",
        )),
        _ => Ok(()),
    }
}

/// Returns an error if a handler needs a state that the router does not have.
fn check_state(route: &Route, handler: &dyn ErasedHandler, state: &Extensions) -> Result<(), RouteError> {
    let required = handler.required_state();
    match required.iter().find(|required| !required.is_in(state)) {
        None => Ok(()),
        Some(missing) => {
            let name = missing.type_name();
            let problem = format!("its handler takes State<{name}>; add the value with Router::state");
            Err(RouteError::new(route, problem))
        }
    }
}

/// Returns the path templates that a route serves.
fn templates(route: &Route) -> Vec<String> {
    let path = route.path.clone();
    match (route.scope, path.strip_suffix('/').unwrap_or(&path)) {
        (PathScope::Path, _) => vec![path],
        // A catch-all parameter does not match the empty string.
        (PathScope::Subtree, "") => vec!["/".to_owned(), format!("/{{*{SUBTREE_PARAM}}}")],
        (PathScope::Subtree, top) => {
            vec![top.to_owned(), format!("{top}/"), format!("{top}/{{*{SUBTREE_PARAM}}}")]
        }
    }
}

fn allow_header(methods: &[String]) -> HeaderValue {
    HeaderValue::from_str(&methods.join(", ")).unwrap_or_else(|_| HeaderValue::from_static("OPTIONS"))
}
