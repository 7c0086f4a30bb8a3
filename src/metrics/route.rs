//! The figures of one route: requests by status class and a latency histogram, per shard.

use std::time::Duration;

use super::counters::Counter;

/// The label of every request that matched no route, so that a peer cannot make labels.
pub(crate) const UNMATCHED: &str = "(unmatched)";

/// Upper bounds of the latency buckets, microseconds.
pub(super) const BOUNDS_MICROS: [u64; 16] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 5_000_000, 10_000_000,
];

/// Status classes: 1xx to 5xx.
pub(super) const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// The figures of one route on one shard, on cache lines of their own.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct RouteCounters {
    pub(super) classes: [Counter; CLASSES.len()],
    /// One per bound and one above them; not cumulative.
    pub(super) buckets: [Counter; BOUNDS_MICROS.len() + 1],
    pub(super) sum_nanos: Counter,
    pub(super) stalls: Counter,
}

/// The figures of one route.
#[derive(Debug)]
pub(crate) struct RouteMetrics {
    pub(super) template: String,
    pub(super) method: String,
    pub(super) shards: Box<[RouteCounters]>,
}

impl RouteMetrics {
    pub(super) fn new(template: &str, method: &str, shards: usize) -> Self {
        let shards = (0..shards).map(|_| RouteCounters::default()).collect();
        Self { template: template.to_owned(), method: method.to_owned(), shards }
    }

    pub(crate) fn template(&self) -> &str {
        &self.template
    }

    /// Counts one response; called by that shard only.
    pub(crate) fn observe(&self, shard: usize, status: u16, took: Duration) {
        let Some(counters) = self.shards.get(shard) else { return };
        let class = usize::from(status / 100).clamp(1, CLASSES.len()) - 1;
        counters.classes[class].add(1);
        let micros = took.as_micros() as u64;
        let bucket = BOUNDS_MICROS.iter().position(|bound| micros <= *bound).unwrap_or(BOUNDS_MICROS.len());
        counters.buckets[bucket].add(1);
        counters.sum_nanos.add(took.as_nanos() as u64);
    }

    /// Counts one inline handler that held its shard too long; called by that shard only.
    pub(crate) fn stalled(&self, shard: usize) {
        if let Some(counters) = self.shards.get(shard) {
            counters.stalls.add(1);
        }
    }
}
