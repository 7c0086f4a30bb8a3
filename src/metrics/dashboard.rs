//! The figures of the moment as JSON, for pages that draw them.

use super::{
    Metrics,
    counters::{LabeledCounter, ShardCounters},
    route::BOUNDS_MICROS,
};

/// Writes what a page draws: counters since the start, so that whoever looks twice knows what happened in between.
///
/// All that stands between quotes is a text of this program.
pub(crate) fn json(metrics: &Metrics) -> String {
    let shards: Vec<_> = (0..metrics.shards().len()).map(|index| shard(metrics, index)).collect();
    format!(
        r#"{{"uptime_ms":{},"version":"{}","engine":"{}","ready":{},"shards":[{}],"latency":{},"topics":{},"pool":{},"refused":{},"stream_overflows":{}}}"#,
        metrics.since().elapsed().as_millis(),
        env!("CARGO_PKG_VERSION"),
        metrics.engine().map_or("", |(engine, _)| engine),
        metrics.is_ready(),
        shards.join(","),
        latency(metrics),
        topics(metrics),
        pool(metrics),
        sum(metrics, |counters| &counters.refused),
        sum(metrics, |counters| &counters.sse_overflows),
    )
}

fn sum(metrics: &Metrics, of: fn(&ShardCounters) -> &LabeledCounter) -> u64 {
    metrics.shards().iter().flat_map(|counters| of(counters).all()).map(|(_, count)| count).sum()
}

fn shard(metrics: &Metrics, index: usize) -> String {
    let counters = &metrics.shards()[index];
    let open = counters.open();
    let stats = metrics.system().and_then(|system| system.stats(index));
    let (lag, longest) =
        stats.map_or((0, 0), |stats| (stats.lag().as_micros(), stats.busy_max().as_micros()));
    format!(
        r#"{{"connections":{open},"active":{},"requests":{},"promoted":{},"received_bytes":{},"sent_bytes":{},"inbox":{},"lag_us":{lag},"longest_turn_us":{longest}}}"#,
        counters.active.value().min(open),
        counters.dispatched_total(),
        counters.promoted.value(),
        counters.received_bytes.value(),
        counters.sent_bytes.value(),
        metrics.inbox_depth(index),
    )
}

/// Writes the buckets of all routes together; `counts` has one more, above every bound.
fn latency(metrics: &Metrics) -> String {
    let mut counts = [0; BOUNDS_MICROS.len() + 1];
    for family in metrics.routes() {
        for counters in &family.shards {
            counts.iter_mut().zip(&counters.buckets).for_each(|(count, bucket)| *count += bucket.value());
        }
    }
    format!(r#"{{"bounds_us":{BOUNDS_MICROS:?},"counts":{counts:?}}}"#)
}

fn topics(metrics: &Metrics) -> String {
    metrics.topics().map_or("null".to_owned(), |totals| {
        let sum = &totals.sum;
        format!(
            r#"{{"topics":{},"subscribers":{},"published":{},"delivered":{},"dropped":{},"ended":{}}}"#,
            totals.topics,
            sum.subscribers,
            sum.published,
            sum.delivered,
            sum.dropped + sum.relay_rejected,
            sum.removed + sum.closed,
        )
    })
}

fn pool(metrics: &Metrics) -> String {
    let Some(stats) = metrics.pool().map(windlass_actors::Pool::stats) else { return "null".to_owned() };
    let (queued, running) =
        (stats.jobs.queued + stats.blocking.queued, stats.jobs.running + stats.blocking.running);
    format!(r#"{{"queued":{queued},"running":{running}}}"#)
}
