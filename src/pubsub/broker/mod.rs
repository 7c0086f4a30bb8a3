//! The broker: named topics whose events reach very many subscribers, with history to continue from.
//!
//! ```text
//!  publish ─► store (position, order) ─► topic ─► queues ─► event streams of the connections
//!             memory or durable          fan-out  bounded    server-sent events
//! ```
//!
//! The store is a topic's home: it gives every event its position, and events reach subscribers in its order. A
//! subscriber that was away says where it stopped and is given what it missed, then what comes, without a gap or a
//! repetition; what the store no longer holds, and what its own full queue lost, it is told as a `gap` event.

mod entry;
mod event;
mod heartbeat;
mod history;
mod publish;
mod settings;
mod stream;
#[cfg(feature = "ws")]
mod text;
mod wire;

use std::{
    collections::HashMap,
    fmt, io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use http::{HeaderValue, header};
use windlass_actors::{
    Pool, System,
    error::SpawnError,
    fanout::{Fanout, TopicStats},
};

use crate::{
    body::Body,
    metrics::{LabeledCounter, TopicTotals},
    replay::{MemoryStore, Position, ReplayStore, StoreError},
    request::Request,
    response::Response,
};

pub use entry::{Subscriber, TopicName, TopicNameError};
pub use event::{Event, PreparedEvent};
pub use publish::{Publish, PublishError, Published};
pub use settings::{BrokerSettings, TopicPolicy};

use entry::Entry;
pub(crate) use event::Form;
use event::Stamped;
pub(crate) use heartbeat::{Lively, Pieces, Polled};
pub(crate) use history::{From, History};
pub(crate) use stream::Stream;
#[cfg(feature = "ws")]
pub(crate) use text::{Text, text_frame};
pub(crate) use wire::{ServerSent, Wire, range, unknown_id};

/// Topics, their history and their subscribers. Clones are one broker; it may be used from any thread.
///
/// It begins to work with the server it is given to ([`Builder::broker`](crate::Builder::broker)).
///
/// ```
/// use windlass::{Request, Router, broker::{Broker, Event}, get, post};
///
/// let broker = Broker::new(Default::default())?;
/// let (news, feed) = (broker.clone(), broker.clone());
/// let router = Router::new()
///     .route(get("/news", move |request: Request| feed.subscribe(&"news".parse().unwrap(), &request)))
///     .route(post("/news", move |request: Request| {
///         let publishing = news.publish(&"news".parse().unwrap(), Event::new("hello"));
///         async move { publishing.await.map_or_else(|error| error.to_string(), |it| it.position().unwrap().to_string()) }
///     }));
/// # let _ = router;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct Broker(Arc<Shared>);

struct Shared {
    settings: BrokerSettings,
    store: Arc<dyn ReplayStore>,
    /// There once the server runs.
    fanout: OnceLock<Fanout<Stamped>>,
    /// A server has it.
    taken: AtomicBool,
    topics: Mutex<Topics>,
    /// The server ends: streams end, and tell clients when to come back.
    draining: AtomicBool,
    /// Streams ended by that.
    farewells: AtomicU32,
    /// Failures of the store, by what it was doing.
    store_errors: LabeledCounter,
}

/// The topics there are.
#[derive(Default)]
struct Topics {
    open: HashMap<TopicName, Arc<Entry>>,
    /// Those being closed.
    closing: Vec<Arc<Entry>>,
    /// What topics did that were forgotten.
    forgotten: TopicStats,
}

impl Topics {
    /// Keeps what a topic did, for the totals.
    fn forget(&mut self, entry: &Arc<Entry>) {
        self.closing.retain(|closing| !Arc::ptr_eq(closing, entry));
        let mut stats = entry.topic.stats();
        (stats.subscribers, stats.lagging, stats.lag_events, stats.lag_age) = (0, 0, 0, Duration::ZERO);
        self.forgotten += stats;
    }
}

impl Broker {
    /// Makes a broker whose history is kept in memory.
    ///
    /// # Errors
    ///
    /// The kernel gives no random number for the epoch, as before its pool is filled early in a boot.
    pub fn new(settings: BrokerSettings) -> io::Result<Self> {
        let store = MemoryStore::new(settings.retention.clone(), settings.store_limits.clone())?;
        Ok(Self::with_store(settings, Arc::new(store)))
    }

    /// Makes a broker whose history is kept in `store`.
    pub fn with_store(settings: BrokerSettings, store: Arc<dyn ReplayStore>) -> Self {
        Self(Arc::new(Shared {
            settings,
            store,
            fanout: OnceLock::new(),
            taken: AtomicBool::new(false),
            topics: Mutex::default(),
            draining: AtomicBool::new(false),
            farewells: AtomicU32::new(0),
            store_errors: LabeledCounter::default(),
        }))
    }

    /// Begins to work on the shards of `system`. False: it works for another server.
    pub(crate) fn start(&self, system: &System) -> Result<bool, SpawnError> {
        if self.0.taken.swap(true, Ordering::SeqCst) {
            return Ok(false);
        }
        let fanout = Fanout::start(system).inspect_err(|_| self.0.taken.store(false, Ordering::SeqCst))?;
        // Nobody else sets it: `taken` was ours.
        let _ = self.0.fanout.set(fanout);
        Ok(true)
    }

    /// Says whether a policy asks callbacks, which need a pool.
    pub(crate) fn asks(&self) -> bool {
        self.0.settings.choosers().next().is_some()
    }

    /// Has callbacks run on a pool.
    pub(crate) fn ask_on(&self, pool: &Pool) {
        self.0.settings.choosers().for_each(|chooser| chooser.start(pool));
    }

    /// Ends every stream. Blocks until the shards have been told, or until `end`: a shard that is stuck is told nothing.
    pub(crate) fn drain(&self, end: Instant) {
        self.0.draining.store(true, Ordering::SeqCst);
        self.0.settings.choosers().for_each(windlass_actors::fanout::Chooser::stop);
        let mut topics = self.topics();
        let open: Vec<_> = topics.open.drain().map(|(_, entry)| entry).collect();
        topics.closing.extend(open);
        let mut left = topics.closing.clone();
        drop(topics);
        loop {
            left.retain(|entry| !entry.topic.try_close());
            if left.is_empty() || Instant::now() >= end {
                return;
            }
            // The relays' mailboxes are full: they are at work.
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Publishes an event: it gets its position, is kept, and is handed to the topic's subscribers.
    ///
    /// Never waits for a subscriber. The event is on its way when this returns; what is returned is a future that
    /// gives its position, and need not be awaited.
    pub fn publish(&self, topic: &TopicName, event: Event) -> Publish {
        self.publish_form(topic, Form::Plain(event))
    }

    /// Like [`publish`](Self::publish), for an event that is encoded: all that is added is its id.
    pub fn publish_prepared(&self, topic: &TopicName, event: &PreparedEvent) -> Publish {
        self.publish_form(topic, Form::Prepared(event.clone()))
    }

    fn publish_form(&self, topic: &TopicName, form: Form) -> Publish {
        match self.entry(topic) {
            Ok(entry) => publish::publish(&self.0, entry, form),
            Err(error) => Publish::failed(error),
        }
    }

    /// Answers a request with the events of a topic, as a stream that lasts until the client or the topic ends it.
    ///
    /// The header `Last-Event-ID`, or the query field `last_event_id`, says after which event to begin: a position, or
    /// `earliest`. Without it the stream begins with the next event.
    pub fn subscribe(&self, topic: &TopicName, request: &Request) -> Response {
        let last = last_event_id(request);
        self.respond(topic, last.as_deref(), request.peer())
    }

    /// Makes the response that is the stream of a topic's events after `last`: a position as text, or `earliest`.
    pub fn stream(&self, topic: &TopicName, last: Option<&[u8]>) -> Response {
        self.respond(topic, last, None)
    }

    fn respond(&self, topic: &TopicName, last: Option<&[u8]>, peer: Option<SocketAddr>) -> Response {
        match self.events(topic, last, peer) {
            Ok(stream) => event_stream(Body::source(Lively::new(stream, self.0.settings.heartbeat))),
            Err(error) => error.to_response(),
        }
    }

    /// Makes the stream of a topic's events after `last`.
    pub(crate) fn events<F: Wire>(
        &self,
        topic: &TopicName,
        last: Option<&[u8]>,
        peer: Option<SocketAddr>,
    ) -> Result<Stream<F>, PublishError> {
        let entry = self.entry(topic)?;
        let terms = entry.terms(peer);
        Ok(Stream::new(self.0.clone(), entry, terms, last.map(From::parse)))
    }

    /// Ends every subscriber of a topic after what its queue holds, and forgets the topic. Its history stays.
    ///
    /// Later subscribers and events open it anew.
    ///
    /// # Cancel safety
    ///
    /// Dropped before its end, subscribers of some shards may not have been told; called again it tells them.
    pub async fn close(&self, topic: &TopicName) {
        let closing: Vec<_> = {
            let mut topics = self.topics();
            let entry = topics.open.remove(topic);
            topics.closing.extend(entry);
            topics.closing.iter().filter(|entry| entry.name == *topic).cloned().collect()
        };
        for entry in closing {
            entry.topic.close().await;
            // Relays count what they still hand out: of topics on their way to the end nobody asks, of totals many.
            let mut topics = self.topics();
            // Of two who close it at once, the first to get here.
            if topics.closing.iter().any(|closing| Arc::ptr_eq(closing, &entry)) {
                topics.forget(&entry);
            }
        }
    }

    /// Returns the figures of every topic that was published to or subscribed to.
    pub fn topics_stats(&self) -> Vec<(TopicName, TopicStats)> {
        self.topics().open.iter().map(|(name, entry)| (name.clone(), entry.topic.stats())).collect()
    }

    /// Returns the figures of one topic.
    pub fn stats(&self, topic: &TopicName) -> Option<TopicStats> {
        self.topics().open.get(topic).map(|entry| entry.topic.stats())
    }

    /// Returns the position of a topic's last event: of one before the server started as soon as the store has told it.
    pub fn last(&self, topic: &TopicName) -> Option<Position> {
        self.topics().open.get(topic)?.last()
    }

    /// Returns the settings.
    pub fn settings(&self) -> &BrokerSettings {
        &self.0.settings
    }

    /// Returns the figures of all topics there ever were.
    pub(crate) fn totals(&self) -> TopicTotals {
        let topics = self.topics();
        let mut sum = topics.forgotten;
        topics.open.values().chain(&topics.closing).for_each(|entry| sum += entry.topic.stats());
        TopicTotals { topics: topics.open.len(), sum, store_errors: self.0.store_errors.all() }
    }

    /// Counts a failure that the store tells nobody else, such as of a sync: for a store's error hook.
    pub fn store_failed(&self, error: &StoreError) {
        self.0.store_failed(error);
    }

    fn topics(&self) -> MutexGuard<'_, Topics> {
        self.0.topics()
    }

    /// Finds a topic, or makes it; one that nobody uses makes room if there are too many.
    fn entry(&self, name: &TopicName) -> Result<Arc<Entry>, PublishError> {
        let fanout = self.0.fanout.get().ok_or(PublishError::NotStarted)?;
        let mut topics = self.topics();
        // Under the lock: a drain that has begun finds all topics there are.
        if self.0.draining.load(Ordering::SeqCst) {
            return Err(PublishError::Closed);
        }
        if let Some(entry) = topics.open.get(name) {
            return Ok(entry.clone());
        }
        if topics.open.len() >= self.0.settings.topics {
            // A stream or an event on its way holds its topic: forgetting that would part it from later events.
            let is_idle =
                |entry: &Arc<Entry>| Arc::strong_count(entry) == 1 && entry.topic.subscribers() == 0;
            let idle = topics.open.iter().find(|(_, entry)| is_idle(entry)).map(|(name, _)| name.clone());
            let idle = topics.open.remove(&idle.ok_or(PublishError::TooManyTopics)?);
            idle.iter().for_each(|entry| topics.forget(entry));
        }
        let policy = self.0.settings.policy_of(name);
        let topic = fanout.topic(policy.bounds(), policy.overflow.clone());
        let entry = Arc::new(Entry::new(name.clone(), topic, policy));
        topics.open.insert(name.clone(), entry.clone());
        drop(topics);
        entry::seek_end(&entry, &*self.0.store);
        Ok(entry)
    }
}

impl Shared {
    fn topics(&self) -> MutexGuard<'_, Topics> {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says whether the server ends.
    fn is_draining(&self) -> bool {
        self.draining.load(Ordering::SeqCst)
    }

    /// Returns after how many milliseconds a client shall come back when the server has ended: each at another time.
    fn come_back(&self) -> u64 {
        500 + u64::from(self.farewells.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9) >> 20)
    }

    fn store_failed(&self, error: &StoreError) {
        self.store_errors.add(error.operation().as_str());
    }
}

/// Returns what a client says it had last: the header, or the query where a browser sets no headers.
pub(crate) fn last_event_id(request: &Request) -> Option<Vec<u8>> {
    let in_header = request.header("last-event-id").map(|value| value.as_bytes().to_vec());
    in_header.or_else(|| request.query_value("last_event_id").map(|value| value.into_owned().into_bytes()))
}

/// Makes the response that is a stream of events.
pub(crate) fn event_stream(body: Body) -> Response {
    let mut response = Response::new().with_body(body);
    let fields = response.fields_mut();
    fields.append(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    fields.append(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // NGINX and others in between shall hand events on as they come.
    fields.append(header::HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    response
}

impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broker").field("topics", &self.topics().open.len()).finish_non_exhaustive()
    }
}
