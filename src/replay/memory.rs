//! The memory store: a ring of events for each topic.
//!
//! The locks contend only where topics are shared by threads; completions run under the topic's lock, which is what
//! makes them come in order.

use std::{
    collections::{HashMap, VecDeque},
    fmt, io,
    sync::{
        Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use bytes::Bytes;

use super::{
    Append, Appended, Clock, Completion, Durability, Epoch, ErrorKind, Event, Extent, Operation, Page,
    Position, Query, Refused, ReplayStore, Retention, StoreError, StoreLimits, TopicInfo,
    clock::{oldest_kept_ms, time_of},
    contain::complete,
};

/// Topics looked at for one that can make room, before an append is refused.
const FORGET_REACH: usize = 64;
/// Topics that one append may trim because all together are too large.
const SWEEP_REACH: usize = 64;

/// Keeps the latest events of each topic in memory.
///
/// It works on the thread that calls it: an append is a look-up and a push under two short locks, so a shard may do it.
/// An append allocates nothing beyond what its event brings, once the topic's ring has grown to its size. With the
/// process the store is gone, and a new one has a new epoch: old positions are [`Reset::UnknownEpoch`].
///
/// [`Reset::UnknownEpoch`]: super::Reset::UnknownEpoch
pub struct MemoryStore {
    epoch: Epoch,
    retention: Retention,
    limits: StoreLimits,
    clock: Clock,
    topics: RwLock<Topics>,
    /// Bytes of all rings.
    total_bytes: AtomicUsize,
    /// The topic that is trimmed next when all together are too large.
    sweep: AtomicUsize,
}

#[derive(Default)]
struct Topics {
    places: HashMap<Bytes, usize>,
    rings: Vec<(Bytes, Mutex<Ring>)>,
    /// The largest number a forgotten topic gave out: new ones begin above it, so that no position comes twice.
    floor: u64,
    /// Where the search for a forgettable topic goes on.
    forget: usize,
}

#[derive(Default)]
struct Ring {
    /// The last number given out.
    end: u64,
    /// Time of the newest event, milliseconds since 1970.
    newest_ms: u64,
    events: VecDeque<(u64, Event)>,
    bytes: usize,
}

impl MemoryStore {
    /// Makes an empty store with an epoch of its own.
    ///
    /// # Errors
    ///
    /// The kernel gives no random number for the epoch.
    pub fn new(retention: Retention, limits: StoreLimits) -> io::Result<Self> {
        Self::with_clock(retention, limits, Clock::default())
    }

    /// Makes an empty store that tells the time by a clock of yours.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn with_clock(retention: Retention, limits: StoreLimits, clock: Clock) -> io::Result<Self> {
        let (topics, total_bytes, sweep) = Default::default();
        Ok(Self { epoch: Epoch::random()?, retention, limits, clock, topics, total_bytes, sweep })
    }

    /// Lists the topics, in no order.
    pub fn topics(&self) -> Vec<TopicInfo> {
        let topics = self.topics.read().unwrap_or_else(PoisonError::into_inner);
        let info = |(topic, ring): &(Bytes, Mutex<Ring>)| {
            let ring = lock(ring);
            TopicInfo {
                topic: topic.clone(),
                end: Position::new(self.epoch, ring.end),
                events: ring.events.len() as u64,
                bytes: ring.bytes as u64,
            }
        };
        topics.rings.iter().map(info).collect()
    }

    /// Appends to a topic that is there; gives the append back if it is not.
    fn append_known(
        &self,
        append: Append,
        done: Completion<Appended>,
    ) -> Option<(Append, Completion<Appended>)> {
        let topics = self.topics.read().unwrap_or_else(PoisonError::into_inner);
        let Some(place) = topics.places.get(&append.topic) else { return Some((append, done)) };
        let now_ms = self.clock.now_ms();
        let mut ring = lock(&topics.rings[*place].1);
        let (before, position) = (ring.bytes, ring.push(self.epoch, now_ms, append));
        ring.trim(&self.retention, now_ms);
        self.recount(before, ring.bytes);
        complete(done, Ok(Appended::new(position, Durability::None)));
        drop(ring);
        if self.total_bytes.load(Relaxed) > self.retention.total_bytes {
            self.sweep(&topics);
        }
        None
    }

    fn recount(&self, before: usize, after: usize) {
        self.total_bytes.fetch_add(after.wrapping_sub(before), Relaxed);
    }

    /// Takes the oldest events of some topics in turn until all together are small enough.
    fn sweep(&self, topics: &Topics) {
        for _ in 0..SWEEP_REACH {
            let excess = self.total_bytes.load(Relaxed).saturating_sub(self.retention.total_bytes);
            if excess == 0 {
                return;
            }
            let place = self.sweep.fetch_add(1, Relaxed) % topics.rings.len();
            let mut ring = lock(&topics.rings[place].1);
            let before = ring.bytes;
            ring.shed(excess);
            self.recount(before, ring.bytes);
        }
    }

    /// Makes a topic, if there may be one more.
    fn make_topic(&self, topic: &Bytes) -> Result<(), StoreError> {
        let mut topics = self.topics.write().unwrap_or_else(PoisonError::into_inner);
        if topics.places.contains_key(topic) {
            return Ok(());
        }
        if topics.rings.len() >= self.limits.topics.max(1) && !self.forget_one(&mut topics) {
            let message = format!("there are {} topics, and none is empty", topics.rings.len());
            return Err(StoreError::new(ErrorKind::TooManyTopics, Operation::Append, message));
        }
        let (place, end) = (topics.rings.len(), topics.floor);
        // A copy: the caller's may be a slice of something large.
        let topic = Bytes::copy_from_slice(topic);
        topics.places.insert(topic.clone(), place);
        topics.rings.push((topic, Mutex::new(Ring { end, ..Ring::default() })));
        Ok(())
    }

    /// Removes a topic that holds nothing, if one is found nearby.
    fn forget_one(&self, topics: &mut Topics) -> bool {
        let now_ms = self.clock.now_ms();
        for _ in 0..FORGET_REACH.min(topics.rings.len()) {
            let place = topics.forget % topics.rings.len();
            topics.forget = place + 1;
            let ring = topics.rings[place].1.get_mut().unwrap_or_else(PoisonError::into_inner);
            let before = ring.bytes;
            ring.trim(&self.retention, now_ms);
            self.recount(before, ring.bytes);
            if ring.events.is_empty() {
                topics.floor = topics.floor.max(ring.end);
                let (topic, _) = topics.rings.swap_remove(place);
                topics.places.remove(&topic);
                if let Some((moved, _)) = topics.rings.get(place) {
                    topics.places.insert(moved.clone(), place);
                }
                return true;
            }
        }
        false
    }

    fn page(&self, query: &Query) -> Page {
        let topics = self.topics.read().unwrap_or_else(PoisonError::into_inner);
        let Some(place) = topics.places.get(&query.topic) else {
            return Ring { end: topics.floor, ..Ring::default() }.page(self.epoch, query);
        };
        let mut ring = lock(&topics.rings[*place].1);
        let before = ring.bytes;
        ring.trim(&self.retention, self.clock.now_ms());
        self.recount(before, ring.bytes);
        ring.page(self.epoch, query)
    }
}

fn lock(ring: &Mutex<Ring>) -> MutexGuard<'_, Ring> {
    // Nothing in a ring is left half changed by a panic: the only foreign code run under the lock is contained.
    ring.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Ring {
    fn push(&mut self, epoch: Epoch, now_ms: u64, append: Append) -> Position {
        self.end += 1;
        self.newest_ms = self.newest_ms.max(now_ms);
        let position = Position::new(epoch, self.end);
        let event = Event::new(position, append.name, append.data, time_of(self.newest_ms));
        self.bytes += event.size_bytes();
        self.events.push_back((self.newest_ms, event));
        position
    }

    /// Removes what is kept no longer.
    fn trim(&mut self, retention: &Retention, now_ms: u64) {
        let oldest_ms = oldest_kept_ms(now_ms, retention.age);
        while let Some((ms, _)) = self.events.front() {
            let many = self.events.len() > retention.events || self.bytes > retention.bytes;
            if *ms >= oldest_ms && !(many && self.events.len() > 1) {
                break;
            }
            self.pop();
        }
    }

    /// Removes the oldest events up to so many bytes, but at most half of what there is, and not the newest.
    fn shed(&mut self, bytes: usize) {
        let floor = (self.bytes / 2).max(self.bytes.saturating_sub(bytes));
        while self.bytes > floor && self.events.len() > 1 {
            self.pop();
        }
    }

    fn pop(&mut self) {
        if let Some((_, event)) = self.events.pop_front() {
            self.bytes -= event.size_bytes();
        }
    }

    fn page(&self, epoch: Epoch, query: &Query) -> Page {
        let extent = Extent { epoch, end: self.end };
        let after = match extent.after(query.start) {
            Ok(after) => after,
            Err(page) => return page,
        };
        // Events of a ring are contiguous up to its end.
        let first = self.end - self.events.len() as u64;
        let skipped = usize::try_from(after.saturating_sub(first)).unwrap_or(usize::MAX);
        let held = self.events.range(skipped.min(self.events.len())..).map(|(_, event)| Ok(event.clone()));
        extent
            .page(query.start, query.window, held)
            .unwrap_or_else(|never: std::convert::Infallible| match never {})
    }
}

impl ReplayStore for MemoryStore {
    fn append(&self, append: Append, done: Completion<Appended>) -> Result<(), Refused> {
        if let Err(error) = self.limits.check(&append) {
            complete(done, Err(error));
            return Ok(());
        }
        let mut rest = Some((append, done));
        while let Some((append, done)) = rest.take() {
            rest = self.append_known(append, done);
            if let Some((append, _)) = &rest
                && let Err(error) = self.make_topic(&append.topic)
            {
                let refused = rest.take();
                if let Some((_, done)) = refused {
                    complete(done, Err(error));
                }
            }
        }
        Ok(())
    }

    fn read(&self, query: Query, done: Completion<Page>) {
        let page = self.page(&query);
        complete(done, Ok(page));
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").field("epoch", &self.epoch).finish_non_exhaustive()
    }
}
