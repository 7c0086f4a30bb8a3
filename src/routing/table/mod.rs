//! The route table: an immutable snapshot that answers which route a request means.

mod exact;
mod methods;

use std::{collections::HashMap, fmt, sync::Arc};

use http::{HeaderValue, Method};
use windlass_actors::Pool;

use crate::{
    metrics::{Metrics, RouteMetrics, UNMATCHED},
    proto::h1::Image,
    request::Context,
    routing::{
        handler::{Chain, Kind, Layer},
        route::{Action, BELOW, BodyMode, Dispatch, Reach, Route, Shed, StaticResponse},
    },
};

use exact::Exact;
use methods::Methods;

/// Everything a table is compiled from; owned by the router actor.
#[derive(Clone, Default)]
pub(crate) struct Routes {
    pub(crate) list: Vec<Route>,
    pub(crate) layers: Vec<Layer>,
    pub(crate) default_dispatch: Dispatch,
    pub(crate) not_found: Option<Route>,
}

/// A compiled route.
pub(crate) struct Entry {
    pub(crate) route_metrics: Arc<RouteMetrics>,
    pub(crate) body: BodyMode,
    pub(crate) run: Run,
    pub(crate) shed: Shed,
}

/// What a compiled route runs.
pub(crate) enum Run {
    /// The wire image, and the same for where no image can be used.
    Static(Image, Arc<StaticResponse>),
    Chain(Chain, Dispatch),
}

impl Entry {
    pub(crate) fn dispatch(&self) -> Dispatch {
        match &self.run {
            Run::Static(..) => Dispatch::Inline,
            Run::Chain(_, dispatch) => *dispatch,
        }
    }
}

/// One path and the routes of its methods.
struct PathEntry {
    methods: Methods,
    allow: HeaderValue,
}

/// An immutable route table.
pub(crate) struct RouteTable {
    exact: Exact,
    patterns: matchit::Router<usize>,
    paths: Vec<PathEntry>,
    entries: Vec<Entry>,
    /// Index of the custom 404 in `entries`.
    not_found: Option<usize>,
    /// Every method any path knows, for `OPTIONS *`.
    allow_all: HeaderValue,
    pub(crate) async_routes: usize,
    pub(crate) unmatched: Arc<RouteMetrics>,
    /// There as soon as one route is async.
    pub(crate) pool: Option<Pool>,
}

/// What a lookup gave.
pub(crate) enum Found<'t, 'p> {
    /// This entry serves it.
    Entry(usize, Option<matchit::Params<'t, 'p>>),
    /// The path is known, the method is not; `Allow` lists what is.
    NotAllowed(&'t HeaderValue),
    /// An OPTIONS request that no route answers by itself.
    Options(&'t HeaderValue),
    /// No such path.
    Nothing,
}

impl RouteTable {
    /// Compiles a table.
    ///
    /// # Errors
    ///
    /// Names the route that is invalid or in conflict.
    pub(crate) fn compile(routes: &Routes, metrics: &Metrics) -> Result<Self, RouteError> {
        let mut table = Self {
            exact: Exact::default(),
            patterns: matchit::Router::new(),
            paths: Vec::new(),
            entries: Vec::new(),
            not_found: None,
            allow_all: HeaderValue::from_static("OPTIONS"),
            async_routes: 0,
            unmatched: metrics.route(UNMATCHED, "(any)"),
            pool: None,
        };
        let mut known = HashMap::new();
        for route in &routes.list {
            let entry = table.add_entry(routes, route, metrics.route(&route.path, route.method_name()))?;
            for template in templates(route) {
                let path = match known.get(&template) {
                    Some(path) => *path,
                    None => table.add_path(route, &template)?,
                };
                known.insert(template, path);
                if !table.paths[path].methods.insert(route.method.as_ref(), entry) {
                    return Err(RouteError::new(route, "is registered twice"));
                }
            }
        }
        if let Some(route) = &routes.not_found {
            let route_metrics = table.unmatched.clone();
            table.not_found = Some(table.add_entry(routes, route, route_metrics)?);
        }
        table.finish();
        Ok(table)
    }

    fn add_path(&mut self, route: &Route, template: &str) -> Result<usize, RouteError> {
        if !template.starts_with('/') {
            return Err(RouteError::new(route, "must begin with '/'"));
        }
        if !template.bytes().all(|b| b.is_ascii_graphic() && b != b'?' && b != b'#') {
            return Err(RouteError::new(
                route,
                "must be visible ASCII without '?' and '#'; percent-encode the rest",
            ));
        }
        let index = self.paths.len();
        if template.contains(['{', '}']) {
            self.patterns.insert(template, index).map_err(|e| RouteError::new(route, &e.to_string()))?;
        } else {
            self.exact.insert(template, index);
        }
        self.paths
            .push(PathEntry { methods: Methods::default(), allow: HeaderValue::from_static("OPTIONS") });
        Ok(index)
    }

    fn add_entry(
        &mut self,
        routes: &Routes,
        route: &Route,
        route_metrics: Arc<RouteMetrics>,
    ) -> Result<usize, RouteError> {
        let layers: Vec<Layer> = routes.layers.iter().chain(&route.layers).cloned().collect();
        let dispatch = route.dispatch.unwrap_or(routes.default_dispatch);
        let run = match &route.action {
            Action::Static(fixed) if layers.is_empty() => {
                let fields: Vec<_> = fixed.fields.iter().collect();
                Run::Static(Image::new(fixed.status, fields, fixed.body.clone()), fixed.clone())
            }
            Action::Static(fixed) => {
                Run::Chain(Chain { layers, handler: fixed.as_handler() }, Dispatch::Inline)
            }
            Action::Run(handler) if dispatch == Dispatch::Inline && handler.kind() == Kind::Tokio => {
                return Err(RouteError::new(route, "needs tokio, so it cannot run inline"));
            }
            Action::Run(handler) if dispatch == Dispatch::Async && handler.kind() == Kind::Shard => {
                return Err(RouteError::new(
                    route,
                    "lives on its connection's shard, as WebSockets and event streams do: it cannot be async",
                ));
            }
            Action::Run(handler) => Run::Chain(Chain { layers, handler: handler.clone() }, dispatch),
        };
        let shed = match (&run, route.shed) {
            (Run::Chain(_, Dispatch::Async), Shed::Last) => Shed::First,
            (_, shed) => shed,
        };
        self.entries.push(Entry { route_metrics, body: route.body, run, shed });
        Ok(self.entries.len() - 1)
    }

    fn finish(&mut self) {
        self.exact.sort();
        let mut all = Vec::new();
        for path in &mut self.paths {
            let names = path.methods.allowed();
            path.allow = allow_header(&names);
            all.extend(names);
        }
        all.sort_unstable();
        all.dedup();
        if !all.is_empty() {
            self.allow_all = allow_header(&all);
        }
        self.async_routes = self.entries.iter().filter(|e| e.dispatch() == Dispatch::Async).count();
    }

    /// Finds what serves this method and path (without its query).
    pub(crate) fn find<'t, 'p>(&'t self, method: &Method, path: &'p str) -> Found<'t, 'p> {
        let (path, params) = match self.exact.find(path.as_bytes()) {
            Some(index) => (&self.paths[index], None),
            None => match self.patterns.at(path) {
                Ok(found) => (&self.paths[*found.value], Some(found.params)),
                Err(_) => return self.not_found.map_or(Found::Nothing, |entry| Found::Entry(entry, None)),
            },
        };
        match path.methods.find(method) {
            Some(entry) => Found::Entry(entry, params),
            None if *method == Method::OPTIONS => Found::Options(&path.allow),
            None => Found::NotAllowed(&path.allow),
        }
    }

    /// Answers what `OPTIONS *` allows.
    pub(crate) fn allow_all(&self) -> &HeaderValue {
        &self.allow_all
    }

    pub(crate) fn entry(&self, index: usize) -> &Entry {
        &self.entries[index]
    }
}

/// Returns the templates of the paths a route serves.
fn templates(route: &Route) -> Vec<String> {
    let path = route.path.clone();
    match (route.reach, path.strip_suffix('/').unwrap_or(&path)) {
        (Reach::Path, _) => vec![path],
        // A catch-all matches one byte at least.
        (Reach::Below, "") => vec!["/".to_owned(), format!("/{{*{BELOW}}}")],
        (Reach::Below, top) => vec![top.to_owned(), format!("{top}/"), format!("{top}/{{*{BELOW}}}")],
    }
}

fn allow_header(names: &[String]) -> HeaderValue {
    HeaderValue::from_str(&names.join(", ")).unwrap_or_else(|_| HeaderValue::from_static("OPTIONS"))
}

/// A shard's own view of a table: what requests hold on to, on cache lines no other shard writes.
pub(crate) struct View {
    pub(crate) table: Arc<RouteTable>,
    pub(crate) context: Arc<Context>,
    /// By entry; `None` for static ones.
    chains: Vec<Option<Arc<Chain>>>,
}

impl View {
    pub(crate) fn new(table: Arc<RouteTable>, context: Arc<Context>) -> Arc<Self> {
        let own = |entry: &Entry| match &entry.run {
            Run::Static(..) => None,
            Run::Chain(chain, _) => Some(Arc::new(chain.clone())),
        };
        let chains = table.entries.iter().map(own).collect();
        Arc::new(Self { table, context, chains })
    }

    pub(crate) fn chain(&self, entry: usize) -> Option<&Arc<Chain>> {
        self.chains.get(entry)?.as_ref()
    }
}

/// A route that cannot be in the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteError {
    route: String,
    problem: String,
}

impl RouteError {
    pub(crate) fn new(route: &Route, problem: &str) -> Self {
        Self { route: format!("{} {}", route.method_name(), route.path), problem: problem.to_owned() }
    }
}

impl fmt::Display for RouteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the route {} {}", self.route, self.problem)
    }
}

impl std::error::Error for RouteError {}
