//! The export to Prometheus: sums the counters of the shards.

use std::{collections::BTreeMap, sync::Arc};

use prometheus::{
    TextEncoder,
    core::Desc,
    proto::{self, LabelPair, MetricFamily, MetricType},
};

use super::{
    catalog::{self, Metric},
    counter::{Counter, LabeledCounter},
    labels::{DispatchKind, HttpVersion},
    registry::{Metrics, TopicTotals},
    route::{BOUNDS_MICROS, CLASSES, RouteCounters, RouteMetrics},
    shard::ShardCounters,
};

/// Collector of a server's metrics for a `prometheus::Registry` of the embedding program.
///
/// Register it once, with `registry.register(Box::new(server.collector()))`. Each scrape sums the counters of
/// all shards.
pub struct Collector {
    metrics: Arc<Metrics>,
    descriptions: Vec<Desc>,
}

impl Collector {
    pub(crate) fn new(metrics: Arc<Metrics>) -> Self {
        let describe = |metric: &&Metric| {
            let labels = metric.labels.iter().map(|l| (*l).to_owned()).collect();
            Desc::new(metric.name.to_owned(), metric.help.to_owned(), labels, Default::default()).ok()
        };
        Self { metrics, descriptions: catalog::ALL.iter().filter_map(describe).collect() }
    }

    /// Returns the metrics in the Prometheus text format. An error is logged, and returns an empty text.
    pub(crate) fn text(&self) -> String {
        let families = collect(&self.metrics);
        TextEncoder::new().encode_to_string(&families).unwrap_or_else(|error| {
            tracing::error!(%error, "encoding the metrics failed, answering with an empty page");
            String::new()
        })
    }
}

impl prometheus::core::Collector for Collector {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        collect(&self.metrics)
    }
}

impl std::fmt::Debug for Collector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Collector").finish_non_exhaustive()
    }
}

fn collect(metrics: &Metrics) -> Vec<MetricFamily> {
    let mut families = Families::default();
    routes(&mut families, &metrics.routes());
    dispatch(&mut families, metrics);
    families.add(&catalog::CONNECTION_LIMIT, &[], metrics.connection_limit() as f64);
    connections(&mut families, metrics.shards());
    causes(&mut families, metrics);
    websockets(&mut families, metrics.shards());
    tls(&mut families, metrics);
    pool(&mut families, metrics);
    topics(&mut families, metrics);
    hubs(&mut families, metrics);
    shards(&mut families, metrics);
    families.into_vec()
}

fn routes(families: &mut Families, routes: &[Arc<RouteMetrics>]) {
    for route in routes {
        let sum =
            |of: &dyn Fn(&RouteCounters) -> &Counter| route.shards.iter().map(|s| of(s).value()).sum::<u64>();
        let (template, method) = (route.template.as_str(), route.method.as_str());
        for (index, class) in CLASSES.iter().enumerate() {
            let count = sum(&|counters| &counters.classes[index]);
            if count > 0 {
                families.add(&catalog::REQUESTS, &[template, method, class], count as f64);
            }
        }
        let buckets: Vec<u64> =
            (0..=BOUNDS_MICROS.len()).map(|index| sum(&|counters| &counters.buckets[index])).collect();
        if buckets.iter().any(|count| *count > 0) {
            let nanos = sum(&|counters| &counters.sum_nanos);
            families.add_histogram(&catalog::DURATION, &[template, method], &buckets, nanos as f64 / 1e9);
        }
        let stalls = sum(&|counters| &counters.stalls);
        if stalls > 0 {
            families.add(&catalog::STALLS, &[template], stalls as f64);
        }
    }
}

fn dispatch(families: &mut Families, metrics: &Metrics) {
    families.add(&catalog::ASYNC_ROUTES, &[], metrics.async_routes() as f64);
    let promoted: u64 = metrics.shards().iter().map(|s| s.promoted.value()).sum();
    families.add(&catalog::PROMOTED, &[], promoted as f64);
    for (shard, counters) in metrics.shards().iter().enumerate() {
        let shard = shard.to_string();
        for (version, kind) in
            HttpVersion::ALL.into_iter().flat_map(|version| DispatchKind::ALL.map(|kind| (version, kind)))
        {
            let labels = [kind.name(), version.name(), shard.as_str()];
            families.add(&catalog::DISPATCHED, &labels, counters.dispatched(version, kind).value() as f64);
        }
    }
}

fn connections(families: &mut Families, shards: &[Arc<ShardCounters>]) {
    for (shard, counters) in shards.iter().enumerate() {
        let shard = shard.to_string();
        let open = counters.open();
        let active = counters.active.value().min(open);
        families.add(&catalog::CONNECTIONS, &[&shard, "active"], active as f64);
        families.add(&catalog::CONNECTIONS, &[&shard, "idle"], (open - active) as f64);
        families.add(&catalog::ACCEPTED, &[&shard], counters.accepted.value() as f64);
        families.add(&catalog::HANDED_OVER, &[&shard], counters.handed_over.value() as f64);
        families.add(&catalog::RECEIVED, &[&shard], counters.received_bytes.value() as f64);
        families.add(&catalog::SENT, &[&shard], counters.sent_bytes.value() as f64);
        families.add(&catalog::H2_CONNECTIONS, &[&shard], counters.h2_connections.value() as f64);
        families.add(&catalog::H2_STREAMS, &[&shard], counters.h2_streams.value() as f64);
        for (cause, count) in counters.closes.all() {
            families.add(&catalog::CLOSED, &[&shard, cause], count as f64);
        }
    }
}

fn causes(families: &mut Families, metrics: &Metrics) {
    type Of = fn(&ShardCounters) -> &LabeledCounter;
    let summed: [(&Metric, Of); 15] = [
        (&catalog::TIMEOUTS, |s| &s.timeouts),
        (&catalog::PROTOCOL_ERRORS, |s| &s.protocol_errors),
        (&catalog::REFUSED, |s| &s.refused),
        (&catalog::AUTH_REFUSED, |s| &s.auth_refused),
        (&catalog::AUTH_DISCONNECTS, |s| &s.auth_disconnects),
        (&catalog::AUTH_STREAM_ENDS, |s| &s.auth_stream_ends),
        (&catalog::PANICS, |s| &s.panics),
        (&catalog::ACCEPT_ERRORS, |s| &s.accept_errors),
        (&catalog::H2_RESETS, |s| &s.h2_resets),
        (&catalog::H2_GOAWAYS, |s| &s.h2_goaways),
        (&catalog::TLS_HANDSHAKES, |s| &s.handshakes),
        (&catalog::SSE_OVERFLOWS, |s| &s.sse_overflows),
        (&catalog::REPLAY_ERRORS, |s| &s.replay_errors),
        (&catalog::FILE_JOBS, |s| &s.file_jobs),
        (&catalog::FILE_ERRORS, |s| &s.file_errors),
    ];
    for (metric, of) in summed {
        let mut sums: BTreeMap<_, u64> = known(metric).iter().map(|cause| (*cause, 0)).collect();
        for (cause, count) in metrics.shards().iter().flat_map(|s| of(s).all()) {
            *sums.entry(cause).or_insert(0) += count;
        }
        if metric.name == catalog::REPLAY_ERRORS.name {
            let topics = metrics.topics().unwrap_or_default();
            topics.store_errors.into_iter().for_each(|(op, count)| *sums.entry(op).or_insert(0) += count);
        }
        for (cause, count) in sums {
            families.add(metric, &[cause], count as f64);
        }
    }
    type Tokens = fn(&ShardCounters) -> &Counter;
    let tokens: [(&str, Tokens); 2] = [("cached", |s| &s.auth_cached), ("verified", |s| &s.auth_verified)];
    for (result, of) in tokens {
        let count: u64 = metrics.shards().iter().map(|shard| of(shard).value()).sum();
        families.add(&catalog::AUTH_TOKENS, &[result], count as f64);
    }
    for place in ["shard", "worker", "blocking"] {
        families.add(&catalog::STUCK, &[place], metrics.stuck_threads.value(place) as f64);
    }
    for (cause, count) in metrics.bind_errors.all() {
        families.add(&catalog::BIND_ERRORS, &[cause], count as f64);
    }
    for (stream, count) in metrics.lost_log_lines() {
        families.add(&catalog::LOST_LOG_LINES, &[stream], count as f64);
    }
}

fn websockets(families: &mut Families, shards: &[Arc<ShardCounters>]) {
    let (mut closes, mut refused) = (BTreeMap::new(), BTreeMap::new());
    for (shard, counters) in shards.iter().enumerate() {
        let (shard, ws) = (shard.to_string(), &counters.ws);
        families.add(&catalog::WS_OPEN, &[&shard], ws.open.value() as f64);
        for (direction, messages, bytes) in ws.traffic() {
            families.add(&catalog::WS_MESSAGES, &[direction, &shard], messages as f64);
            families.add(&catalog::WS_BYTES, &[direction, &shard], bytes as f64);
        }
        for (by, causes) in [("peer", &ws.closes_by_peer), ("server", &ws.closes_by_server)] {
            causes
                .all()
                .into_iter()
                .for_each(|(code, count)| *closes.entry((by, code)).or_insert(0) += count);
        }
        *closes.entry(("nobody", "abnormal")).or_insert(0) += ws.lost.value();
        ws.refused.all().into_iter().for_each(|(cause, count)| *refused.entry(cause).or_insert(0) += count);
    }
    for ((by, code), count) in closes.into_iter().filter(|(_, count)| *count > 0) {
        families.add(&catalog::WS_CLOSES, &[by, code], count as f64);
    }
    for (cause, count) in refused {
        families.add(&catalog::WS_REFUSED, &[cause], count as f64);
    }
    let full: u64 = shards.iter().map(|counters| counters.ws.full.value()).sum();
    families.add(&catalog::WS_FULL, &[], full as f64);
}

/// Returns the label values that a metric has from the start.
///
/// An alert on an increase does not see a time series that begins with 1. So these begin with 0.
fn known(metric: &Metric) -> &'static [&'static str] {
    match metric.name {
        name if name == catalog::ACCEPT_ERRORS.name => &["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM"],
        name if name == catalog::PANICS.name => &["body", "handler", "hook", "websocket"],
        name if name == catalog::REFUSED.name => &["lag", "pool_full"],
        name if name == catalog::AUTH_REFUSED.name => {
            &["disconnected", "expired", "malformed", "signature", "topic", "unknown_key"]
        }
        name if name == catalog::AUTH_DISCONNECTS.name => &["done", "forgot_another"],
        name if name == catalog::AUTH_STREAM_ENDS.name => &["disconnected", "expired"],
        name if name == catalog::SSE_OVERFLOWS.name => &["close", "drop"],
        name if name == catalog::FILE_ERRORS.name => &["busy", "changed", "changing", "io", "open_files"],
        name if name == catalog::FILE_JOBS.name => &["lookup", "read"],
        name if name == catalog::REPLAY_ERRORS.name => &["append", "read"],
        _ => &[],
    }
}

/// Adds the TLS metrics, if a listener uses TLS.
fn tls(families: &mut Families, metrics: &Metrics) {
    if metrics.tls_reloads().is_empty() {
        return;
    }
    let mut sessions = BTreeMap::new();
    for (shard, counters) in metrics.shards().iter().enumerate() {
        families.add(&catalog::TLS_HANDSHAKING, &[&shard.to_string()], counters.handshaking.value() as f64);
        for (labels, counter) in counters.tls_sessions.all() {
            *sessions.entry(labels).or_insert(0) += counter.value();
        }
    }
    for (labels, count) in sessions.into_iter().filter(|(_, count)| *count > 0) {
        families.add(&catalog::TLS_SESSIONS, &labels, count as f64);
    }
    for result in ["ok", "refused"] {
        let count: u64 = metrics.tls_reloads().iter().map(|reloads| reloads.value(result)).sum();
        families.add(&catalog::TLS_RELOADS, &[result], count as f64);
    }
}

fn pool(families: &mut Families, metrics: &Metrics) {
    let Some(stats) = metrics.pool().map(windlass_actors::Pool::stats) else { return };
    for (lane, stats) in [("async", stats.jobs), ("blocking", stats.blocking)] {
        families.add(&catalog::POOL_QUEUED, &[lane], stats.queued as f64);
        families.add(&catalog::POOL_RUNNING, &[lane], stats.running as f64);
        let outcomes = [
            ("done", stats.done),
            ("rejected", stats.rejected),
            ("late", stats.expired),
            ("cancelled", stats.cancelled),
            ("refused", stats.refused),
            ("panicked", stats.panicked),
        ];
        for (outcome, count) in outcomes {
            families.add(&catalog::POOL_JOBS, &[lane, outcome], count as f64);
        }
    }
}

fn topics(families: &mut Families, metrics: &Metrics) {
    let Some(totals) = metrics.topics() else { return };
    let TopicTotals { topics, subscriptions, forgotten, refused, sum, .. } = totals;
    families.add(&catalog::TOPICS, &[], topics as f64);
    families.add(&catalog::TOPIC_SUBSCRIPTIONS, &[], subscriptions as f64);
    for (cause, count) in forgotten {
        families.add(&catalog::TOPICS_FORGOTTEN, &[cause], count as f64);
    }
    for (limit, count) in refused {
        families.add(&catalog::TOPIC_REFUSED, &[limit], count as f64);
    }
    families.add(&catalog::TOPIC_SUBSCRIBERS, &[], sum.subscribers as f64);
    families.add(&catalog::TOPIC_PUBLISHED, &[], sum.published as f64);
    families.add(&catalog::TOPIC_DELIVERED, &[], sum.delivered as f64);
    families.add(&catalog::TOPIC_DIRECT, &[], sum.direct as f64);
    families.add(&catalog::TOPIC_OVERFLOWS, &["drop"], sum.dropped as f64);
    families.add(&catalog::TOPIC_OVERFLOWS, &["remove"], sum.removed as f64);
    families.add(&catalog::TOPIC_OVERFLOWS, &["close"], sum.closed as f64);
    families.add(&catalog::TOPIC_MISSED, &[], sum.relay_rejected as f64);
    for (outcome, count) in
        [("chosen", sum.asked), ("panicked", sum.ask_panics), ("refused", sum.ask_refused)]
    {
        families.add(&catalog::TOPIC_ASKED, &[outcome], count as f64);
    }
    families.add(&catalog::TOPIC_LAGGING, &[], sum.lagging as f64);
    families.add(&catalog::TOPIC_LAG_EVENTS, &[], sum.lag_events as f64);
    families.add(&catalog::TOPIC_LAG, &[], sum.lag_age.as_secs_f64());
}

fn hubs(families: &mut Families, metrics: &Metrics) {
    let Some(sum) = metrics.hubs() else { return };
    families.add(&catalog::HUB_MEMBERS, &[], sum.subscribers as f64);
    families.add(&catalog::HUB_MESSAGES, &[], sum.published as f64);
    families.add(&catalog::HUB_DELIVERIES, &[], sum.delivered as f64);
    families.add(&catalog::HUB_DIRECT, &[], sum.direct as f64);
    for (policy, count) in [("drop", sum.dropped), ("remove", sum.removed), ("close", sum.closed)] {
        families.add(&catalog::HUB_OVERFLOWS, &[policy], count as f64);
    }
    families.add(&catalog::HUB_MISSED, &[], sum.relay_rejected as f64);
    families.add(&catalog::HUB_FILTER_PANICS, &[], sum.filter_panics as f64);
    families.add(&catalog::HUB_LAG, &[], sum.lag_age.as_secs_f64());
}

fn shards(families: &mut Families, metrics: &Metrics) {
    families.add(&catalog::READY, &[], if metrics.is_ready() { 1.0 } else { 0.0 });
    if let Some((engine, reason)) = metrics.engine() {
        families.add(&catalog::ENGINE, &[engine, reason], 1.0);
    }
    let Some(system) = metrics.system() else { return };
    for (index, stats) in (0..system.shards()).filter_map(|index| Some((index, system.stats(index)?))) {
        let shard = index.to_string();
        families.add(&catalog::SHARD_TURNS, &[&shard], stats.turns() as f64);
        families.add(&catalog::SHARD_LAG, &[&shard], stats.lag().as_secs_f64());
        families.add(&catalog::SHARD_LONGEST_TURN, &[&shard], stats.busy_max().as_secs_f64());
        families.add(&catalog::SHARD_TASKS, &[&shard], stats.tasks() as f64);
        families.add(&catalog::SHARD_INBOX, &[&shard], metrics.inbox_depth(index) as f64);
    }
}

/// Metric families by name, to which samples are added one by one.
#[derive(Default)]
pub(super) struct Families {
    by_name: BTreeMap<&'static str, MetricFamily>,
}

impl Families {
    /// Adds a sample. `labels` holds the values of the metric's labels, in the same order.
    pub(super) fn add(&mut self, metric: &Metric, labels: &[&str], value: f64) {
        let mut sample = sample(metric, labels);
        if metric.kind == MetricType::COUNTER {
            let mut counter = proto::Counter::default();
            counter.set_value(value);
            sample.set_counter(counter);
        } else {
            let mut gauge = proto::Gauge::default();
            gauge.set_value(value);
            sample.set_gauge(gauge);
        }
        self.push(metric, sample);
    }

    /// Adds a histogram. `counts` are not cumulative. The last one counts the values above every bound.
    fn add_histogram(&mut self, metric: &Metric, labels: &[&str], counts: &[u64], sum_seconds: f64) {
        let mut cumulative = 0;
        let mut buckets = Vec::with_capacity(BOUNDS_MICROS.len());
        for (bound, count) in BOUNDS_MICROS.iter().zip(counts) {
            cumulative += count;
            let mut bucket = proto::Bucket::default();
            bucket.set_upper_bound(*bound as f64 / 1e6);
            bucket.set_cumulative_count(cumulative);
            buckets.push(bucket);
        }
        let mut histogram = proto::Histogram::default();
        histogram.set_bucket(buckets);
        histogram.set_sample_count(counts.iter().sum());
        histogram.set_sample_sum(sum_seconds);
        let mut sample = sample(metric, labels);
        sample.set_histogram(histogram);
        self.push(metric, sample);
    }

    fn push(&mut self, metric: &Metric, sample: proto::Metric) {
        let family = self.by_name.entry(metric.name).or_insert_with(|| {
            let mut family = MetricFamily::default();
            family.set_name(metric.name.to_owned());
            family.set_help(metric.help.to_owned());
            family.set_field_type(metric.kind);
            family
        });
        family.mut_metric().push(sample);
    }

    fn into_vec(mut self) -> Vec<MetricFamily> {
        catalog::ALL.iter().filter_map(|metric| self.by_name.remove(metric.name)).collect()
    }
}

fn sample(metric: &Metric, labels: &[&str]) -> proto::Metric {
    debug_assert_eq!(metric.labels.len(), labels.len(), "{}", metric.name);
    let pairs = metric.labels.iter().zip(labels).map(|(name, value)| {
        let mut pair = LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value((*value).to_owned());
        pair
    });
    let mut sample = proto::Metric::default();
    sample.set_label(pairs.collect());
    sample
}
