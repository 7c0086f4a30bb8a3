//! What the connections of one shard have in common: clock, date, routes, limits, counters, the way to the pool.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    rc::Rc,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use windlass_actors::{Local, Reader, ShardSender};

use super::{Msg, Outcome, crowd::Crowd, date::DateCache, secure::Handshakes, timers::Deadlines};
use crate::{
    hooks::Hooks,
    limits::{Limits, Timeouts},
    metrics::{Metrics, ShardCounters},
    net::ConnId,
    proto::h1,
    request::Context,
    routing::{
        route::Shed,
        table::{RouteTable, View},
    },
    tls::{Acceptor, Tls},
};

/// What is left of a batch that took so long has waited longer than its beginning tells.
const LONG_BATCH: Duration = Duration::from_millis(5);

/// What every shard of a server is given.
#[derive(Clone)]
pub(crate) struct Common {
    pub(crate) limits: Limits,
    pub(crate) timeouts: Timeouts,
    pub(crate) hooks: Hooks,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) context: Context,
    /// By listener: what its connections start with.
    pub(crate) entrances: Vec<Entrance>,
    /// HTTP/2 is spoken with clients that begin with it.
    pub(crate) http2: bool,
    /// Connections a shard may hold.
    pub(crate) shard_connections: usize,
    /// The inboxes of all shards; there before the first socket is.
    pub(crate) senders: Arc<OnceLock<Vec<ShardSender<Msg>>>>,
}

/// What the connections of one listener start with.
#[derive(Clone, Debug, Default)]
pub(crate) struct Entrance {
    /// A PROXY preamble.
    pub(crate) is_proxied: bool,
    /// A TLS handshake, behind the preamble if there is one.
    pub(crate) tls: Option<Tls>,
}

impl Entrance {
    fn on_shard(&self, http2: bool) -> (bool, Option<Acceptor>) {
        (self.is_proxied, self.tls.as_ref().map(|tls| tls.acceptor(http2)))
    }
}

/// How a draining shard's connections ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Connections that ended after their last reply.
    pub(crate) drained: u64,
    /// Connections that were cut, by what they were doing.
    pub(crate) cut: BTreeMap<&'static str, u64>,
}

/// A reply of a guest of this shard, to be taken in the driver's next turn.
pub(super) struct LocalReply {
    pub(super) id: ConnId,
    pub(super) seq: u32,
    pub(super) outcome: Outcome,
}

/// One shard's surroundings of its connections.
pub(crate) struct Env {
    /// When the current batch began.
    pub(super) now: Instant,
    /// The last reading of the clock: later than `now` once a handler ran in this batch.
    pub(super) clock: Instant,
    pub(super) date: DateCache,
    pub(super) shard: usize,
    pub(super) local: Local,
    senders: Arc<OnceLock<Vec<ShardSender<Msg>>>>,
    pub(super) limits: Limits,
    pub(super) h1_limits: h1::Limits,
    pub(super) timeouts: Timeouts,
    pub(super) hooks: Hooks,
    /// By listener: whether a PROXY preamble comes, and what begins handshakes.
    entrances: Vec<(bool, Option<Acceptor>)>,
    pub(super) handshakes: Handshakes,
    /// HTTP/2 is spoken with clients that begin with it; never in a build without it.
    pub(super) http2: bool,
    pub(super) counters: Arc<ShardCounters>,
    metrics: Arc<Metrics>,
    pub(super) view: Arc<View>,
    reader: Reader<RouteTable>,
    context: Arc<Context>,
    /// Parsed into again and again.
    pub(super) head: h1::Head,
    pub(super) deadlines: Deadlines,
    pub(super) replies: Rc<RefCell<Vec<LocalReply>>>,
    pub(super) crowd: Crowd,
    /// Connections were opened since the server had room enough.
    pub(super) crowded: bool,
    /// Set once the server drains.
    pub(super) tally: Option<Tally>,
    last_warning: Option<Instant>,
}

impl Env {
    pub(crate) fn new(common: &Common, local: Local, mut reader: Reader<RouteTable>) -> Self {
        let now = Instant::now();
        // An allocation of this shard's own, so that requests of other shards do not touch its count.
        let shard = local.shard();
        let counters = common.metrics.shards()[shard].clone();
        let context = Arc::new(Context { counters: counters.clone(), ..common.context.clone() });
        let view = View::new(reader.load().clone(), context.clone());
        let http2 = common.http2 && cfg!(feature = "http2");
        Self {
            now,
            clock: now,
            date: DateCache::new(now),
            shard,
            local,
            senders: common.senders.clone(),
            h1_limits: h1_limits(&common.limits),
            limits: common.limits.clone(),
            timeouts: common.timeouts.clone(),
            hooks: common.hooks.clone(),
            entrances: common.entrances.iter().map(|entrance| entrance.on_shard(http2)).collect(),
            handshakes: Handshakes::default(),
            http2,
            counters,
            metrics: common.metrics.clone(),
            view,
            reader,
            context,
            head: h1::Head::default(),
            deadlines: Deadlines::default(),
            replies: Rc::default(),
            crowd: Crowd::new(common.metrics.clone(), shard, common.shard_connections),
            crowded: false,
            tally: None,
            last_warning: None,
        }
    }

    /// Starts a batch: reads the clock and takes up a new route table.
    pub(super) fn begin_batch(&mut self) {
        self.now = self.local.record_poll();
        self.clock = self.now;
        self.handshakes.begin_turn();
        let table = self.reader.load();
        if !Arc::ptr_eq(table, &self.view.table) {
            self.view = View::new(table.clone(), self.context.clone());
        }
    }

    /// Returns what connections of a listener start with: a PROXY preamble, a handshake.
    pub(super) fn entrance(&self, listener: usize) -> (bool, Option<Acceptor>) {
        self.entrances.get(listener).cloned().unwrap_or_default()
    }

    /// Returns this shard's own inbox, for replies from elsewhere.
    pub(super) fn sender(&self) -> Option<&ShardSender<Msg>> {
        self.sender_of(self.shard)
    }

    /// Returns a shard's inbox.
    pub(super) fn sender_of(&self, shard: usize) -> Option<&ShardSender<Msg>> {
        self.senders.get()?.get(shard)
    }

    /// Learns that the server drains before this shard is told: topics and sockets are told by another way, and what ends for
    /// it counts.
    pub(super) fn look_for_drain(&mut self) {
        if self.metrics.is_draining() {
            self.tally.get_or_insert_default();
        }
    }

    /// Says whether the server drains.
    pub(super) fn is_draining(&self) -> bool {
        self.tally.is_some()
    }

    /// Says whether this shard lags so much that a request of such a route is refused.
    pub(super) fn sheds(&self, shed: Shed) -> bool {
        let lag = self.local.lag();
        if lag.is_zero() {
            return false;
        }
        let most = match shed {
            Shed::First => self.timeouts.shed_async,
            Shed::Last => self.timeouts.shed_all,
            Shed::Never => None,
        };
        most.is_some_and(|most| lag > most)
    }

    /// Says whether per-request figures are wanted.
    pub(super) fn counts_requests(&self) -> bool {
        self.metrics.enabled()
    }

    /// Notes that the clock was read.
    pub(super) fn read_clock(&mut self) -> Instant {
        self.clock = Instant::now();
        if self.clock.saturating_duration_since(self.now) > LONG_BATCH {
            self.local.record_lag(self.clock);
        }
        self.clock
    }

    /// Says whether one more warning may be logged: at most one a second and shard.
    pub(super) fn may_warn(&mut self) -> bool {
        let may = self
            .last_warning
            .is_none_or(|at| self.now.saturating_duration_since(at) >= Duration::from_secs(1));
        if may {
            self.last_warning = Some(self.now);
        }
        may
    }
}

fn h1_limits(limits: &Limits) -> h1::Limits {
    h1::Limits {
        line_bytes: limits.request_line_bytes,
        head_bytes: limits.head_bytes,
        headers: limits.headers,
        extension_bytes: limits.chunk_extension_bytes,
        trailer_bytes: limits.trailer_bytes,
    }
}
