//! Paths for metrics and health checks.

use std::sync::Arc;

use http::{HeaderValue, StatusCode};

use super::live;
use crate::{
    metrics::{Collector, Metrics},
    request::Request,
    response::{Response, plain},
    routing::route::{Route, get},
};

/// Paths for metrics and health checks. `None` disables a path.
///
/// They are inline routes inside the server's middleware, and are [never shed](Route::never_shed).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Operations {
    /// Metrics in the Prometheus text format.
    pub metrics: Option<String>,
    /// Liveness check. Returns `200`, or `503` once a shard has failed.
    pub health: Option<String>,
    /// Readiness check. Returns `200` while the server accepts new work, and `503` from the start of a drain
    /// or once a shard has failed, and while the store of the broker
    /// [fails](crate::replay::ReplayStore::failure).
    pub ready: Option<String>,
    /// Metrics as server-sent events, one JSON object a second. The counters are totals since the start.
    ///
    /// Give access to the same clients as for `metrics`. The page of the binary displays these events.
    pub live: Option<String>,
}

impl Operations {
    /// Returns the usual paths: `/metrics`, `/healthz`, `/readyz` and `/metrics/live`.
    pub fn usual() -> Self {
        let path = |path: &str| Some(path.to_owned());
        Self {
            metrics: path("/metrics"),
            health: path("/healthz"),
            ready: path("/readyz"),
            live: path("/metrics/live"),
        }
    }

    /// Returns the routes of the enabled paths.
    pub(super) fn routes(&self, metrics: &Arc<Metrics>) -> Vec<Route> {
        let scrape_route = self.metrics.as_ref().map(|path| {
            let collector = Collector::new(metrics.clone());
            get(path, move |_: Request| scrape(&collector)).run_inline()
        });
        let health = self.health.as_ref().map(|path| {
            let metrics = metrics.clone();
            get(path, move |_: Request| health(&metrics)).run_inline()
        });
        let ready = self.ready.as_ref().map(|path| {
            let metrics = metrics.clone();
            get(path, move |_: Request| readiness(&metrics)).run_inline()
        });
        let live = self.live.as_ref().map(|path| live::route(path, metrics));
        scrape_route.into_iter().chain(health).chain(ready).chain(live).map(Route::never_shed).collect()
    }
}

fn scrape(collector: &Collector) -> Response {
    Response::typed(HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"), collector.text())
}

fn health(metrics: &Metrics) -> Response {
    if has_failed(metrics) { shard_failed() } else { plain(StatusCode::OK, "ok\n") }
}

fn readiness(metrics: &Metrics) -> Response {
    match (metrics.is_ready(), metrics.impediment()) {
        (true, _) if has_failed(metrics) => shard_failed(),
        (true, Some(reason)) => {
            Response::text(format!("not ready: {reason}\n")).with_status(StatusCode::SERVICE_UNAVAILABLE)
        }
        (true, None) => plain(StatusCode::OK, "ready\n"),
        (false, _) => plain(StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
    }
}

/// Returns `true` if a shard has failed.
fn has_failed(metrics: &Metrics) -> bool {
    metrics.system().is_some_and(|system| !system.failures().is_empty())
}

fn shard_failed() -> Response {
    plain(StatusCode::SERVICE_UNAVAILABLE, "A shard has failed: restart the server.\n")
}
