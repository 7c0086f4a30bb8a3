//! All metrics of one server, and their sums.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, Mutex, OnceLock, PoisonError, Weak,
        atomic::{
            AtomicBool, AtomicU64,
            Ordering::{Relaxed, SeqCst},
        },
    },
    time::Instant,
};

use windlass_actors::{Pool, System, fanout::TopicStats};

use super::{
    activity::{Activity, Worker, WorkerLane},
    counter::{Counter, LabeledCounter},
    route::RouteMetrics,
    shard::ShardCounters,
};

/// Totals of a running server, summed over its shards.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Snapshot {
    /// Requests whose response head was written.
    pub requests: u64,
    /// Async routes in the current route table.
    pub async_routes: u64,
    /// HTTP/1.1 connections that have had an async request. Each counts once.
    pub async_promoted_connections: u64,
    /// Connections that are open now.
    pub connections: u64,
    /// Connections accepted since the start.
    pub accepted: u64,
    /// Bytes received since the start.
    pub received_bytes: u64,
    /// Sent bytes that the kernel has taken.
    pub sent_bytes: u64,
    /// Caught panics of handlers.
    pub handler_panics: u64,
    /// Requests answered with `503` because the pool was full.
    pub pool_refused: u64,
}

/// All metrics of one server.
pub(crate) struct Metrics {
    enabled: bool,
    started_at: Instant,
    shards: Vec<Arc<ShardCounters>>,
    routes: Mutex<BTreeMap<(String, String), Arc<RouteMetrics>>>,
    workers: Mutex<Vec<Weak<Worker>>>,
    /// Threads that were stuck, by kind.
    pub(crate) stuck_threads: LabeledCounter,
    is_stuck: AtomicBool,
    async_routes: AtomicU64,
    connection_limit: AtomicU64,
    ready: AtomicBool,
    draining: AtomicBool,
    engine: OnceLock<(&'static str, String)>,
    system: OnceLock<System>,
    pool: OnceLock<Pool>,
    inbox_depth: OnceLock<Box<dyn Fn(usize) -> usize + Send + Sync>>,
    /// Retries of binding an address, by error. They happen before the shards run.
    pub(crate) bind_errors: LabeledCounter,
    /// Reader of the program's lost log lines, by stream.
    lost_log_lines: OnceLock<LostLogLines>,
    /// Reloads of each certificate, by result.
    tls_reloads: OnceLock<Vec<Arc<LabeledCounter>>>,
    topics: OnceLock<Box<dyn Fn() -> TopicTotals + Send + Sync>>,
    /// Reason that the server is not ready although it serves, if any.
    impediment: OnceLock<Box<dyn Fn() -> Option<&'static str> + Send + Sync>>,
    hubs: OnceLock<Box<dyn Fn() -> TopicStats + Send + Sync>>,
}

/// Reader of the number of log lines that the program has lost, by stream.
#[derive(Clone)]
pub(crate) struct LostLogLines(Arc<dyn Fn() -> Vec<(&'static str, u64)> + Send + Sync>);

impl LostLogLines {
    pub(crate) fn new(read: impl Fn() -> Vec<(&'static str, u64)> + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }
}

impl fmt::Debug for LostLogLines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LostLogLines")
    }
}

/// The number of a broker's topics, and the sum of their statistics.
#[derive(Clone, Debug, Default)]
pub(crate) struct TopicTotals {
    pub(crate) topics: usize,
    pub(crate) subscriptions: usize,
    /// Topics that are no longer open, by cause.
    pub(crate) forgotten: [(&'static str, u64); 2],
    /// Refused subscriptions, by limit.
    pub(crate) refused: [(&'static str, u64); 2],
    pub(crate) sum: TopicStats,
    /// Failures of the replay store, by operation.
    pub(crate) store_errors: Vec<(&'static str, u64)>,
}

impl Metrics {
    pub(crate) fn new(shards: usize, enabled: bool) -> Arc<Self> {
        Arc::new(Self {
            enabled,
            started_at: Instant::now(),
            shards: (0..shards).map(|_| Arc::default()).collect(),
            routes: Mutex::default(),
            workers: Mutex::default(),
            stuck_threads: LabeledCounter::default(),
            is_stuck: AtomicBool::new(false),
            async_routes: AtomicU64::new(0),
            connection_limit: AtomicU64::new(0),
            ready: AtomicBool::new(false),
            draining: AtomicBool::new(false),
            engine: OnceLock::new(),
            system: OnceLock::new(),
            pool: OnceLock::new(),
            inbox_depth: OnceLock::new(),
            bind_errors: LabeledCounter::default(),
            lost_log_lines: OnceLock::new(),
            tls_reloads: OnceLock::new(),
            topics: OnceLock::new(),
            impediment: OnceLock::new(),
            hubs: OnceLock::new(),
        })
    }

    /// Records the maximum number of connections of the server, for its metric.
    pub(crate) fn set_connection_limit(&self, connections: usize) {
        self.connection_limit.store(connections as u64, Relaxed);
    }

    pub(crate) fn connection_limit(&self) -> u64 {
        self.connection_limit.load(Relaxed)
    }

    /// Returns `true` if latencies and status classes of requests are counted.
    pub(crate) fn enabled(&self) -> bool {
        self.enabled
    }

    /// Returns the time at which the server began to start.
    pub(crate) fn started_at(&self) -> Instant {
        self.started_at
    }

    pub(crate) fn shards(&self) -> &[Arc<ShardCounters>] {
        &self.shards
    }

    /// Returns the metrics of a route. Repeated calls with the same template and method return the same ones.
    pub(crate) fn route(&self, template: &str, method: &str) -> Arc<RouteMetrics> {
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (template.to_owned(), method.to_owned());
        let number = u32::try_from(routes.len() + 1).unwrap_or(u32::MAX);
        routes
            .entry(key)
            .or_insert_with(|| Arc::new(RouteMetrics::new(number, template, method, self.shards.len())))
            .clone()
    }

    /// Returns the route with this number.
    pub(crate) fn route_by_number(&self, number: u32) -> Option<Arc<RouteMetrics>> {
        self.routes().into_iter().find(|route| route.number() == number)
    }

    /// Adds a worker of the pool. It counts until the returned value is dropped.
    pub(crate) fn add_worker(&self, lane: WorkerLane) -> Arc<Worker> {
        let worker = Arc::new(Worker { lane, activity: Activity::default() });
        self.workers.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(&worker));
        worker
    }

    /// Returns the workers of the pool that have run a job.
    pub(crate) fn workers(&self) -> Vec<Arc<Worker>> {
        let mut workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        workers.retain(|worker| worker.strong_count() > 0);
        workers.iter().filter_map(Weak::upgrade).collect()
    }

    /// Sets whether a thread has been stuck for so long that the server is unhealthy.
    pub(crate) fn set_stuck(&self, is_stuck: bool) {
        self.is_stuck.store(is_stuck, Relaxed);
    }

    /// Returns `true` if a thread has been stuck for so long that the server is unhealthy.
    pub(crate) fn is_stuck(&self) -> bool {
        self.is_stuck.load(Relaxed)
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
        // A drain clears this flag first. The order matters to shards that hand connections over to each
        // other.
        self.ready.store(ready, SeqCst);
    }

    /// Marks the server as draining and not ready: it accepts no new work from now on.
    pub(crate) fn start_drain(&self) {
        self.draining.store(true, SeqCst);
        self.set_ready(false);
    }

    /// Returns `true` if the server drains. Its shards learn of it one by one, by a message.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(SeqCst)
    }

    /// Returns `true` if the server accepts new work: it has started and does not drain.
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

    pub(crate) fn set_impediment(&self, read: impl Fn() -> Option<&'static str> + Send + Sync + 'static) {
        let _ = self.impediment.set(Box::new(read));
    }

    /// Returns the reason that the server is not ready although it serves, or `None` if there is none.
    pub(crate) fn impediment(&self) -> Option<&'static str> {
        self.impediment.get().and_then(|read| read())
    }

    pub(crate) fn set_topics(&self, totals: impl Fn() -> TopicTotals + Send + Sync + 'static) {
        let _ = self.topics.set(Box::new(totals));
    }

    /// Returns the totals of the topics, or `None` without a broker.
    pub(crate) fn topics(&self) -> Option<TopicTotals> {
        self.topics.get().map(|totals| totals())
    }

    #[cfg_attr(not(feature = "ws"), expect(dead_code, reason = "there are no hubs without WebSocket"))]
    pub(crate) fn set_hubs(&self, sum: impl Fn() -> TopicStats + Send + Sync + 'static) {
        let _ = self.hubs.set(Box::new(sum));
    }

    /// Returns the totals of the hubs, or `None` without a hub.
    pub(crate) fn hubs(&self) -> Option<TopicStats> {
        self.hubs.get().map(|sum| sum())
    }

    /// Returns the number of messages in a shard's inbox, or 0 before the server has started.
    pub(crate) fn inbox_depth(&self, shard: usize) -> usize {
        self.inbox_depth.get().map_or(0, |depth| depth(shard))
    }

    #[cfg_attr(not(feature = "tls"), expect(dead_code, reason = "there are no certificates without TLS"))]
    pub(crate) fn set_tls_reloads(&self, reloads: Vec<Arc<LabeledCounter>>) {
        let _ = self.tls_reloads.set(reloads);
    }

    pub(crate) fn tls_reloads(&self) -> &[Arc<LabeledCounter>] {
        self.tls_reloads.get().map_or(&[], Vec::as_slice)
    }

    pub(crate) fn set_lost_log_lines(&self, lost: LostLogLines) {
        let _ = self.lost_log_lines.set(lost);
    }

    /// Returns the number of log lines that the program has lost, by stream. Empty without a reader.
    pub(crate) fn lost_log_lines(&self) -> Vec<(&'static str, u64)> {
        self.lost_log_lines.get().map_or_else(Vec::new, |lost| (lost.0)())
    }

    pub(crate) fn set_pool(&self, pool: Pool) {
        let _ = self.pool.set(pool);
    }

    pub(crate) fn pool(&self) -> Option<&Pool> {
        self.pool.get()
    }

    /// Returns the totals of the server, summed over all shards.
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
