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
mod publish;
mod settings;
mod stream;

use std::{
    collections::HashMap,
    fmt, io,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderValue, header};
use windlass_actors::{
    System,
    error::SpawnError,
    fanout::{Bounds, Fanout, Overflow, Subscription, Topic, TopicStats},
};

use crate::{
    body::Body,
    metrics::TopicTotals,
    proto::sse,
    replay::{MemoryStore, Position, ReplayStore, Start},
    response::Response,
};

pub use entry::{TopicName, TopicNameError};
pub use publish::{Event, PreparedEvent, Publish, PublishError, Published};
pub use settings::{BrokerSettings, TopicPolicy};

use entry::Entry;
use stream::Stream;

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
///         async move { publishing.await.map_or_else(|error| error.to_string(), |it| it.position().to_string()) }
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
    running: OnceLock<Running>,
    /// A server has it.
    taken: AtomicBool,
    topics: Mutex<Topics>,
    /// The server ends: streams end, and tell clients when to come back.
    draining: AtomicBool,
    /// Streams ended by that.
    farewells: AtomicU32,
}

/// What a broker has of the server it works with.
struct Running {
    fanout: Fanout<PreparedEvent>,
    /// Where subscribers stay that were removed from their topic, so that the end finds them. It never has events.
    lobby: Topic<PreparedEvent>,
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
            running: OnceLock::new(),
            taken: AtomicBool::new(false),
            topics: Mutex::default(),
            draining: AtomicBool::new(false),
            farewells: AtomicU32::new(0),
        }))
    }

    /// Begins to work on the shards of `system`. False: it works for another server.
    pub(crate) fn start(&self, system: &System) -> Result<bool, SpawnError> {
        if self.0.taken.swap(true, Ordering::SeqCst) {
            return Ok(false);
        }
        let fanout = Fanout::start(system).inspect_err(|_| self.0.taken.store(false, Ordering::SeqCst))?;
        let lobby = fanout.topic(Bounds::default(), Overflow::Drop);
        // Nobody else sets it: `taken` was ours.
        let _ = self.0.running.set(Running { fanout, lobby });
        Ok(true)
    }

    /// Ends every stream. Blocks until the shards have been told, or until `end`: a shard that is stuck is told nothing.
    pub(crate) fn drain(&self, end: Instant) {
        self.0.draining.store(true, Ordering::SeqCst);
        let mut topics = self.topics();
        let open: Vec<_> = topics.open.drain().map(|(_, entry)| entry).collect();
        topics.closing.extend(open);
        let mut left = topics.closing.clone();
        drop(topics);
        loop {
            left.retain(|entry| !entry.topic.try_close());
            let told = self.0.running.get().is_none_or(|running| running.lobby.try_close());
            if (told && left.is_empty()) || Instant::now() >= end {
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
        match self.entry(topic) {
            Ok(entry) => publish::publish(&self.0, entry, event),
            Err(error) => Publish::failed(error),
        }
    }

    /// Answers a request with the events of a topic, as a stream that lasts until the client or the topic ends it.
    ///
    /// The header `Last-Event-ID`, or the query field `last_event_id`, says after which event to begin: a position, or
    /// `earliest`. Without it the stream begins with the next event.
    pub fn subscribe(&self, topic: &TopicName, request: &crate::request::Request) -> Response {
        let last = request
            .header("last-event-id")
            .map(|value| value.as_bytes().to_vec())
            .or_else(|| request.query_value("last_event_id").map(|value| value.into_owned().into_bytes()));
        self.stream(topic, last.as_deref())
    }

    /// Makes the response that is the stream of a topic's events after `last`: a position as text, or `earliest`.
    pub fn stream(&self, topic: &TopicName, last: Option<&[u8]>) -> Response {
        let entry = match self.entry(topic) {
            Ok(entry) => entry,
            Err(error) => return error.to_response(),
        };
        let start = last.map(|last| match last {
            b"earliest" => stream::From::Store(Start::Earliest),
            text => Position::parse(text).map_or(stream::From::Unknown, |at| stream::From::Store(Start::After(at))),
        });
        let stream = Stream::new(self.0.clone(), entry, start);
        let mut response = Response::new().with_body(Body::source(stream));
        let fields = response.fields_mut();
        fields.append(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        fields.append(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        // NGINX and others in between shall hand events on as they come.
        fields.append(header::HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
        response
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
            self.topics().forget(&entry);
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
        TopicTotals { topics: topics.open.len(), sum }
    }

    fn topics(&self) -> MutexGuard<'_, Topics> {
        self.0.topics()
    }

    /// Finds a topic, or makes it; one that nobody uses makes room if there are too many.
    fn entry(&self, name: &TopicName) -> Result<Arc<Entry>, PublishError> {
        let running = self.0.running.get().ok_or(PublishError::NotStarted)?;
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
            let is_idle = |entry: &Arc<Entry>| Arc::strong_count(entry) == 1 && entry.topic.subscribers() == 0;
            let idle = topics.open.iter().find(|(_, entry)| is_idle(entry)).map(|(name, _)| name.clone());
            let idle = topics.open.remove(&idle.ok_or(PublishError::TooManyTopics)?);
            idle.iter().for_each(|entry| topics.forget(entry));
        }
        let policy = self.0.settings.policy_of(name);
        let topic = running.fanout.topic(policy.bounds(), policy.overflow);
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

    /// Returns what a stream ends with: while the server ends, clients are told to come back at different times.
    fn farewell(&self) -> Option<Bytes> {
        if !self.draining.load(Ordering::SeqCst) {
            return None;
        }
        let spread = u64::from(self.farewells.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9) >> 20);
        let mut farewell = Vec::new();
        sse::retry(&mut farewell, 500 + spread);
        Some(farewell.into())
    }

    /// Returns a subscription to nothing but the end of the server; none if that has come.
    fn lobby(&self) -> Option<Subscription<PreparedEvent>> {
        self.running.get()?.lobby.subscribe().ok()
    }

    fn deadline(&self, at: Instant) -> Option<windlass_actors::Deadline> {
        self.running.get().map(|running| running.fanout.deadline(at))
    }
}

impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broker").field("topics", &self.topics().open.len()).finish_non_exhaustive()
    }
}
