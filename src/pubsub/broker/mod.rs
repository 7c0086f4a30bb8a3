//! Topics with history, for very many subscribers.
//!
//! ```text
//!  publish ─► store (position, order) ─► topic ─► mailboxes ─► event streams of the connections
//!             memory or durable          fan-out  bounded      server-sent events, WebSockets
//! ```
//!
//! The store gives every event its position. Subscribers receive events in the store's order. A client that
//! reconnects sends the position of its last event. It first receives the events it missed, then live events,
//! without a gap or a duplicate. A `gap` event reports events that have expired from the store, and events
//! that did not fit the client's mailbox.
//!
//! [`topic_routes`](crate::topic_routes) adds the HTTP routes.

// This module must not know HTTP routes. Handlers and `pubsub::topics` call it.

mod error;
mod filter;
mod log;
mod log_table;
mod name;
mod publish;
mod registry;
mod settings;
mod subscribers;
mod subscription;
mod usage;

use std::{
    fmt, io,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use windlass_actors::{
    Pool, System,
    error::SpawnError,
    fanout::{Chooser, Fanout, TopicStats},
};

use super::{
    event::{EncodedEvent, Enveloped, EventFormat, NamedByTopic, NewEvent, ServerSent},
    stream::{self, HeartbeatBody, LeasedBody, ResumePoint},
};
use crate::{
    body::Body,
    identity::Lease,
    metrics::{LabeledCounter, TopicTotals},
    proto::h1::encode::SharedChunk,
    replay::{MemoryStore, Position, ReplayStore, StoreError},
    request::Request,
    response::Response,
};

pub use super::event::{Event, EventNameError, PreparedEvent};
pub use error::PublishError;
pub use filter::{TopicFilter, TopicFilterError, TopicPattern};
pub use log::Subscriber;
pub use name::{TopicName, TopicNameError};
pub use publish::{Publish, Published};
pub use settings::{BrokerSettings, SseTopic, TopicLog, TopicPolicy};
pub(crate) use subscribers::ClientAddress;
pub(crate) use subscription::TopicStream;

use log::{LogKey, OpenLog};
use log_table::{LogTable, is_shared};
use registry::{Registry, Use};
use usage::{LogUse, Seat};

/// A set of topics with their history and subscribers.
///
/// A broker starts with the server that it is given to ([`Builder::broker`](crate::Builder::broker)). Clones
/// share one broker. All methods may be called from any thread.
///
/// ```
/// use windlass::{Request, Router, broker::{Broker, Event}, get, post};
///
/// let broker = Broker::new(Default::default())?;
/// let (news, feed) = (broker.clone(), broker.clone());
/// let router = Router::new()
///     .route(get("/news", move |request: Request| feed.subscribe(&"news".parse().unwrap(), &request)))
///     .route(post("/news", move |_: Request| {
///         let publishing = news.publish(&"news".parse().unwrap(), Event::new("hello"));
///         async move {
///             match publishing.await {
///                 Ok(published) => format!("sent to {} subscribers", published.subscribers()),
///                 Err(error) => error.to_string(),
///             }
///         }
///     }));
/// # let _ = router;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct Broker(Arc<Shared>);

/// Phase of a broker's life. It only rises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Phase {
    Open,
    /// The server drains: there are no new streams, but events are stored.
    Draining,
    /// There are no new events.
    Stopped,
}

struct Shared {
    settings: BrokerSettings,
    logs: LogTable,
    store: Arc<dyn ReplayStore>,
    /// Relays of the shards; unset until the server starts.
    fanout: OnceLock<Fanout<EncodedEvent>>,
    /// The broker belongs to a server, which may not have started yet.
    has_server: AtomicBool,
    /// The warning that the broker belongs to no server was logged.
    has_warned: AtomicBool,
    registry: Mutex<Registry>,
    /// Current [`Phase`] as a number.
    phase: AtomicU8,
    /// Number of reconnection delays sent at the end of streams while the server drains.
    reconnects: AtomicU32,
    /// Store failures by operation.
    store_errors: LabeledCounter,
    /// Refused subscriptions by limit.
    refused: LabeledCounter,
}

impl Broker {
    /// Creates a broker with an in-memory history.
    ///
    /// # Errors
    ///
    /// The kernel has no random number for the epoch. This happens only early during boot.
    pub fn new(settings: BrokerSettings) -> io::Result<Self> {
        let store = MemoryStore::new(settings.retention.clone(), settings.store_limits.clone())?;
        Ok(Self::with_store(settings, Arc::new(store)))
    }

    /// Creates a broker that keeps its history in `store`.
    pub fn with_store(settings: BrokerSettings, store: Arc<dyn ReplayStore>) -> Self {
        let logs = LogTable::new(&settings.logs);
        Self(Arc::new(Shared {
            settings,
            logs,
            store,
            fanout: OnceLock::new(),
            has_server: AtomicBool::new(false),
            has_warned: AtomicBool::new(false),
            registry: Mutex::default(),
            phase: AtomicU8::new(Phase::Open as u8),
            reconnects: AtomicU32::new(0),
            store_errors: LabeledCounter::default(),
            refused: LabeledCounter::default(),
        }))
    }

    /// Starts the broker on the shards of `system`. Returns `false`, and does nothing, if the broker belongs
    /// to another server.
    pub(crate) fn start(&self, system: &System) -> Result<bool, SpawnError> {
        if self.0.has_server.swap(true, Ordering::SeqCst) {
            return Ok(false);
        }
        let fanout =
            Fanout::start(system).inspect_err(|_| self.0.has_server.store(false, Ordering::SeqCst))?;
        // The swap above lets only one caller get here.
        let _ = self.0.fanout.set(fanout);
        Ok(true)
    }

    /// Returns `true` if an overflow policy has a callback. Callbacks run on a pool.
    pub(crate) fn needs_pool(&self) -> bool {
        self.0.settings.choosers().next().is_some()
    }

    /// Starts to run overflow callbacks on `pool`.
    pub(crate) fn start_choosers(&self, pool: &Pool) {
        self.0.settings.choosers().for_each(|chooser| chooser.start(pool));
    }

    /// Ends every stream. Blocks until all shards have the message, or until `deadline` if a shard is stuck,
    /// and does not wait for the streams to end.
    ///
    /// Events are still stored: a request that the server has accepted may publish.
    pub(crate) fn drain(&self, deadline: Instant) {
        self.0.settings.choosers().for_each(Chooser::stop);
        self.close_all(Phase::Draining, deadline);
    }

    /// Makes every later publish fail with [`PublishError::Closed`]. Called when no request is left that may
    /// publish. Blocks like [`drain`](Self::drain).
    pub(crate) fn stop(&self, deadline: Instant) {
        self.close_all(Phase::Stopped, deadline);
    }

    fn close_all(&self, phase: Phase, deadline: Instant) {
        self.0.phase.fetch_max(phase as u8, Ordering::SeqCst);
        let mut open = self.0.registry().start_closing_all();
        loop {
            open.retain(|log| !log.fanout.try_close());
            if open.is_empty() || Instant::now() >= deadline {
                return;
            }
            // The mailboxes of the relays are full. The relays are still running, so there is room soon.
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Publishes an event: stores it, then delivers it to the topic's subscribers.
    ///
    /// Returns at once. The returned future waits for the store, never for a subscriber, and gives the
    /// event's position. It may be dropped.
    pub fn publish(&self, topic: &TopicName, event: Event) -> Publish {
        self.publish_new(topic, NewEvent::Plain(event))
    }

    /// Like [`publish`](Self::publish), for an event that is already encoded. Only the id is added.
    pub fn publish_prepared(&self, topic: &TopicName, event: &PreparedEvent) -> Publish {
        self.publish_new(topic, NewEvent::Prepared(event.clone()))
    }

    fn publish_new(&self, topic: &TopicName, event: NewEvent) -> Publish {
        match self.open(&self.0.logs.of_topic(topic), Some(topic), Phase::Draining, Use::Publish) {
            Ok(log) => publish::publish(log, topic, event),
            Err(error) => Publish::failed(error),
        }
    }

    /// Answers a request with a stream of the topic's events. The stream lasts until the client disconnects
    /// or the topic is closed.
    ///
    /// The stream starts after the event that the header `Last-Event-ID` or the query key `last_event_id`
    /// names: a position, or `earliest`. Without it, and if it is empty, the stream starts with the next
    /// event. The query key may also be spelled `lastEventId` or `last-event-id`.
    ///
    /// Returns an error response if the topic cannot be opened: see [`PublishError`].
    pub fn subscribe(&self, topic: &TopicName, request: &Request) -> Response {
        let last = stream::last_event_id(request);
        self.respond(topic, last.as_deref(), ClientAddress::of(request))
    }

    /// Creates the response of [`subscribe`](Self::subscribe) without a request. `last` is a position as
    /// text, or `earliest`. An empty text is `None`.
    pub fn stream(&self, topic: &TopicName, last: Option<&[u8]>) -> Response {
        self.respond(topic, last, ClientAddress::default())
    }

    fn respond(&self, topic: &TopicName, last: Option<&[u8]>, client: ClientAddress) -> Response {
        let resume = last.and_then(ResumePoint::parse);
        self.respond_as::<ServerSent>(&topic.clone().into(), resume, client, None)
    }

    /// Answers a request with a stream of the events of several topics of one log, and of those with tags.
    ///
    /// It starts as [`subscribe`](Self::subscribe) does. In a stream of several topics, events name their
    /// topic as [`BrokerSettings::sse_topic`] says. A stream that is silent sends the id of the last event of
    /// its log from time to time, so that a client that reconnects is not asked to skip the events of other
    /// topics.
    ///
    /// Returns the response 400 if the topics are in several logs, and the error responses of
    /// [`subscribe`](Self::subscribe).
    pub fn subscribe_filter(&self, filter: &TopicFilter, request: &Request) -> Response {
        let resume = stream::last_event_id(request).as_deref().and_then(ResumePoint::parse);
        self.respond_filter(filter, resume, ClientAddress::of(request), None)
    }

    /// Like [`subscribe_filter`](Self::subscribe_filter). The stream also ends when the lease does.
    pub(crate) fn respond_filter(
        &self,
        filter: &TopicFilter,
        resume: Option<ResumePoint>,
        client: ClientAddress,
        lease: Option<Lease>,
    ) -> Response {
        match self.0.settings.sse_topic {
            SseTopic::Event if filter.topic().is_none() => {
                self.respond_as::<NamedByTopic>(filter, resume, client, lease)
            }
            SseTopic::Envelope if filter.topic().is_none() => {
                self.respond_as::<Enveloped>(filter, resume, client, lease)
            }
            _ => self.respond_as::<ServerSent>(filter, resume, client, lease),
        }
    }

    fn respond_as<F: EventFormat<Output = Bytes, Shared = SharedChunk> + 'static>(
        &self,
        filter: &TopicFilter,
        resume: Option<ResumePoint>,
        client: ClientAddress,
        lease: Option<Lease>,
    ) -> Response {
        match self.open_filtered::<F>(filter, resume, client) {
            Ok(events) => {
                let events = HeartbeatBody::new(events, self.0.settings.heartbeat);
                stream::response(match lease {
                    Some(lease) => Body::source(LeasedBody::new(events, lease)),
                    None => Body::source(events),
                })
            }
            Err(error) => error.to_response(),
        }
    }

    /// Creates a stream of the topic's events after the id `last`; without one it starts with the next event.
    pub(crate) fn open_stream<F: EventFormat>(
        &self,
        topic: &TopicName,
        last: Option<&[u8]>,
        client: ClientAddress,
    ) -> Result<TopicStream<F>, PublishError> {
        self.open_filtered(&topic.clone().into(), last.and_then(ResumePoint::parse), client)
    }

    /// Creates a stream of the events that a filter matches.
    pub(crate) fn open_filtered<F: EventFormat>(
        &self,
        filter: &TopicFilter,
        resume: Option<ResumePoint>,
        client: ClientAddress,
    ) -> Result<TopicStream<F>, PublishError> {
        let key = self.0.logs.of_filter(filter).map_err(PublishError::Filter)?;
        let log = self.open(&key, filter.topic(), Phase::Open, Use::Subscribe)?;
        let options = log::options(self.0.settings.policy_of_filter(filter), filter, client.peer);
        let seat = self.seat(log, &client)?;
        Ok(TopicStream::new(seat, filter.clone(), options, resume))
    }

    /// Takes a place for a subscription, or counts that there is none.
    fn seat(&self, log: LogUse, client: &ClientAddress) -> Result<Seat, PublishError> {
        let place = self.0.registry().subscribers.enter(client, &self.0.settings);
        let place = place.inspect_err(|error| match error {
            PublishError::TooManyOfClient => self.0.refused.add("client"),
            _ => self.0.refused.add("total"),
        })?;
        Ok(Seat::new(log, place))
    }

    /// Closes the log of a topic: each subscriber's stream ends after the events in its mailbox. The history
    /// stays in the store.
    ///
    /// A later event or subscriber opens the topic again.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, some shards may not have the message yet. Call `close` again to finish.
    pub async fn close(&self, topic: &TopicName) {
        let closing = self.0.registry().start_closing(&self.0.logs.of_topic(topic));
        for log in closing {
            log.fanout.close().await;
            self.0.registry().finish_closing(&log);
        }
    }

    /// Returns the counts of every open topic that is a log of its own.
    pub fn topics_stats(&self) -> Vec<(TopicName, TopicStats)> {
        let registry = self.0.registry();
        let own = registry.open().filter(|log| !is_shared(&log.key));
        own.map(|log| (TopicName(log.key.clone()), log.fanout.stats())).collect()
    }

    /// Returns the counts of every open log of several topics, by the name of the log.
    pub fn logs_stats(&self) -> Vec<(String, TopicStats)> {
        let registry = self.0.registry();
        let shared = registry.open().filter_map(|log| Some((log.key.strip_prefix('\0')?, log)));
        shared.map(|(name, log)| (name.to_owned(), log.fanout.stats())).collect()
    }

    /// Returns the pattern of a log of the settings.
    pub(crate) fn topics_of(&self, log: &str) -> &str {
        let log = self.0.settings.logs.iter().find(|known| known.name == log);
        log.map_or("", |log| &log.topics)
    }

    /// Returns the counts of a topic's log, or `None` if it is not open.
    pub fn stats(&self, topic: &TopicName) -> Option<TopicStats> {
        Some(self.0.registry().get(&self.0.logs.of_topic(topic))?.fanout.stats())
    }

    /// Returns the position of the last event of the topic's log.
    ///
    /// Returns `None` if the topic is not open, or if the store has not reported the end of its history yet.
    pub fn last(&self, topic: &TopicName) -> Option<Position> {
        self.0.registry().get(&self.0.logs.of_topic(topic))?.last()
    }

    /// Returns the settings.
    pub fn settings(&self) -> &BrokerSettings {
        &self.0.settings
    }

    /// Returns the number of open topics, the sum of the counts of all topics, closed ones included, and the
    /// store's errors.
    pub(crate) fn totals(&self) -> TopicTotals {
        let mut registry = self.0.registry();
        registry.forget_expired(self.0.settings.topic_idle);
        let forgotten = registry.forgotten();
        TopicTotals {
            topics: registry.open().len(),
            subscriptions: registry.subscribers.total(),
            forgotten: [("full", forgotten.full), ("idle", forgotten.idle)],
            refused: ["client", "total"].map(|limit| (limit, self.0.refused.value(limit))),
            sum: registry.total(),
            store_errors: self.0.store_errors.all(),
        }
    }

    /// Returns the failure that the store has not recovered from; `None` if it works.
    pub(crate) fn store_failure(&self) -> Option<StoreError> {
        self.0.store.failure()
    }

    /// Counts a store error that no publisher or subscriber receives, such as a failed sync.
    ///
    /// Call it from the error hook of the store.
    pub fn store_failed(&self, error: &StoreError) {
        self.0.count_store_error(error);
    }

    /// Returns the error of a broker that has not started. The first time it is logged, unless a server is
    /// just starting.
    fn not_started(&self) -> PublishError {
        if !self.0.has_server.load(Ordering::SeqCst) && !self.0.has_warned.swap(true, Ordering::SeqCst) {
            tracing::warn!("broker belongs to no server, refusing events and streams: use `Builder::broker`");
        }
        PublishError::NotStarted
    }

    /// Returns the use of a log, one of whose topics may be given. Opens it if necessary.
    ///
    /// Fails if the broker has not started, or if its phase is beyond `latest`.
    fn open(
        &self,
        key: &LogKey,
        topic: Option<&TopicName>,
        latest: Phase,
        wanted: Use,
    ) -> Result<LogUse, PublishError> {
        let fanout = self.0.fanout.get().ok_or_else(|| self.not_started())?;
        let settings = &self.0.settings;
        let mut registry = self.0.registry();
        // Checked under the lock, so that a drain closes every log.
        if self.0.phase.load(Ordering::SeqCst) > latest as u8 {
            return Err(PublishError::Closed);
        }
        if let Some(log) = registry.acquire(key, wanted, settings) {
            return Ok(LogUse::new(self.0.clone(), log));
        }
        let policy = match (self.0.logs.topics_of(key), topic) {
            (Some(topics), _) => settings.policy_of_log(topics),
            (None, Some(topic)) => settings.policy_of(topic),
            (None, None) => settings.policy.clone(),
        };
        let relays = fanout.topic(policy.bounds(), policy.overflow.clone());
        let log = Arc::new(OpenLog::new(key.clone(), relays, policy));
        registry.insert(&log, wanted, settings);
        drop(registry);
        log.read_last(&*self.0.store);
        Ok(LogUse::new(self.0.clone(), log))
    }
}

impl Shared {
    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns `true` if the server drains or has drained. Streams then end and tell their clients when to
    /// reconnect.
    fn is_draining(&self) -> bool {
        self.phase.load(Ordering::SeqCst) >= Phase::Draining as u8
    }

    /// Returns the reconnection delay for the next client of a draining server, milliseconds.
    fn next_reconnect_millis(&self) -> u64 {
        stream::reconnect_millis(self.reconnects.fetch_add(1, Ordering::Relaxed))
    }

    fn count_store_error(&self, error: &StoreError) {
        self.store_errors.add(error.operation().as_str());
    }
}

impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broker").field("topics", &self.0.registry().open().len()).finish_non_exhaustive()
    }
}
