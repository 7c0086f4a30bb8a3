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
    /// Liveness check. Returns `200`, or `503` once a shard has failed, or while a thread is
    /// [stuck](crate::Timeouts::stuck_unhealthy).
    pub health: Option<String>,
    /// Readiness check. Returns `200` while the server accepts new work, and `503` from the start of a drain,
    /// while the liveness check fails, and while the store of the broker
    /// [fails](crate::replay::ReplayStore::failure).
    pub ready: Option<String>,
    /// Metrics as an event stream: one JSON object a second. The counters are totals since the start.
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
    match broken(metrics) {
        Some(text) => plain(StatusCode::SERVICE_UNAVAILABLE, text),
        None => plain(StatusCode::OK, "ok\n"),
    }
}

fn readiness(metrics: &Metrics) -> Response {
    let unavailable = |text: String| Response::text(text).with_status(StatusCode::SERVICE_UNAVAILABLE);
    match (metrics.is_ready(), broken(metrics), metrics.impediment()) {
        (true, Some(text), _) => unavailable(text.to_owned()),
        (true, None, Some(reason)) => unavailable(format!("not ready: {reason}\n")),
        (true, None, None) => plain(StatusCode::OK, "ready\n"),
        (false, ..) => plain(StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
    }
}

/// Returns the reason why the server must be restarted, if there is one.
fn broken(metrics: &Metrics) -> Option<&'static str> {
    if metrics.system().is_some_and(|system| !system.failures().is_empty()) {
        return Some("A shard has failed: restart the server.\n");
    }
    metrics.is_stuck().then_some("A thread is stuck: see the log for its route, and restart the server.\n")
}
