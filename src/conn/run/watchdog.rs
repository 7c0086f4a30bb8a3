//! Detects inline handlers that block their shard.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{conn::env::Env, metrics::RouteMetrics};

/// Detects when a route's handler blocks its shard for longer than `inline_stall`.
pub(in crate::conn) struct Watchdog {
    limit: Duration,
    shard: usize,
    route_metrics: Arc<RouteMetrics>,
}

impl Watchdog {
    pub(in crate::conn) fn new(env: &Env, route_metrics: Arc<RouteMetrics>) -> Self {
        Self { limit: env.timeouts.inline_stall, shard: env.shard, route_metrics }
    }

    /// Checks a call of the handler that began at this time and has just returned.
    pub(in crate::conn) fn check_since(&self, began: Instant) {
        self.check(began.elapsed());
    }

    /// Checks a call of the handler that took so long; above the limit it is counted and logged.
    pub(super) fn check(&self, took: Duration) {
        if took > self.limit {
            self.route_metrics.stalled(self.shard);
            tracing::warn!(
                route = self.route_metrics.template(),
                ?took,
                shard = self.shard,
                "inline handler blocked its shard; make the route async"
            );
        }
    }
}
