//! The handle to change the routes of a running server.

use std::{fmt, time::Duration};

use http::Method;
use windlass_actors::Addr;

use super::{
    RouterError,
    actor::{Change, RouterMsg},
};
use crate::routing::route::{Dispatch, Route};

/// Longest wait for the router's answer.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(10);

/// A handle to change the routes of a running server. Clones are cheap.
///
/// When a call returns `Ok`, every request whose head arrives later sees the change. Earlier requests keep
/// the routes with which they started. Each call waits at most 10 s for its answer.
#[derive(Clone)]
pub struct RouterHandle {
    actor: Addr<RouterMsg>,
    /// Index of the router.
    router: usize,
}

impl RouterHandle {
    pub(crate) fn new(actor: Addr<RouterMsg>, router: usize) -> Self {
        Self { actor, router }
    }

    /// Adds a route by its full path.
    ///
    /// The default dispatch and the middleware of the router apply. If the path begins with the prefix of a
    /// group, the middleware of the innermost such group and of those around it applies too, and the group's
    /// dispatch if the route sets none.
    ///
    /// # Errors
    ///
    /// The route is invalid or conflicts with another one, several groups with its prefix have different
    /// middleware, the pool for the first async route failed to start, or the router did not answer:
    /// [`RouterError::NoReply`].
    pub async fn add(&self, route: Route) -> Result<(), RouterError> {
        self.ask(Change::Add(Box::new(route))).await
    }

    /// Removes the route with this method and path template. `None` is the method of an [`any`](crate::any)
    /// route.
    ///
    /// # Errors
    ///
    /// There is no such route, or the router did not answer: [`RouterError::NoReply`].
    pub async fn remove(&self, method: impl Into<Option<Method>>, path: &str) -> Result<(), RouterError> {
        self.ask(Change::Remove(method.into(), path.to_owned())).await
    }

    /// Changes the dispatch of the route with this method and path template. `None` is the method of an
    /// [`any`](crate::any) route. Has no effect on a static route, which is always served inline.
    ///
    /// # Errors
    ///
    /// There is no such route, its handler cannot run with this dispatch, the pool for the first async route
    /// failed to start, or the router did not answer: [`RouterError::NoReply`].
    pub async fn set_dispatch(
        &self,
        method: impl Into<Option<Method>>,
        path: &str,
        dispatch: Dispatch,
    ) -> Result<(), RouterError> {
        self.ask(Change::SetDispatch(method.into(), path.to_owned(), dispatch)).await
    }

    /// Blocking version of [`add`](Self::add). Returns an error if it is called on a shard's thread.
    ///
    /// # Errors
    ///
    /// See [`add`](Self::add).
    pub fn add_blocking(&self, route: Route) -> Result<(), RouterError> {
        self.ask_blocking(Change::Add(Box::new(route)))
    }

    /// Blocking version of [`remove`](Self::remove). Returns an error if it is called on a shard's thread.
    ///
    /// # Errors
    ///
    /// See [`remove`](Self::remove).
    pub fn remove_blocking(&self, method: impl Into<Option<Method>>, path: &str) -> Result<(), RouterError> {
        self.ask_blocking(Change::Remove(method.into(), path.to_owned()))
    }

    /// Blocking version of [`set_dispatch`](Self::set_dispatch). Returns an error if it is called on a
    /// shard's thread.
    ///
    /// # Errors
    ///
    /// See [`set_dispatch`](Self::set_dispatch).
    pub fn set_dispatch_blocking(
        &self,
        method: impl Into<Option<Method>>,
        path: &str,
        dispatch: Dispatch,
    ) -> Result<(), RouterError> {
        self.ask_blocking(Change::SetDispatch(method.into(), path.to_owned(), dispatch))
    }

    async fn ask(&self, change: Change) -> Result<(), RouterError> {
        let router = self.router;
        let message = |reply| RouterMsg { router, change, reply };
        let answer = self.actor.ask(message, CHANGE_TIMEOUT).await;
        answer.unwrap_or_else(|error| Err(RouterError::NoReply(error)))
    }

    fn ask_blocking(&self, change: Change) -> Result<(), RouterError> {
        let router = self.router;
        let message = |reply| RouterMsg { router, change, reply };
        let answer = self.actor.ask_blocking(message, CHANGE_TIMEOUT);
        answer.unwrap_or_else(|error| Err(RouterError::NoReply(error)))
    }
}

impl fmt::Debug for RouterHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RouterHandle").finish_non_exhaustive()
    }
}
