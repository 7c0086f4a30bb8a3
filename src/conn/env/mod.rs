//! State that the connections of one shard share: clock, routes, limits, counters, deadlines, channels to
//! other threads.
//!
//! It must not know connections or protocols: both are built on it.

mod balance;
mod date;
mod handshakes;
mod routers;

use std::{
    cell::RefCell,
    rc::Rc,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use windlass_actors::{Local, Reader, ShardSender, clock};

use super::{
    message::{DrainCounts, LocalReply, Msg},
    timers::Deadlines,
};
#[cfg(feature = "http2")]
use crate::proto::h2;
use crate::{
    hooks::Hooks,
    limits::{Limits, Timeouts},
    metrics::{Metrics, ShardCounters},
    proto::h1,
    request::{Context, TrustedProxies},
    response::Response,
    routing::{
        handler::{Answer, Asked},
        route::Shed,
        table::RouteTable,
    },
    tls::{Acceptor, Tls},
};

use balance::Balance;
pub(super) use balance::RECHECK_INTERVAL;
use date::DateCache;
use handshakes::Handshakes;
pub(super) use handshakes::{HandshakeLimits, Network};
use routers::Routers;

/// Duration of a batch of events above which the shard's lag is recorded before the batch ends: when a
/// handler of the batch returns.
const LONG_BATCH: Duration = Duration::from_millis(5);

/// Settings and handles that all shards of a server share.
#[derive(Clone)]
pub(crate) struct Common {
    pub(crate) limits: Limits,
    pub(crate) timeouts: Timeouts,
    pub(crate) hooks: Hooks,
    pub(crate) metrics: Arc<Metrics>,
    /// Context of each router's requests, without the shard's counters.
    pub(crate) contexts: Vec<Context>,
    /// The listeners, by index.
    pub(crate) listeners: Vec<ListenerEnv>,
    /// Accept HTTP/2 from clients that start with its preface or negotiate it.
    pub(crate) http2: bool,
    /// Switch to HTTP/2 if an HTTP/1.1 request without TLS asks for it (`Upgrade: h2c`). Needs `http2`.
    pub(crate) h2c_upgrade: bool,
    /// Maximum number of connections of each shard.
    pub(crate) shard_connections: usize,
    /// Inboxes of all shards. Set before the first socket is accepted.
    pub(crate) senders: Arc<OnceLock<Vec<ShardSender<Msg>>>>,
}

/// The settings of a listener that its connections need.
#[derive(Clone, Debug)]
pub(crate) struct ListenerEnv {
    pub(crate) transport: Transport,
    /// Index of the router that serves its requests.
    pub(crate) router: usize,
}

/// Protocols that precede HTTP on a listener's connections, and the HTTP version that these begin with.
#[derive(Clone, Debug, Default)]
pub(crate) struct Transport {
    /// A PROXY preamble comes first.
    pub(crate) is_proxied: bool,
    /// TLS, after the preamble if there is one.
    pub(crate) tls: Option<Tls>,
    /// Without TLS: clients speak HTTP/2 from the first byte.
    pub(crate) is_http2_only: bool,
}

impl ListenerEnv {
    fn on_shard(&self, http2: bool) -> ShardListener {
        let Self { transport, router } = self;
        let acceptor = transport.tls.as_ref().map(|tls| tls.acceptor(http2));
        let is_http2_only = transport.is_http2_only && acceptor.is_none();
        ShardListener { is_proxied: transport.is_proxied, is_http2_only, acceptor, router: *router }
    }
}

/// A listener as one shard uses it. The default is plain HTTP, served by the shared router.
#[derive(Clone, Default)]
pub(super) struct ShardListener {
    pub(super) is_proxied: bool,
    pub(super) is_http2_only: bool,
    /// Makes TLS sessions.
    pub(super) acceptor: Option<Acceptor>,
    /// Index of the router that serves its requests.
    pub(super) router: usize,
}

/// State that the connections of one shard share.
pub(crate) struct Env {
    /// Time at which the current batch of events began, on the clock of the connections. That clock stands
    /// still while the shard is unable to run, so that no deadline expires unseen: see [`Local::paused`].
    pub(super) now: Instant,
    /// Time by which the clock of the connections is behind that of the system.
    paused: Duration,
    /// Last reading of the clock: later than `now` once a handler has run in this batch.
    pub(super) clock: Instant,
    pub(super) date: DateCache,
    pub(super) shard: usize,
    pub(super) local: Local,
    senders: Arc<OnceLock<Vec<ShardSender<Msg>>>>,
    pub(super) limits: Limits,
    pub(super) h1_limits: h1::Limits,
    #[cfg(feature = "http2")]
    pub(super) h2_limits: h2::Limits,
    pub(super) timeouts: Timeouts,
    pub(super) hooks: Hooks,
    listeners: Vec<ShardListener>,
    pub(super) handshakes: Handshakes,
    /// Number of connections that discard more than `discard_bytes`.
    pub(super) lingering: usize,
    /// Memory in which TLS records are encrypted and decrypted.
    pub(super) tls_scratch: Vec<u8>,
    /// Spare outbox buffer for the next TLS connection that writes plaintext.
    pub(super) tls_plaintext: Vec<u8>,
    /// HTTP/2 is accepted. Always false in a build without it.
    pub(super) http2: bool,
    /// HTTP/1.1 requests may ask for HTTP/2. Always false in a build without it.
    pub(super) h2c_upgrade: bool,
    pub(super) counters: Arc<ShardCounters>,
    pub(super) metrics: Arc<Metrics>,
    /// Current route tables, as this shard sees them.
    pub(super) routers: Routers,
    pub(super) trusted: TrustedProxies,
    /// Memory that HTTP/1.1 request heads are parsed into.
    pub(super) head: h1::Head,
    /// Memory that HTTP/2 request heads are decoded into.
    #[cfg(feature = "http2")]
    pub(super) h2_head: h2::Head,
    pub(super) deadlines: Deadlines,
    /// Replies of handlers that ran as tasks of this shard, for the next turn.
    pub(super) replies: Rc<RefCell<Vec<LocalReply>>>,
    pub(super) balance: Balance,
    /// A connection was opened since a check last found that none must be closed to make room.
    pub(super) may_have_excess: bool,
    /// Counts of the drain; `None` before it.
    pub(super) drain: Option<DrainCounts>,
    /// Time at which this shard started to drain. Meaningless while `drain` is `None`.
    drain_began: Instant,
    last_warning: Option<Instant>,
}

impl Env {
    pub(crate) fn new(common: &Common, local: Local, readers: Vec<Reader<RouteTable>>) -> Self {
        let now = clock::now();
        let shard = local.shard();
        let counters = common.metrics.shards()[shard].clone();
        let on_shard = |context: &Context| Context { counters: counters.clone(), ..context.clone() };
        let routers = Routers::new(readers, common.contexts.iter().map(on_shard));
        let trusted = common.contexts.first().map(|context| context.trusted.clone());
        let http2 = common.http2 && cfg!(feature = "http2");
        Self {
            now,
            paused: Duration::ZERO,
            clock: now,
            date: DateCache::new(now),
            shard,
            local,
            senders: common.senders.clone(),
            h1_limits: h1_limits(&common.limits),
            #[cfg(feature = "http2")]
            h2_limits: h2_limits(&common.limits),
            limits: common.limits.clone(),
            timeouts: common.timeouts.clone(),
            hooks: common.hooks.clone(),
            listeners: common.listeners.iter().map(|listener| listener.on_shard(http2)).collect(),
            handshakes: Handshakes::default(),
            lingering: 0,
            tls_scratch: Vec::new(),
            tls_plaintext: Vec::new(),
            http2,
            h2c_upgrade: http2 && common.h2c_upgrade,
            counters,
            metrics: common.metrics.clone(),
            routers,
            trusted: trusted.unwrap_or_default(),
            head: h1::Head::default(),
            #[cfg(feature = "http2")]
            h2_head: h2::Head::default(),
            deadlines: Deadlines::default(),
            replies: Rc::default(),
            balance: Balance::new(common.metrics.clone(), shard, common.shard_connections),
            may_have_excess: false,
            drain: None,
            drain_began: now,
            last_warning: None,
        }
    }

    /// Starts a batch of events: reads the clock, gives handshakes a new budget of time, and loads the
    /// current route table.
    pub(super) fn begin_batch(&mut self) {
        let now = self.local.record_poll();
        if self.paused != self.local.paused() {
            self.paused = self.local.paused();
            self.date.expire();
        }
        self.now = self.on_connections_clock(now);
        self.clock = self.now;
        self.handshakes.begin_turn();
        self.routers.refresh();
    }

    /// Converts a time of the system's clock to the clock of the connections.
    fn on_connections_clock(&self, at: Instant) -> Instant {
        at.checked_sub(self.paused).unwrap_or(at)
    }

    /// Converts a time of the clock of the connections to the system's clock.
    pub(super) fn on_system_clock(&self, at: Instant) -> Instant {
        clock::instant_after(at, self.paused)
    }

    /// Returns the listener with this index, or the default one if there is none.
    pub(super) fn listener(&self, index: usize) -> ShardListener {
        self.listeners.get(index).cloned().unwrap_or_default()
    }

    /// Returns this shard's own inbox, for replies from other threads; `None` before the inboxes are set.
    pub(super) fn sender(&self) -> Option<&ShardSender<Msg>> {
        self.sender_of(self.shard)
    }

    /// Returns a shard's inbox; `None` before the inboxes are set.
    pub(super) fn sender_of(&self, shard: usize) -> Option<&ShardSender<Msg>> {
        self.senders.get()?.get(shard)
    }

    /// Starts the drain on this shard if the server drains already and this shard's message is still on its
    /// way. Topics and sockets learn of the drain another way and may end connections before that message
    /// comes: those must be counted.
    pub(super) fn check_for_drain(&mut self) {
        if self.metrics.is_draining() {
            self.begin_drain();
        }
    }

    /// Starts the drain on this shard. Has no effect if it has started.
    pub(super) fn begin_drain(&mut self) {
        if self.drain.is_none() {
            self.drain = Some(DrainCounts::default());
            self.drain_began = self.now;
        }
    }

    /// Returns the deadline of a peer that has made no progress since `since`: after `limit`, or while the
    /// server drains already `drain_stall` after the later of `since` and the start of the drain. `None`
    /// without either limit.
    pub(super) fn stall_deadline(&self, since: Instant, limit: Option<Duration>) -> Option<Instant> {
        let usual = limit.and_then(|limit| since.checked_add(limit));
        let at_drain = self.timeouts.drain_stall.filter(|_| self.is_draining());
        let at_drain = at_drain.and_then(|stall| since.max(self.drain_began).checked_add(stall));
        usual.into_iter().chain(at_drain).min()
    }

    /// Returns the time by which the peer must take a byte, if it takes none from now on; `None` without a
    /// limit.
    pub(super) fn write_deadline(&self) -> Option<Instant> {
        self.stall_deadline(self.now, self.timeouts.write_stall)
    }

    /// Returns `true` if the server drains.
    pub(super) fn is_draining(&self) -> bool {
        self.drain.is_some()
    }

    /// Returns `true` if this shard lags so much that requests of a route with this setting are refused.
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

    /// Returns the server's own answer as a response, passed through the hook of the router with this index
    /// if it has one.
    pub(super) fn shaped(&self, router: usize, asked: Asked<'_>, answer: Answer) -> Response {
        answer.shaped(self.routers.view(router).table.on_error.as_ref(), asked, &self.counters)
    }

    /// Returns `true` if each reply is counted for its route, with its status and duration.
    pub(super) fn counts_requests(&self) -> bool {
        self.metrics.enabled()
    }

    /// Returns the time on the clock of the connections.
    pub(super) fn time(&self) -> Instant {
        self.on_connections_clock(clock::now())
    }

    /// Reads the clock into [`clock`](Self::clock) and returns it. Records the shard's lag if the batch takes
    /// longer than [`LONG_BATCH`].
    pub(super) fn read_clock(&mut self) -> Instant {
        self.clock = self.time();
        if self.clock.saturating_duration_since(self.now) > LONG_BATCH {
            self.local.record_lag(self.on_system_clock(self.clock));
        }
        self.clock
    }

    /// Returns `true` at most once a second on each shard: the caller may then log one message about a fault
    /// that can repeat quickly.
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

#[cfg(feature = "http2")]
fn h2_limits(limits: &Limits) -> h2::Limits {
    let http2 = &limits.http2;
    h2::Limits {
        streams: http2.streams,
        stream_window_bytes: http2.stream_window_bytes,
        connection_window_bytes: http2.connection_window_bytes,
        header_list_bytes: http2.header_list_bytes as usize,
        header_table_bytes: http2.header_table_bytes,
        headers: limits.headers,
        target_bytes: limits.request_line_bytes,
        trailer_bytes: limits.trailer_bytes,
        resets_at_once: u32::try_from(http2.pending_resets).unwrap_or(u32::MAX),
        stream_faults: u32::try_from(http2.local_resets).unwrap_or(u32::MAX),
        rates: http2.rates(),
        connect_protocol: cfg!(feature = "ws"),
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
