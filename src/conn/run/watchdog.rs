//! Detects code of inline and WebSocket handlers that blocks its shard.

use std::{
    any::Any,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{conn::env::Env, metrics::RouteMetrics, routing::handler::PanicReport};

/// Detects when one poll of a route's future blocks its shard for longer than `inline_stall`.
pub(in crate::conn) struct Watchdog {
    limit: Duration,
    shard: usize,
    route_metrics: Arc<RouteMetrics>,
}

impl Watchdog {
    pub(in crate::conn) fn new(env: &Env, route_metrics: Arc<RouteMetrics>) -> Self {
        Self { limit: env.timeouts.inline_stall, shard: env.shard, route_metrics }
    }

    /// Counts and logs a poll that began at this time and has just returned, if it took longer than the
    /// limit.
    pub(in crate::conn) fn check_since(&self, began: Instant) {
        check(self.limit, self.shard, &self.route_metrics, began.elapsed());
    }

    /// Returns the number of the route.
    pub(in crate::conn) fn route_number(&self) -> u32 {
        self.route_metrics.number()
    }

    /// Returns the path template of the route.
    #[cfg(feature = "ws")]
    pub(in crate::conn) fn route(&self) -> &str {
        self.route_metrics.template()
    }

    /// Logs a panic of the route's code. `what` is the message: what panicked, and what the server does about
    /// it.
    #[cfg(feature = "ws")]
    pub(in crate::conn) fn report_panic(&self, what: &'static str, payload: &(dyn Any + Send)) {
        report_panic(what, self.route_metrics.template(), payload);
    }
}

/// Counts and logs a call of a route's code on the shard that took longer than `limit`.
pub(super) fn check(limit: Duration, shard: usize, route_metrics: &RouteMetrics, took: Duration) {
    if took > limit {
        route_metrics.stalled(shard);
        let route = route_metrics.template();
        tracing::warn!(
            route,
            ?took,
            shard,
            "handler blocked its shard for longer than inline_stall: move the slow part to the pool"
        );
    }
}

/// Logs a panic of code that runs on the shard for a route. `what` is the message.
pub(in crate::conn) fn report_panic(what: &'static str, route: &str, payload: &(dyn Any + Send)) {
    let remedy =
        "only the pool has a tokio runtime: move this code to an async route, or to a pool of your own";
    PanicReport { what, method: None, route, request_id: None, remedy }.log(payload);
}
