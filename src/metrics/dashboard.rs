//! The current totals as JSON, for the status page.

use serde::Serialize;

use super::{
    counter::LabeledCounter,
    registry::Metrics,
    route::{BOUNDS_MICROS, BUCKETS},
    shard::ShardCounters,
};

/// Totals since the start. A page that reads them twice computes the changes in between.
#[derive(Serialize)]
struct Dashboard<'a> {
    uptime_ms: u64,
    version: &'static str,
    engine: &'a str,
    ready: bool,
    shards: Vec<ShardTotals>,
    latency: Latency,
    topics: Option<TopicsTotals>,
    pool: Option<PoolTotals>,
    refused: u64,
    stream_overflows: u64,
}

#[derive(Serialize)]
struct ShardTotals {
    connections: u64,
    active: u64,
    requests: u64,
    promoted: u64,
    received_bytes: u64,
    sent_bytes: u64,
    inbox: usize,
    lag_us: u64,
    longest_turn_us: u64,
}

/// Latencies of all routes. `counts` has one more element than `bounds_us`, for values above every bound.
#[derive(Serialize)]
struct Latency {
    bounds_us: &'static [u64],
    counts: [u64; BUCKETS],
}

#[derive(Serialize)]
struct TopicsTotals {
    topics: usize,
    subscribers: usize,
    published: u64,
    delivered: u64,
    dropped: u64,
    ended: u64,
}

#[derive(Serialize)]
struct PoolTotals {
    queued: usize,
    running: usize,
}

/// Returns the totals of a server as a JSON object.
pub(crate) fn json(metrics: &Metrics) -> String {
    let dashboard = Dashboard {
        uptime_ms: metrics.started_at().elapsed().as_millis() as u64,
        version: env!("CARGO_PKG_VERSION"),
        engine: metrics.engine().map_or("", |(engine, _)| engine),
        ready: metrics.is_ready(),
        shards: (0..metrics.shards().len()).map(|index| shard(metrics, index)).collect(),
        latency: latency(metrics),
        topics: topics(metrics),
        pool: pool(metrics),
        refused: sum(metrics, |counters| &counters.refused),
        stream_overflows: sum(metrics, |counters| &counters.sse_overflows),
    };
    // Serialization fails only for types that JSON cannot represent. There are none here.
    serde_json::to_string(&dashboard).unwrap_or_default()
}

fn sum(metrics: &Metrics, of: fn(&ShardCounters) -> &LabeledCounter) -> u64 {
    metrics.shards().iter().flat_map(|counters| of(counters).all()).map(|(_, count)| count).sum()
}

fn shard(metrics: &Metrics, index: usize) -> ShardTotals {
    let counters = &metrics.shards()[index];
    let open = counters.open();
    let stats = metrics.system().and_then(|system| system.stats(index));
    ShardTotals {
        connections: open,
        active: counters.active.value().min(open),
        requests: counters.dispatched_total(),
        promoted: counters.promoted.value(),
        received_bytes: counters.received_bytes.value(),
        sent_bytes: counters.sent_bytes.value(),
        inbox: metrics.inbox_depth(index),
        lag_us: stats.map_or(0, |stats| stats.lag().as_micros() as u64),
        longest_turn_us: stats.map_or(0, |stats| stats.busy_max().as_micros() as u64),
    }
}

fn latency(metrics: &Metrics) -> Latency {
    let mut counts = [0; BUCKETS];
    for route in metrics.routes() {
        for counters in &route.shards {
            counts.iter_mut().zip(&counters.buckets).for_each(|(count, bucket)| *count += bucket.value());
        }
    }
    Latency { bounds_us: &BOUNDS_MICROS, counts }
}

fn topics(metrics: &Metrics) -> Option<TopicsTotals> {
    let totals = metrics.topics()?;
    let sum = &totals.sum;
    Some(TopicsTotals {
        topics: totals.topics,
        subscribers: sum.subscribers,
        published: sum.published,
        delivered: sum.delivered,
        dropped: sum.dropped + sum.relay_rejected,
        ended: sum.removed + sum.closed,
    })
}

fn pool(metrics: &Metrics) -> Option<PoolTotals> {
    let stats = metrics.pool()?.stats();
    Some(PoolTotals {
        queued: stats.jobs.queued + stats.blocking.queued,
        running: stats.jobs.running + stats.blocking.running,
    })
}
