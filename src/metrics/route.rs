//! The metrics of one route: requests by status class and a latency histogram, for each shard.

use std::time::Duration;

use super::counter::Counter;

/// The route label of requests that match no route. They share it, so that peers cannot create labels.
pub(crate) const UNMATCHED: &str = "(unmatched)";

/// Upper bounds of the latency buckets, in microseconds.
pub(super) const BOUNDS_MICROS: [u64; 16] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 5_000_000, 10_000_000,
];

/// Number of latency buckets: one for each bound, and one for larger values.
pub(super) const BUCKETS: usize = BOUNDS_MICROS.len() + 1;

/// Labels of the status classes.
pub(super) const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// The counters of one route on one shard. The alignment puts them on cache lines of their own.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct RouteCounters {
    pub(super) classes: [Counter; CLASSES.len()],
    /// Number of latencies in each bucket, not cumulative.
    pub(super) buckets: [Counter; BUCKETS],
    pub(super) sum_nanos: Counter,
    pub(super) stalls: Counter,
}

/// The metrics of one route.
#[derive(Debug)]
pub(crate) struct RouteMetrics {
    /// Number of the route on this server, from 1 on.
    number: u32,
    pub(super) template: String,
    pub(super) method: String,
    pub(super) shards: Box<[RouteCounters]>,
}

impl RouteMetrics {
    pub(super) fn new(number: u32, template: &str, method: &str, shards: usize) -> Self {
        let shards = (0..shards).map(|_| RouteCounters::default()).collect();
        Self { number, template: template.to_owned(), method: method.to_owned(), shards }
    }

    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    pub(crate) fn template(&self) -> &str {
        &self.template
    }

    pub(crate) fn method(&self) -> &str {
        &self.method
    }

    /// Counts one response and its latency. Only the given shard may call this.
    pub(crate) fn observe(&self, shard: usize, status: u16, latency: Duration) {
        let Some(counters) = self.shards.get(shard) else { return };
        let class = usize::from(status / 100).clamp(1, CLASSES.len()) - 1;
        counters.classes[class].add(1);
        let micros = latency.as_micros() as u64;
        let bucket = BOUNDS_MICROS.iter().position(|bound| micros <= *bound).unwrap_or(BOUNDS_MICROS.len());
        counters.buckets[bucket].add(1);
        counters.sum_nanos.add(latency.as_nanos() as u64);
    }

    /// Counts one inline handler that blocked its shard too long. Only the given shard may call this.
    pub(crate) fn stalled(&self, shard: usize) {
        if let Some(counters) = self.shards.get(shard) {
            counters.stalls.add(1);
        }
    }
}
