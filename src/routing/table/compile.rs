//! Compilation of routes to a table.

use std::{collections::HashMap, sync::Arc};

use http::{Extensions, HeaderValue, StatusCode};

use super::{
    CompiledPath, CompiledRoute, RouteAction, RouteError, RouteTable, Scope, compiled::Images,
    exact::ExactPaths, methods::Methods, template,
};
use crate::{
    metrics::{Metrics, RouteMetrics, UNMATCHED},
    request::Request,
    response::Response,
    routing::{
        handler::{CallSite, Chain, ErasedHandler, HandlerKind, Layer, OnError, erase},
        route::{Action, BodyMode, Dispatch, PathScope, Route, SUBTREE_PARAM, Shed},
    },
};

/// The input of a route table. A [`Router`](crate::Router) collects it, and the route registry of a running
/// server keeps it.
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
    /// Hook that shapes the error responses that the server creates itself.
    pub(crate) on_error: Option<OnError>,
}

impl RouteSet {
    /// Adds the routes of another set. See [`Router::merge`](crate::Router::merge).
    pub(crate) fn merge(&mut self, other: Self) {
        let Self { mut list, mut scopes, layers, default_dispatch, mut state, mut not_found, on_error } =
            other;
        for route in list.iter_mut().chain(&mut not_found) {
            route.layers.splice(0..0, layers.iter().cloned());
            // Inline is no choice of `other`: it is what a router without a choice has.
            if default_dispatch != Dispatch::default() {
                route.dispatch = route.dispatch.or(Some(default_dispatch));
            }
        }
        scopes.iter_mut().for_each(|scope| drop(scope.layers.splice(0..0, layers.iter().cloned())));
        state.extend(std::mem::take(&mut self.state));
        self.list.extend(list);
        self.scopes.extend(scopes);
        self.state = state;
        self.not_found = self.not_found.take().or(not_found);
        self.on_error = self.on_error.take().or(on_error);
    }
}

impl RouteTable {
    /// Compiles a table, without the pool for its async routes.
    ///
    /// # Errors
    ///
    /// A route is invalid, conflicts with another one, cannot run with its dispatch, or needs a state that
    /// the router lacks.
    pub(crate) fn compile(set: &RouteSet, metrics: &Metrics) -> Result<Self, RouteError> {
        let mut table = Self {
            exact: ExactPaths::default(),
            patterns: matchit::Router::new(),
            paths: Vec::new(),
            routes: Vec::new(),
            not_found: None,
            around_all: None,
            allow_all: HeaderValue::from_static("OPTIONS"),
            extension_methods: Vec::new(),
            async_routes: 0,
            uses_pool: false,
            unmatched: metrics.route(UNMATCHED, "(any)"),
            on_error: set.on_error.clone(),
            pool: None,
        };
        let mut known = HashMap::new();
        let is_fallback = |route: &&Route| route.scope == PathScope::Fallback;
        for route in set.list.iter().filter(|route| !is_fallback(route)) {
            let index = table.add_route(set, route, metrics.route(&route.path, route.method_name()))?;
            table.add_paths(route, index, &mut known)?;
        }
        for route in set.list.iter().filter(is_fallback) {
            let route_metrics = table.unmatched.clone();
            let index = table.add_route(set, route, route_metrics)?;
            table.add_paths(route, index, &mut known)?;
        }
        if let Some(route) = &set.not_found {
            let route_metrics = table.unmatched.clone();
            table.not_found = Some(table.add_route(set, route, route_metrics)?);
        }
        table.finish(set);
        Ok(table)
    }

    /// Adds a route to the paths that it serves. `known` are the templates of all paths so far.
    fn add_paths(
        &mut self,
        route: &Route,
        index: usize,
        known: &mut HashMap<String, usize>,
    ) -> Result<(), RouteError> {
        for template in templates(route) {
            let template = template::checked(&template).map_err(|problem| RouteError::new(route, problem))?;
            let path = match known.get(&template) {
                Some(_) if route.scope == PathScope::Fallback => continue,
                Some(path) => *path,
                None => self.add_path(route, &template, known)?,
            };
            known.insert(template, path);
            if !self.paths[path].methods.insert(route.method.as_ref(), index) {
                return Err(RouteError::new(route, "a route with this method and path exists already"));
            }
        }
        Ok(())
    }

    /// Adds a path without routes and returns its index. `route` and `known`, the templates of the other
    /// paths, are for the error text.
    fn add_path(
        &mut self,
        route: &Route,
        template: &str,
        known: &HashMap<String, usize>,
    ) -> Result<usize, RouteError> {
        let index = self.paths.len();
        if template.contains(['{', '}']) {
            let inserted = self.patterns.insert(template, index);
            inserted.map_err(|error| {
                let others = known.keys().map(String::as_str);
                RouteError::new(route, template::problem(template, &error, others))
            })?;
        } else {
            self.exact.insert(template, index);
        }
        self.paths.push(CompiledPath {
            methods: Methods::default(),
            allow: HeaderValue::from_static("OPTIONS"),
            has_rest: template.contains("/{*"),
            around: None,
        });
        Ok(index)
    }

    /// Adds a compiled route and returns its index.
    fn add_route(
        &mut self,
        set: &RouteSet,
        route: &Route,
        route_metrics: Arc<RouteMetrics>,
    ) -> Result<usize, RouteError> {
        let mut layers: Vec<Layer> = set.layers.iter().chain(&route.layers).cloned().collect();
        layers.sort_by_key(|layer| !layer.is_outermost());
        let dispatch = route.dispatch.unwrap_or(set.default_dispatch);
        let action = match &route.action {
            Action::Static(fixed) if layers.is_empty() => {
                RouteAction::Static(Images::new(fixed), fixed.clone())
            }
            Action::Static(fixed) => {
                let dispatch = Dispatch::Inline;
                RouteAction::Chain(self.chain(layers, fixed.as_handler(), &route_metrics, dispatch), dispatch)
            }
            Action::Handler(handler) => {
                check_dispatch(route, handler.kind(), dispatch)?;
                check_state(route, handler.as_ref(), &set.state)?;
                if let Some(problem) = handler.problem() {
                    return Err(RouteError::new(route, problem.to_owned()));
                }
                self.uses_pool |= handler.uses_pool();
                RouteAction::Chain(self.chain(layers, handler.clone(), &route_metrics, dispatch), dispatch)
            }
        };
        let shed = match (&action, route.shed) {
            (RouteAction::Chain(_, Dispatch::Async), Shed::Last) => Shed::First,
            (_, shed) => shed,
        };
        self.routes.push(CompiledRoute { route_metrics, body: route.body, action, shed });
        Ok(self.routes.len() - 1)
    }

    fn chain(
        &self,
        layers: Vec<Layer>,
        handler: Arc<dyn ErasedHandler>,
        route_metrics: &Arc<RouteMetrics>,
        dispatch: Dispatch,
    ) -> Chain {
        let remedy = match (dispatch, handler.kind()) {
            (Dispatch::Inline, HandlerKind::Shard) => {
                "only the pool has a tokio runtime: move this code to an async route of its own"
            }
            (Dispatch::Inline, _) => {
                "only the pool has a tokio runtime: make the route async with `run_async`"
            }
            (Dispatch::Async, _) => {
                "make the handler an `async fn`: a plain `fn` runs on a thread without tokio"
            }
        };
        let site = CallSite::new(route_metrics.clone(), remedy, self.on_error.clone());
        Chain { layers, handler, site }
    }

    /// Adds a route that runs `layers` around an answer of the server to a request that no route serves, and
    /// returns its index. Returns `None` without layers. `routes` are the routes that have these layers.
    ///
    /// If all of `routes` run on the pool, so do the layers around the answer, because they may need tokio.
    fn add_surrounding(&mut self, layers: &[Layer], routes: &[usize]) -> Option<usize> {
        if layers.is_empty() {
            return None;
        }
        let is_async = |route: &usize| self.routes[*route].dispatch() == Dispatch::Async;
        let all_async = !routes.is_empty() && routes.iter().all(is_async);
        let dispatch = if all_async { Dispatch::Async } else { Dispatch::Inline };
        let handler = erase(|_: Request| Response::status_only(StatusCode::NOT_FOUND));
        let chain = self.chain(layers.to_vec(), handler, &self.unmatched, dispatch);
        self.routes.push(CompiledRoute {
            route_metrics: self.unmatched.clone(),
            body: BodyMode::Whole(None),
            action: RouteAction::Chain(chain, dispatch),
            shed: Shed::Never,
        });
        Some(self.routes.len() - 1)
    }

    fn finish(&mut self, set: &RouteSet) {
        self.async_routes = self.routes.iter().filter(|route| route.dispatch() == Dispatch::Async).count();
        self.exact.sort();
        let everything: Vec<_> = (0..self.routes.len()).collect();
        self.around_all = self.add_surrounding(&set.layers, &everything);
        let mut all = Vec::new();
        for index in 0..self.paths.len() {
            let routes: Vec<_> = self.paths[index].methods.routes().collect();
            let layers = self.common_layers(&routes);
            let around = if layers.len() == set.layers.len() { self.around_all } else { None };
            let around = around.or_else(|| self.add_surrounding(&layers, &routes));
            let path = &mut self.paths[index];
            path.around = around;
            self.extension_methods.extend(path.methods.others().cloned());
            let methods = path.methods.allowed();
            path.allow = allow_header(&methods);
            all.extend(methods);
        }
        all.sort_unstable();
        all.dedup();
        if !all.is_empty() {
            self.allow_all = allow_header(&all);
        }
    }

    /// Returns the outer layers that all these routes share.
    fn common_layers(&self, routes: &[usize]) -> Vec<Layer> {
        let layers = |route: &usize| match &self.routes[*route].action {
            RouteAction::Static(..) => &[],
            RouteAction::Chain(chain, _) => chain.layers.as_slice(),
        };
        let Some((first, others)) = routes.split_first() else { return Vec::new() };
        let mut common = layers(first);
        for other in others {
            let is_same = |(one, other): &(&Layer, &Layer)| one.is_same(other);
            let length = common.iter().zip(layers(other)).take_while(is_same).count();
            common = &common[..length];
        }
        common.to_vec()
    }
}

/// Returns an error if a handler of this kind cannot run with this dispatch.
fn check_dispatch(route: &Route, kind: HandlerKind, dispatch: Dispatch) -> Result<(), RouteError> {
    match (kind, dispatch) {
        (HandlerKind::Tokio, Dispatch::Inline) => Err(RouteError::new(
            route,
            "its service needs a tokio runtime, so the route cannot run inline: use `run_async`",
        )),
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
        (PathScope::Subtree | PathScope::Fallback, "") => {
            vec!["/".to_owned(), format!("/{{*{SUBTREE_PARAM}}}")]
        }
        (PathScope::Subtree | PathScope::Fallback, top) => {
            vec![top.to_owned(), format!("{top}/"), format!("{top}/{{*{SUBTREE_PARAM}}}")]
        }
    }
}

fn allow_header(methods: &[String]) -> HeaderValue {
    HeaderValue::from_str(&methods.join(", ")).unwrap_or_else(|_| HeaderValue::from_static("OPTIONS"))
}
