//! The router actor: owns the routes of a running server, compiles each change and publishes the new table.

use std::{
    fmt,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use http::Method;
use windlass_actors::{Actor, Addr, Context, Flow, Pool, Publisher, Reply, error::AskError};

use crate::{
    metrics::Metrics,
    routing::{
        route::{Dispatch, Route},
        table::{RouteError, RouteTable, Routes},
    },
};

/// How long a change of routes may take before its asker is told so.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(10);

/// What the router actor is told.
pub(crate) enum RouterMsg {
    Add(Box<Route>, Reply<Result<(), RouterError>>),
    Remove(Option<Method>, String, Reply<Result<(), RouterError>>),
    Reflag(Option<Method>, String, Dispatch, Reply<Result<(), RouterError>>),
}

/// Where tables come from; survives a restart of the actor.
pub(crate) struct Source {
    routes: Mutex<Routes>,
    publisher: Publisher<RouteTable>,
    metrics: Arc<Metrics>,
    pool: OnceLock<Pool>,
    start_pool: Box<dyn Fn() -> std::io::Result<Pool> + Send + Sync>,
}

impl Source {
    /// Compiles the first table.
    ///
    /// # Errors
    ///
    /// A route is invalid, or the pool it needs does not start.
    pub(crate) fn new(
        routes: Routes,
        metrics: Arc<Metrics>,
        start_pool: impl Fn() -> std::io::Result<Pool> + Send + Sync + 'static,
    ) -> Result<Arc<Self>, RouterError> {
        let table = RouteTable::compile(&routes, &metrics).map_err(RouterError::Route)?;
        let source = Self {
            routes: Mutex::new(routes),
            publisher: Publisher::new(
                RouteTable::compile(&Routes::default(), &metrics).map_err(RouterError::Route)?,
            ),
            metrics,
            pool: OnceLock::new(),
            start_pool: Box::new(start_pool),
        };
        source.publish(table)?;
        Ok(Arc::new(source))
    }

    /// Returns where tables are published.
    pub(crate) fn publisher(&self) -> &Publisher<RouteTable> {
        &self.publisher
    }

    /// Returns the pool, if an async route ever was in the table.
    pub(crate) fn pool(&self) -> Option<&Pool> {
        self.pool.get()
    }

    /// Adds routes, all or none.
    pub(crate) fn add_all(&self, added: Vec<Route>) -> Result<(), RouterError> {
        self.change(|routes| {
            routes.list.extend(added);
            Ok(())
        })
    }

    /// Applies a change to a copy; keeps and publishes it only if it compiles.
    fn change(&self, change: impl FnOnce(&mut Routes) -> Result<(), RouterError>) -> Result<(), RouterError> {
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        let mut changed = routes.clone();
        change(&mut changed)?;
        self.publish(RouteTable::compile(&changed, &self.metrics).map_err(RouterError::Route)?)?;
        *routes = changed;
        Ok(())
    }

    fn publish(&self, mut table: RouteTable) -> Result<(), RouterError> {
        if table.async_routes > 0 {
            table.pool = Some(self.need_pool()?);
        }
        self.metrics.set_async_routes(table.async_routes);
        self.publisher.publish(table);
        Ok(())
    }

    /// Returns the pool; starts it if nothing has needed it so far.
    ///
    /// # Errors
    ///
    /// Its threads do not start.
    pub(crate) fn need_pool(&self) -> Result<Pool, RouterError> {
        if let Some(pool) = self.pool.get() {
            return Ok(pool.clone());
        }
        let pool = (self.start_pool)().map_err(|error| RouterError::Pool(error.to_string()))?;
        self.metrics.set_pool(pool.clone());
        // Only one thread gets here at a time: the router actor, or before it the starting thread.
        Ok(self.pool.get_or_init(|| pool).clone())
    }
}

/// Owns the routes of a running server.
pub(crate) struct RouterActor {
    source: Arc<Source>,
}

impl RouterActor {
    pub(crate) fn new(source: Arc<Source>) -> Self {
        Self { source }
    }
}

impl Actor for RouterActor {
    type Msg = RouterMsg;

    async fn handle(&mut self, message: RouterMsg, _cx: &mut Context<RouterMsg>) -> Flow {
        match message {
            RouterMsg::Add(route, reply) => reply.send(self.source.change(|routes| {
                routes.list.push(*route);
                Ok(())
            })),
            RouterMsg::Remove(method, path, reply) => reply.send(self.source.change(|routes| {
                let index = position(routes, method.as_ref(), &path)?;
                routes.list.remove(index);
                Ok(())
            })),
            RouterMsg::Reflag(method, path, dispatch, reply) => reply.send(self.source.change(|routes| {
                let index = position(routes, method.as_ref(), &path)?;
                routes.list[index].dispatch = Some(dispatch);
                Ok(())
            })),
        }
        Flow::Continue
    }
}

fn position(routes: &Routes, method: Option<&Method>, path: &str) -> Result<usize, RouterError> {
    let found = routes.list.iter().position(|route| route.method.as_ref() == method && route.path == path);
    found.ok_or_else(|| RouterError::Unknown(format!("{} {path}", method.map_or("(any)", Method::as_str))))
}

/// Changes the routes of a running server. Clone it freely.
///
/// When a call returns, every request whose head is complete from then on sees the change; requests in flight keep
/// the table they started with.
#[derive(Clone)]
pub struct RouterHandle {
    router: Addr<RouterMsg>,
}

impl RouterHandle {
    pub(crate) fn new(router: Addr<RouterMsg>) -> Self {
        Self { router }
    }

    /// Adds a route, by its whole path. The server's default dispatch, middleware and checks stand around it; those of a
    /// group do not, even if the path lies under its prefix: put them on the route.
    ///
    /// # Errors
    ///
    /// The route is invalid or in conflict, or the server has stopped.
    pub async fn add(&self, route: Route) -> Result<(), RouterError> {
        self.ask(|reply| RouterMsg::Add(Box::new(route), reply)).await
    }

    /// Removes a route, named by its method and its template; no method names that of [`any`](crate::any).
    ///
    /// # Errors
    ///
    /// There is no such route, or the server has stopped.
    pub async fn remove(&self, method: impl Into<Option<Method>>, path: &str) -> Result<(), RouterError> {
        self.ask(|reply| RouterMsg::Remove(method.into(), path.to_owned(), reply)).await
    }

    /// Changes where a route's handler runs.
    ///
    /// # Errors
    ///
    /// There is no such route, it cannot run there, or the server has stopped.
    pub async fn reflag(
        &self,
        method: impl Into<Option<Method>>,
        path: &str,
        dispatch: Dispatch,
    ) -> Result<(), RouterError> {
        self.ask(|reply| RouterMsg::Reflag(method.into(), path.to_owned(), dispatch, reply)).await
    }

    /// Like [`add`](Self::add), blocking; not for a shard's thread.
    ///
    /// # Errors
    ///
    /// As [`add`](Self::add).
    pub fn add_blocking(&self, route: Route) -> Result<(), RouterError> {
        self.ask_blocking(|reply| RouterMsg::Add(Box::new(route), reply))
    }

    /// Like [`remove`](Self::remove), blocking; not for a shard's thread.
    ///
    /// # Errors
    ///
    /// As [`remove`](Self::remove).
    pub fn remove_blocking(&self, method: impl Into<Option<Method>>, path: &str) -> Result<(), RouterError> {
        self.ask_blocking(|reply| RouterMsg::Remove(method.into(), path.to_owned(), reply))
    }

    /// Like [`reflag`](Self::reflag), blocking; not for a shard's thread.
    ///
    /// # Errors
    ///
    /// As [`reflag`](Self::reflag).
    pub fn reflag_blocking(
        &self,
        method: impl Into<Option<Method>>,
        path: &str,
        dispatch: Dispatch,
    ) -> Result<(), RouterError> {
        self.ask_blocking(|reply| RouterMsg::Reflag(method.into(), path.to_owned(), dispatch, reply))
    }

    async fn ask(&self, ask: impl FnOnce(Answer) -> RouterMsg) -> Result<(), RouterError> {
        self.router.ask(ask, CHANGE_TIMEOUT).await.unwrap_or_else(|error| Err(RouterError::Gone(error)))
    }

    fn ask_blocking(&self, ask: impl FnOnce(Answer) -> RouterMsg) -> Result<(), RouterError> {
        self.router.ask_blocking(ask, CHANGE_TIMEOUT).unwrap_or_else(|error| Err(RouterError::Gone(error)))
    }
}

type Answer = Reply<Result<(), RouterError>>;

impl fmt::Debug for RouterHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RouterHandle").finish_non_exhaustive()
    }
}

/// Why a change of routes was refused. The table stays as it was.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum RouterError {
    /// The route is invalid or in conflict with another.
    Route(RouteError),
    /// No such method and template is registered; the text names it.
    Unknown(String),
    /// The first async route needs the pool, and its threads do not start.
    Pool(String),
    /// The router does not answer: the server has stopped, or is so busy that nothing came within 10 s, or it was asked,
    /// blocking, on a shard's own thread. In the second case the change may still be made.
    Gone(AskError),
}

impl fmt::Display for RouterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Route(error) => error.fmt(f),
            Self::Unknown(route) => write!(f, "no route {route} is registered"),
            Self::Pool(error) => write!(f, "the pool for async routes does not start: {error}"),
            Self::Gone(error) => write!(f, "the router does not answer: {error}"),
        }
    }
}

impl std::error::Error for RouterError {}
