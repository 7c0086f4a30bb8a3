//! The routes of a server and the table that is compiled from them.

use std::{
    io,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use windlass_actors::{Pool, Publisher};

use super::{Group, RouterError};
use crate::{
    metrics::Metrics,
    routing::table::{RouteSet, RouteTable},
};

/// The current routes, the publisher of their table, and the pool for async routes.
///
/// It outlives a restart of the router actor.
pub(crate) struct RouteRegistry {
    set: Mutex<RouteSet>,
    publisher: Publisher<RouteTable>,
    metrics: Arc<Metrics>,
    pool: OnceLock<Pool>,
    start_pool: Box<dyn Fn() -> io::Result<Pool> + Send + Sync>,
}

impl RouteRegistry {
    /// Compiles and publishes the first table.
    ///
    /// # Errors
    ///
    /// A route is invalid, or the pool that it needs failed to start.
    pub(crate) fn new(
        set: RouteSet,
        metrics: Arc<Metrics>,
        start_pool: impl Fn() -> io::Result<Pool> + Send + Sync + 'static,
    ) -> Result<Arc<Self>, RouterError> {
        let table = RouteTable::compile(&set, &metrics).map_err(RouterError::Route)?;
        let empty = RouteTable::compile(&RouteSet::default(), &metrics).map_err(RouterError::Route)?;
        let registry = Self {
            set: Mutex::new(set),
            publisher: Publisher::new(empty),
            metrics,
            pool: OnceLock::new(),
            start_pool: Box::new(start_pool),
        };
        registry.publish(table)?;
        Ok(Arc::new(registry))
    }

    /// Returns the publisher of the tables.
    pub(crate) fn publisher(&self) -> &Publisher<RouteTable> {
        &self.publisher
    }

    /// Returns the pool, or `None` if nothing has needed it yet.
    pub(crate) fn pool(&self) -> Option<&Pool> {
        self.pool.get()
    }

    /// Adds all routes of a group and publishes the new table.
    ///
    /// # Errors
    ///
    /// A route is invalid or conflicts with another one, or the pool failed to start. No route is added.
    pub(crate) fn add_group(&self, group: Group) -> Result<(), RouterError> {
        let (routes, scopes) = group.finish();
        self.change(|set| {
            set.list.extend(routes);
            set.scopes.extend(scopes);
            Ok(())
        })
    }

    /// Applies a change to a copy of the routes, compiles the copy, and publishes and keeps it. After an
    /// error of any of these steps the old routes stay.
    pub(super) fn change(
        &self,
        change: impl FnOnce(&mut RouteSet) -> Result<(), RouterError>,
    ) -> Result<(), RouterError> {
        let mut set = self.set.lock().unwrap_or_else(PoisonError::into_inner);
        let mut changed = set.clone();
        change(&mut changed)?;
        self.publish(RouteTable::compile(&changed, &self.metrics).map_err(RouterError::Route)?)?;
        *set = changed;
        Ok(())
    }

    fn publish(&self, mut table: RouteTable) -> Result<(), RouterError> {
        if table.async_routes > 0 {
            table.pool = Some(self.require_pool()?);
        }
        self.metrics.set_async_routes(table.async_routes);
        self.publisher.publish(table);
        Ok(())
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
