//! Counters: written by one shard each without locks or shared cache lines, summed when somebody scrapes.

pub(crate) mod catalog;
mod counters;
pub(crate) mod dashboard;
mod route;
mod scrape;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{
            AtomicBool, AtomicU64,
            Ordering::{Relaxed, SeqCst},
        },
    },
    time::Instant,
};

use windlass_actors::{Pool, System, fanout::TopicStats};

pub(crate) use counters::{
    Counter, DispatchKind, HttpVersion, LabeledCounter, ShardCounters, TlsProtocol, TlsVersion,
};
pub(crate) use route::{RouteMetrics, UNMATCHED};
pub use scrape::Collector;

/// What the running server did so far, summed over its shards.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Snapshot {
    /// Requests whose response head was made.
    pub requests: u64,
    /// Routes of the current table whose dispatch is async.
    pub async_routes: u64,
    /// Connections that left pure-inline mode, each counted once.
    pub async_promoted_connections: u64,
    /// Connections that have a slot.
    pub connections: u64,
    /// Connections accepted.
    pub accepted: u64,
    /// Bytes received.
    pub received_bytes: u64,
    /// Bytes the kernel took.
    pub sent_bytes: u64,
    /// Panics contained in handlers.
    pub handler_panics: u64,
    /// Requests answered `503` because the pool was full.
    pub pool_refused: u64,
}

/// The counters of one server.
pub(crate) struct Metrics {
    enabled: bool,
    since: Instant,
    shards: Vec<Arc<ShardCounters>>,
    routes: Mutex<BTreeMap<(String, String), Arc<RouteMetrics>>>,
    async_routes: AtomicU64,
    connection_limit: AtomicU64,
    ready: AtomicBool,
    draining: AtomicBool,
    engine: OnceLock<(&'static str, String)>,
    system: OnceLock<System>,
    pool: OnceLock<Pool>,
    inbox_depth: OnceLock<Box<dyn Fn(usize) -> usize + Send + Sync>>,
    /// Failures that happen outside the shards.
    pub(crate) causes: LabeledCounter,
    /// Reloads of each pair of certificate and key, by result.
    tls_reloads: OnceLock<Vec<Arc<LabeledCounter>>>,
    topics: OnceLock<Box<dyn Fn() -> TopicTotals + Send + Sync>>,
    hubs: OnceLock<Box<dyn Fn() -> TopicStats + Send + Sync>>,
}

/// The figures of a broker's topics: how many they are, and their sum.
#[derive(Clone, Debug, Default)]
pub(crate) struct TopicTotals {
    pub(crate) topics: usize,
    pub(crate) sum: TopicStats,
    /// Failures of the store, by what it was doing.
    pub(crate) store_errors: Vec<(&'static str, u64)>,
}

impl Metrics {
    pub(crate) fn new(shards: usize, enabled: bool) -> Arc<Self> {
        Arc::new(Self {
            enabled,
            since: Instant::now(),
            shards: (0..shards).map(|_| Arc::default()).collect(),
            routes: Mutex::default(),
            async_routes: AtomicU64::new(0),
            connection_limit: AtomicU64::new(0),
            ready: AtomicBool::new(false),
            draining: AtomicBool::new(false),
            engine: OnceLock::new(),
            system: OnceLock::new(),
            pool: OnceLock::new(),
            inbox_depth: OnceLock::new(),
            causes: LabeledCounter::default(),
            tls_reloads: OnceLock::new(),
            topics: OnceLock::new(),
            hubs: OnceLock::new(),
        })
    }

    /// Says how many connections the server may hold.
    pub(crate) fn set_connection_limit(&self, connections: usize) {
        self.connection_limit.store(connections as u64, Relaxed);
    }

    pub(crate) fn connection_limit(&self) -> u64 {
        self.connection_limit.load(Relaxed)
    }

    /// Says whether per-request figures are wanted.
    pub(crate) fn enabled(&self) -> bool {
        self.enabled
    }

    /// Returns when the server began to start.
    pub(crate) fn since(&self) -> Instant {
        self.since
    }

    pub(crate) fn shards(&self) -> &[Arc<ShardCounters>] {
        &self.shards
    }

    /// Returns the figures of one route, the same ones whenever the same template and method are compiled again.
    pub(crate) fn route(&self, template: &str, method: &str) -> Arc<RouteMetrics> {
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (template.to_owned(), method.to_owned());
        routes
            .entry(key)
            .or_insert_with(|| Arc::new(RouteMetrics::new(template, method, self.shards.len())))
            .clone()
    }

    pub(crate) fn routes(&self) -> Vec<Arc<RouteMetrics>> {
        self.routes.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    pub(crate) fn set_async_routes(&self, routes: usize) {
        self.async_routes.store(routes as u64, Relaxed);
    }

    pub(crate) fn async_routes(&self) -> u64 {
        self.async_routes.load(Relaxed)
    }

    pub(crate) fn set_ready(&self, ready: bool) {
        // A drain begins with it; see what shards announce to each other.
        self.ready.store(ready, SeqCst);
    }

    /// Notes that the server ends: it takes no new work from here on.
    pub(crate) fn start_drain(&self) {
        self.draining.store(true, SeqCst);
        self.set_ready(false);
    }

    /// Says whether the server ends, which its shards are told one by one.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(SeqCst)
    }

    /// Says whether the server takes new work.
    pub(crate) fn is_ready(&self) -> bool {
        self.ready.load(SeqCst)
    }

    pub(crate) fn set_engine(&self, engine: &'static str, reason: String) {
        let _ = self.engine.set((engine, reason));
    }

    pub(crate) fn engine(&self) -> Option<(&'static str, &str)> {
        self.engine.get().map(|(engine, reason)| (*engine, reason.as_str()))
    }

    pub(crate) fn set_system(&self, system: System) {
        let _ = self.system.set(system);
    }

    pub(crate) fn system(&self) -> Option<&System> {
        self.system.get()
    }

    pub(crate) fn set_inbox_depth(&self, depth: impl Fn(usize) -> usize + Send + Sync + 'static) {
        let _ = self.inbox_depth.set(Box::new(depth));
    }

    pub(crate) fn set_topics(&self, totals: impl Fn() -> TopicTotals + Send + Sync + 'static) {
        let _ = self.topics.set(Box::new(totals));
    }

    /// Returns the topics' figures; none without a broker.
    pub(crate) fn topics(&self) -> Option<TopicTotals> {
        self.topics.get().map(|totals| totals())
    }

    #[cfg_attr(not(feature = "ws"), expect(dead_code, reason = "there are no hubs without WebSocket"))]
    pub(crate) fn set_hubs(&self, sum: impl Fn() -> TopicStats + Send + Sync + 'static) {
        let _ = self.hubs.set(Box::new(sum));
    }

    /// Returns the hubs' figures; none without a hub.
    pub(crate) fn hubs(&self) -> Option<TopicStats> {
        self.hubs.get().map(|sum| sum())
    }

    /// Returns how many messages wait for a shard.
    pub(crate) fn inbox_depth(&self, shard: usize) -> usize {
        self.inbox_depth.get().map_or(0, |depth| depth(shard))
    }

    #[cfg_attr(not(feature = "tls"), expect(dead_code, reason = "nothing is reloaded without TLS"))]
    pub(crate) fn set_tls_reloads(&self, reloads: Vec<Arc<LabeledCounter>>) {
        let _ = self.tls_reloads.set(reloads);
    }

    pub(crate) fn tls_reloads(&self) -> &[Arc<LabeledCounter>] {
        self.tls_reloads.get().map_or(&[], Vec::as_slice)
    }

    pub(crate) fn set_pool(&self, pool: Pool) {
        let _ = self.pool.set(pool);
    }

    pub(crate) fn pool(&self) -> Option<&Pool> {
        self.pool.get()
    }

    /// Sums everything up.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let sum = |of: fn(&ShardCounters) -> &Counter| self.shards.iter().map(|s| of(s).value()).sum::<u64>();
        let cause = |of: fn(&ShardCounters) -> &LabeledCounter, name: &str| -> u64 {
            self.shards.iter().map(|s| of(s).value(name)).sum()
        };
        let (accepted, closed) = (sum(|s| &s.accepted), sum(|s| &s.closed));
        Snapshot {
            requests: self.shards.iter().map(|s| s.dispatched_total()).sum(),
            async_routes: self.async_routes(),
            async_promoted_connections: sum(|s| &s.promoted),
            connections: accepted.saturating_sub(closed),
            accepted,
            received_bytes: sum(|s| &s.received_bytes),
            sent_bytes: sum(|s| &s.sent_bytes),
            handler_panics: cause(|s| &s.panics, "handler"),
            pool_refused: cause(|s| &s.refused, "pool_full"),
        }
    }
}
