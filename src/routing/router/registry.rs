//! The routes of a server's routers and the tables that are compiled from them.

use std::{
    io,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use windlass_actors::{Pool, Publisher, Reader};

use super::{Group, RouterError};
use crate::{
    metrics::Metrics,
    routing::table::{RouteSet, RouteTable},
};

/// Index of the router of [`Builder::router`](crate::Builder::router). It serves the listeners that have no
/// router of their own.
pub(crate) const SHARED_ROUTER: usize = 0;

/// The current routes of each router, the publishers of their tables, and the pool for async routes.
///
/// It outlives a restart of the router actor.
pub(crate) struct RouteRegistry {
    routers: Vec<PublishedRouter>,
    metrics: Arc<Metrics>,
    pool: Arc<OnceLock<Pool>>,
    start_pool: Box<dyn Fn() -> io::Result<Pool> + Send + Sync>,
}

/// The current routes of one router.
struct PublishedRouter {
    set: Mutex<RouteSet>,
    publisher: Publisher<RouteTable>,
    /// Number of routes that run on the pool.
    async_routes: AtomicUsize,
}

impl RouteRegistry {
    /// Compiles and publishes the first table of each router. The first router is the
    /// [shared](SHARED_ROUTER) one.
    ///
    /// # Errors
    ///
    /// A route is invalid, or the pool that it needs failed to start.
    pub(crate) fn new(
        sets: Vec<RouteSet>,
        metrics: Arc<Metrics>,
        start_pool: impl Fn() -> io::Result<Pool> + Send + Sync + 'static,
    ) -> Result<Arc<Self>, RouterError> {
        let mut registry =
            Self { routers: Vec::new(), metrics, pool: Arc::default(), start_pool: Box::new(start_pool) };
        for set in sets {
            let table = RouteTable::compile(&set, &registry.metrics).map_err(RouterError::Route)?;
            let empty = RouteTable::compile(&RouteSet::default(), &registry.metrics);
            let router = PublishedRouter {
                set: Mutex::new(set),
                publisher: Publisher::new(empty.map_err(RouterError::Route)?),
                async_routes: AtomicUsize::new(0),
            };
            registry.publish(&router, table)?;
            registry.routers.push(router);
        }
        registry.count_async_routes();
        Ok(Arc::new(registry))
    }

    /// Returns a reader of each router's tables.
    pub(crate) fn readers(&self) -> Vec<Reader<RouteTable>> {
        self.routers.iter().map(|router| router.publisher.reader()).collect()
    }

    /// Returns the pool, or `None` if nothing has needed it yet.
    pub(crate) fn pool(&self) -> Option<&Pool> {
        self.pool.get()
    }

    /// Returns the place of the pool, for handlers that use it.
    pub(crate) fn pool_place(&self) -> Arc<OnceLock<Pool>> {
        self.pool.clone()
    }

    /// Adds all routes of a group to the shared router and publishes the new table.
    ///
    /// # Errors
    ///
    /// A route is invalid or conflicts with another one, or the pool failed to start. No route is added.
    pub(crate) fn add_group(&self, group: Group) -> Result<(), RouterError> {
        let (routes, scopes) = group.finish();
        self.change(SHARED_ROUTER, |set| {
            set.list.extend(routes);
            set.scopes.extend(scopes);
            Ok(())
        })
    }

    /// Applies a change to a copy of a router's routes, compiles the copy, and publishes and keeps it. After
    /// an error of any of these steps the old routes stay. `router` is an index.
    pub(super) fn change(
        &self,
        router: usize,
        change: impl FnOnce(&mut RouteSet) -> Result<(), RouterError>,
    ) -> Result<(), RouterError> {
        let router = &self.routers[router];
        let mut set = router.set.lock().unwrap_or_else(PoisonError::into_inner);
        let mut changed = set.clone();
        change(&mut changed)?;
        self.publish(router, RouteTable::compile(&changed, &self.metrics).map_err(RouterError::Route)?)?;
        *set = changed;
        self.count_async_routes();
        Ok(())
    }

    fn publish(&self, router: &PublishedRouter, mut table: RouteTable) -> Result<(), RouterError> {
        if table.async_routes > 0 || table.uses_pool {
            table.pool = Some(self.require_pool()?);
        }
        router.async_routes.store(table.async_routes, Relaxed);
        router.publisher.publish(table);
        Ok(())
    }

    fn count_async_routes(&self) {
        self.metrics
            .set_async_routes(self.routers.iter().map(|router| router.async_routes.load(Relaxed)).sum());
    }

    /// Returns the pool. Starts it if necessary.
    ///
    /// # Errors
    ///
    /// The threads of the pool failed to start.
    pub(crate) fn require_pool(&self) -> Result<Pool, RouterError> {
        if let Some(pool) = self.pool.get() {
            return Ok(pool.clone());
        }
        let pool = (self.start_pool)().map_err(|error| RouterError::Pool(error.to_string()))?;
        self.metrics.set_pool(pool.clone());
        // Only one thread at a time gets here: the starting thread, and after the start the router actor.
        Ok(self.pool.get_or_init(|| pool).clone())
    }
}
