//! Paths at which a server tells about itself.

use std::sync::Arc;

use http::{HeaderValue, StatusCode};

use super::live;
use crate::{
    metrics::{Collector, Metrics},
    request::Request,
    response::{Response, plain},
    routing::route::{Route, get},
};

/// The paths of metrics and health; `None` leaves one out.
///
/// They are ordinary inline routes, so the server's middleware stands around them too; but they are
/// [never shed](Route::never_shed).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Operations {
    /// Where Prometheus scrapes.
    pub metrics: Option<String>,
    /// Answers `200` as long as the shard that is asked runs.
    pub health: Option<String>,
    /// Answers `200` while the server takes new work, `503` from the start of a drain on.
    pub ready: Option<String>,
    /// Streams the figures of the moment as server-sent events, one a second as long as somebody watches: JSON, counters
    /// since the start. The binary's page draws them. Whoever may scrape may watch.
    pub live: Option<String>,
}

impl Operations {
    /// The usual paths: `/metrics`, `/healthz`, `/readyz` and `/metrics/live`.
    pub fn usual() -> Self {
        let path = |path: &str| Some(path.to_owned());
        Self {
            metrics: path("/metrics"),
            health: path("/healthz"),
            ready: path("/readyz"),
            live: path("/metrics/live"),
        }
    }

    pub(super) fn routes(&self, metrics: &Arc<Metrics>) -> Vec<Route> {
        let scraped = self.metrics.as_ref().map(|path| {
            let collector = Collector::new(metrics.clone());
            get(path, move |_: Request| scrape(&collector)).run_inline()
        });
        let health = self.health.as_ref().map(|path| get(path, |_: Request| "ok\n").run_inline());
        let ready = self.ready.as_ref().map(|path| {
            let metrics = metrics.clone();
            get(path, move |_: Request| readiness(metrics.is_ready())).run_inline()
        });
        let live = self.live.as_ref().map(|path| live::route(path, metrics));
        scraped.into_iter().chain(health).chain(ready).chain(live).map(Route::never_shed).collect()
    }
}

fn scrape(collector: &Collector) -> Response {
    Response::typed(HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"), collector.text())
}

fn readiness(ready: bool) -> Response {
    if ready {
        plain(StatusCode::OK, "ready\n")
    } else {
        plain(StatusCode::SERVICE_UNAVAILABLE, "draining\n")
    }
}
