//! The scrape: counters summed into Prometheus families. The only place that names the `prometheus` crate's types.

use std::{collections::BTreeMap, sync::Arc};

use prometheus::{
    TextEncoder,
    core::Desc,
    proto::{self, LabelPair, MetricFamily, MetricType},
};

use super::{
    Metrics, TopicTotals,
    catalog::{self, Metric},
    counters::{Counter, DispatchKind, HttpVersion, LabeledCounter, ShardCounters},
    route::{BOUNDS_MICROS, CLASSES, RouteCounters, RouteMetrics},
};

/// Gives a running server's metrics to a `prometheus::Registry` of the program it is embedded in.
///
/// Register it once: `registry.register(Box::new(server.collector()))`. Each scrape sums the shards' counters.
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

    /// Writes the Prometheus text format.
    pub(crate) fn text(&self) -> String {
        let families = collect(&self.metrics);
        TextEncoder::new().encode_to_string(&families).unwrap_or_else(|error| {
            tracing::error!(%error, "the metrics cannot be written");
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
    let mut page = Page::default();
    routes(&mut page, &metrics.routes());
    dispatch(&mut page, metrics);
    page.add(&catalog::CONNECTION_LIMIT, &[], metrics.connection_limit() as f64);
    connections(&mut page, metrics.shards());
    causes(&mut page, metrics);
    websockets(&mut page, metrics.shards());
    tls(&mut page, metrics);
    pool(&mut page, metrics);
    topics(&mut page, metrics);
    hubs(&mut page, metrics);
    shards(&mut page, metrics);
    page.into_families()
}

fn routes(page: &mut Page, families: &[Arc<RouteMetrics>]) {
    for family in families {
        let sum = |of: &dyn Fn(&RouteCounters) -> &Counter| {
            family.shards.iter().map(|s| of(s).value()).sum::<u64>()
        };
        let (route, method) = (family.template.as_str(), family.method.as_str());
        for (index, class) in CLASSES.iter().enumerate() {
            let count = sum(&|counters| &counters.classes[index]);
            if count > 0 {
                page.add(&catalog::REQUESTS, &[route, method, class], count as f64);
            }
        }
        let buckets: Vec<u64> =
            (0..=BOUNDS_MICROS.len()).map(|index| sum(&|counters| &counters.buckets[index])).collect();
        if buckets.iter().any(|count| *count > 0) {
            let nanos = sum(&|counters| &counters.sum_nanos);
            page.add_histogram(&catalog::DURATION, &[route, method], &buckets, nanos as f64 / 1e9);
        }
        let stalls = sum(&|counters| &counters.stalls);
        if stalls > 0 {
            page.add(&catalog::STALLS, &[route], stalls as f64);
        }
    }
}

fn dispatch(page: &mut Page, metrics: &Metrics) {
    page.add(&catalog::ASYNC_ROUTES, &[], metrics.async_routes() as f64);
    let promoted: u64 = metrics.shards().iter().map(|s| s.promoted.value()).sum();
    page.add(&catalog::PROMOTED, &[], promoted as f64);
    for (shard, counters) in metrics.shards().iter().enumerate() {
        let shard = shard.to_string();
        for (version, kind) in
            HttpVersion::ALL.into_iter().flat_map(|version| DispatchKind::ALL.map(|kind| (version, kind)))
        {
            let labels = [kind.name(), version.name(), shard.as_str()];
            page.add(&catalog::DISPATCHED, &labels, counters.dispatched(version, kind).value() as f64);
        }
    }
}

fn connections(page: &mut Page, shards: &[Arc<ShardCounters>]) {
    for (shard, counters) in shards.iter().enumerate() {
        let shard = shard.to_string();
        let open = counters.open();
        let active = counters.active.value().min(open);
        page.add(&catalog::CONNECTIONS, &[&shard, "active"], active as f64);
        page.add(&catalog::CONNECTIONS, &[&shard, "idle"], (open - active) as f64);
        page.add(&catalog::ACCEPTED, &[&shard], counters.accepted.value() as f64);
        page.add(&catalog::HANDED_OVER, &[&shard], counters.handed_over.value() as f64);
        page.add(&catalog::RECEIVED, &[&shard], counters.received_bytes.value() as f64);
        page.add(&catalog::SENT, &[&shard], counters.sent_bytes.value() as f64);
        page.add(&catalog::H2_CONNECTIONS, &[&shard], counters.h2_connections.value() as f64);
        page.add(&catalog::H2_STREAMS, &[&shard], counters.h2_streams.value() as f64);
        for (cause, count) in counters.closes.all() {
            page.add(&catalog::CLOSED, &[&shard, cause], count as f64);
        }
    }
}

fn causes(page: &mut Page, metrics: &Metrics) {
    type Of = fn(&ShardCounters) -> &LabeledCounter;
    let summed: [(&Metric, Of); 10] = [
        (&catalog::TIMEOUTS, |s| &s.timeouts),
        (&catalog::PROTOCOL_ERRORS, |s| &s.protocol_errors),
        (&catalog::REFUSED, |s| &s.refused),
        (&catalog::PANICS, |s| &s.panics),
        (&catalog::ACCEPT_ERRORS, |s| &s.accept_errors),
        (&catalog::H2_RESETS, |s| &s.h2_resets),
        (&catalog::H2_GOAWAYS, |s| &s.h2_goaways),
        (&catalog::TLS_HANDSHAKES, |s| &s.handshakes),
        (&catalog::SSE_OVERFLOWS, |s| &s.sse_overflows),
        (&catalog::REPLAY_ERRORS, |s| &s.replay_errors),
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
            page.add(metric, &[cause], count as f64);
        }
    }
    for (cause, count) in metrics.causes.all() {
        page.add(&catalog::BIND_ERRORS, &[cause], count as f64);
    }
}

fn websockets(page: &mut Page, shards: &[Arc<ShardCounters>]) {
    let (mut closes, mut refused) = (BTreeMap::new(), BTreeMap::new());
    for (shard, counters) in shards.iter().enumerate() {
        let (shard, ws) = (shard.to_string(), &counters.ws);
        page.add(&catalog::WS_OPEN, &[&shard], ws.open.value() as f64);
        for (direction, messages, bytes) in ws.traffic() {
            page.add(&catalog::WS_MESSAGES, &[direction, &shard], messages as f64);
            page.add(&catalog::WS_BYTES, &[direction, &shard], bytes as f64);
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
        page.add(&catalog::WS_CLOSES, &[by, code], count as f64);
    }
    for (cause, count) in refused {
        page.add(&catalog::WS_REFUSED, &[cause], count as f64);
    }
    let full: u64 = shards.iter().map(|counters| counters.ws.full.value()).sum();
    page.add(&catalog::WS_FULL, &[], full as f64);
}

/// Returns the causes that a metric has from the start: an alert sees only what grows, not what appears.
fn known(metric: &Metric) -> &'static [&'static str] {
    match metric.name {
        name if name == catalog::ACCEPT_ERRORS.name => &["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM"],
        name if name == catalog::PANICS.name => &["body", "handler", "hook"],
        name if name == catalog::REFUSED.name => &["lag", "pool_full"],
        name if name == catalog::SSE_OVERFLOWS.name => &["close", "drop"],
        name if name == catalog::REPLAY_ERRORS.name => &["append", "read"],
        _ => &[],
    }
}

/// Adds the figures of TLS; none where no listener speaks it.
fn tls(page: &mut Page, metrics: &Metrics) {
    if metrics.tls_reloads().is_empty() {
        return;
    }
    let mut sessions = BTreeMap::new();
    for (shard, counters) in metrics.shards().iter().enumerate() {
        page.add(&catalog::TLS_HANDSHAKING, &[&shard.to_string()], counters.handshaking.value() as f64);
        for (labels, counter) in counters.tls_sessions.all() {
            *sessions.entry(labels).or_insert(0) += counter.value();
        }
    }
    for (labels, count) in sessions.into_iter().filter(|(_, count)| *count > 0) {
        page.add(&catalog::TLS_SESSIONS, &labels, count as f64);
    }
    for result in ["ok", "refused"] {
        let count: u64 = metrics.tls_reloads().iter().map(|reloads| reloads.value(result)).sum();
        page.add(&catalog::TLS_RELOADS, &[result], count as f64);
    }
}

fn pool(page: &mut Page, metrics: &Metrics) {
    let Some(stats) = metrics.pool().map(windlass_actors::Pool::stats) else { return };
    for (lane, stats) in [("async", stats.jobs), ("blocking", stats.blocking)] {
        page.add(&catalog::POOL_QUEUED, &[lane], stats.queued as f64);
        page.add(&catalog::POOL_RUNNING, &[lane], stats.running as f64);
        let outcomes = [
            ("done", stats.done),
            ("rejected", stats.rejected),
            ("late", stats.expired),
            ("cancelled", stats.cancelled),
            ("refused", stats.refused),
            ("panicked", stats.panicked),
        ];
        for (outcome, count) in outcomes {
            page.add(&catalog::POOL_JOBS, &[lane, outcome], count as f64);
        }
    }
}

fn topics(page: &mut Page, metrics: &Metrics) {
    let Some(TopicTotals { topics, sum, .. }) = metrics.topics() else { return };
    page.add(&catalog::TOPICS, &[], topics as f64);
    page.add(&catalog::TOPIC_SUBSCRIBERS, &[], sum.subscribers as f64);
    page.add(&catalog::TOPIC_PUBLISHED, &[], sum.published as f64);
    page.add(&catalog::TOPIC_DELIVERED, &[], sum.delivered as f64);
    page.add(&catalog::TOPIC_OVERFLOWS, &["drop"], sum.dropped as f64);
    page.add(&catalog::TOPIC_OVERFLOWS, &["remove"], sum.removed as f64);
    page.add(&catalog::TOPIC_OVERFLOWS, &["close"], sum.closed as f64);
    page.add(&catalog::TOPIC_MISSED, &[], sum.relay_rejected as f64);
    for (outcome, count) in
        [("chosen", sum.asked), ("panicked", sum.ask_panics), ("refused", sum.ask_refused)]
    {
        page.add(&catalog::TOPIC_ASKED, &[outcome], count as f64);
    }
    page.add(&catalog::TOPIC_LAGGING, &[], sum.lagging as f64);
    page.add(&catalog::TOPIC_LAG_EVENTS, &[], sum.lag_events as f64);
    page.add(&catalog::TOPIC_LAG, &[], sum.lag_age.as_secs_f64());
}

fn hubs(page: &mut Page, metrics: &Metrics) {
    let Some(sum) = metrics.hubs() else { return };
    page.add(&catalog::HUB_MEMBERS, &[], sum.subscribers as f64);
    page.add(&catalog::HUB_MESSAGES, &[], sum.published as f64);
    page.add(&catalog::HUB_DELIVERIES, &[], sum.delivered as f64);
    for (policy, count) in [("drop", sum.dropped), ("remove", sum.removed), ("close", sum.closed)] {
        page.add(&catalog::HUB_OVERFLOWS, &[policy], count as f64);
    }
    page.add(&catalog::HUB_MISSED, &[], sum.relay_rejected as f64);
    page.add(&catalog::HUB_FILTER_PANICS, &[], sum.filter_panics as f64);
    page.add(&catalog::HUB_LAG, &[], sum.lag_age.as_secs_f64());
}

fn shards(page: &mut Page, metrics: &Metrics) {
    page.add(&catalog::READY, &[], if metrics.is_ready() { 1.0 } else { 0.0 });
    if let Some((engine, reason)) = metrics.engine() {
        page.add(&catalog::ENGINE, &[engine, reason], 1.0);
    }
    let Some(system) = metrics.system() else { return };
    for (index, stats) in (0..system.shards()).filter_map(|index| Some((index, system.stats(index)?))) {
        let shard = index.to_string();
        page.add(&catalog::SHARD_TURNS, &[&shard], stats.turns() as f64);
        page.add(&catalog::SHARD_LAG, &[&shard], stats.lag().as_secs_f64());
        page.add(&catalog::SHARD_HELD, &[&shard], stats.busy_max().as_secs_f64());
        page.add(&catalog::SHARD_GUESTS, &[&shard], stats.tasks() as f64);
        page.add(&catalog::SHARD_INBOX, &[&shard], metrics.inbox_depth(index) as f64);
    }
}

/// Families by name, filled sample by sample.
#[derive(Default)]
pub(super) struct Page {
    families: BTreeMap<&'static str, MetricFamily>,
}

impl Page {
    /// Adds one sample; `labels` are the values of the metric's labels in their order.
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

    /// Adds one histogram of plain (not cumulative) bucket counts; the last is above every bound.
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
        let family = self.families.entry(metric.name).or_insert_with(|| {
            let mut family = MetricFamily::default();
            family.set_name(metric.name.to_owned());
            family.set_help(metric.help.to_owned());
            family.set_field_type(metric.kind);
            family
        });
        family.mut_metric().push(sample);
    }

    fn into_families(mut self) -> Vec<MetricFamily> {
        catalog::ALL.iter().filter_map(|metric| self.families.remove(metric.name)).collect()
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
