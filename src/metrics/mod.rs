//! Counters of shards and routes, and their export; must not know connections, requests or handlers.
//!
//! Each shard writes its own counters, without locks and without shared cache lines. A scrape sums them.
//!
//! - `counter`, `labels`: the two kinds of counters, and enums whose variants are label values.
//! - `activity`: the current work of each thread, for the monitor of stuck threads.
//! - `shard`, `route`: the counters of one shard and of one route.
//! - `registry`: [`Metrics`], all of them together.
//! - `catalog`: name, type and help text of every metric.
//! - `scrape`, `dashboard`: the Prometheus format, and JSON for the status page.

mod activity;
pub(crate) mod catalog;
mod counter;
pub(crate) mod dashboard;
mod labels;
mod registry;
mod route;
mod scrape;
mod shard;

pub(crate) use activity::{Worker, WorkerLane};
pub(crate) use counter::LabeledCounter;
pub(crate) use labels::{DispatchKind, HttpVersion, TlsProtocol, TlsVersion};
pub use registry::Snapshot;
pub(crate) use registry::{LostLogLines, Metrics, TopicTotals};
pub(crate) use route::{RouteMetrics, UNMATCHED};
pub use scrape::Collector;
pub(crate) use shard::ShardCounters;
