//! The counters of a topic.

use std::{
    ops::AddAssign,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    time::{Duration, Instant},
};

use super::{chooser::Answer, overflow::Overflow};

/// Outcome of one event on one shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ShardDelivery {
    pub(super) delivered: usize,
    /// Deliveries through outlets. They are part of `delivered`.
    pub(super) direct: usize,
    pub(super) dropped: usize,
    pub(super) removed: usize,
    pub(super) closed: usize,
    /// Length of the longest queue afterwards, in events.
    pub(super) longest: usize,
    /// Time at which the oldest event was published in the queues that set or raised `longest`. `None` if no
    /// queue holds more than one event.
    pub(super) oldest: Option<Instant>,
    pub(super) filter_panics: usize,
    /// Id of the first subscriber that did not get the event, and what happened to the subscriber.
    pub(super) first_lost: Option<(u64, Overflow)>,
}

/// Counters of one topic. A relay adds to them once for each event, and each answer of a callback does.
#[derive(Debug)]
pub(super) struct TopicCounters {
    created: Instant,
    pub(super) published: AtomicU64,
    delivered: AtomicU64,
    direct: AtomicU64,
    dropped: AtomicU64,
    removed: AtomicU64,
    closed: AtomicU64,
    asked: AtomicU64,
    ask_panics: AtomicU64,
    ask_refused: AtomicU64,
    filter_panics: AtomicU64,
    pub(super) relay_rejected: AtomicU64,
    /// Subscribers that have had more than one waiting event since their queue was last empty.
    pub(super) lagging: AtomicUsize,
    /// Lag of each shard.
    lags: Box<[ShardLag]>,
}

/// Lag of a shard's subscribers after the last event.
#[derive(Debug)]
struct ShardLag {
    /// Length of the longest queue, in events. 0 if no queue holds more than one event.
    longest: AtomicUsize,
    /// [`ShardDelivery::oldest`] in microseconds since the topic was created. `u64::MAX` for `None`.
    oldest_micros: AtomicU64,
}

impl ShardLag {
    fn new() -> Self {
        Self { longest: AtomicUsize::new(0), oldest_micros: AtomicU64::new(u64::MAX) }
    }
}

impl TopicCounters {
    pub(super) fn new(shards: usize) -> Self {
        Self {
            created: Instant::now(),
            published: AtomicU64::new(0),
            delivered: AtomicU64::new(0),
            direct: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            removed: AtomicU64::new(0),
            closed: AtomicU64::new(0),
            asked: AtomicU64::new(0),
            ask_panics: AtomicU64::new(0),
            ask_refused: AtomicU64::new(0),
            filter_panics: AtomicU64::new(0),
            relay_rejected: AtomicU64::new(0),
            lagging: AtomicUsize::new(0),
            lags: (0..shards).map(|_| ShardLag::new()).collect(),
        }
    }

    /// Adds the outcome of an event on a shard, and replaces the lag of that shard.
    pub(super) fn add(&self, shard: usize, delivery: &ShardDelivery) {
        for (counter, more) in [
            (&self.delivered, delivery.delivered),
            (&self.direct, delivery.direct),
            (&self.dropped, delivery.dropped),
            (&self.removed, delivery.removed),
            (&self.closed, delivery.closed),
            (&self.filter_panics, delivery.filter_panics),
        ] {
            if more > 0 {
                counter.fetch_add(more as u64, Relaxed);
            }
        }
        let lag = &self.lags[shard];
        lag.longest.store(delivery.longest, Relaxed);
        let micros = delivery.oldest.map(|oldest| oldest.saturating_duration_since(self.created).as_micros());
        lag.oldest_micros
            .store(micros.and_then(|micros| u64::try_from(micros).ok()).unwrap_or(u64::MAX), Relaxed);
    }

    /// Counts an answer of the callback, and what happened to the subscriber.
    pub(super) fn add_answer(&self, answer: Answer, overflow: Overflow) {
        let counter = match answer {
            Answer::Chosen(_) => &self.asked,
            Answer::Panicked(_) => &self.ask_panics,
            Answer::Refused => &self.ask_refused,
        };
        counter.fetch_add(1, Relaxed);
        match overflow {
            // The events were counted as dropped when they found the queue full.
            Overflow::Drop => {}
            Overflow::Remove => drop(self.removed.fetch_add(1, Relaxed)),
            Overflow::Close => drop(self.closed.fetch_add(1, Relaxed)),
        }
    }

    /// Returns the current values, with the given numbers of subscribers and of the last event. The lags are
    /// zero unless a subscriber lags.
    pub(super) fn stats(&self, subscribers: usize, last_seq: u64) -> TopicStats {
        let lags = if self.lagging.load(Relaxed) > 0 { &*self.lags } else { &[] };
        let longest = lags.iter().map(|lag| lag.longest.load(Relaxed)).max().unwrap_or(0);
        let oldest = lags.iter().map(|lag| lag.oldest_micros.load(Relaxed)).min();
        let age = |micros| self.created.elapsed().saturating_sub(Duration::from_micros(micros));
        TopicStats {
            subscribers,
            last_seq,
            published: self.published.load(Relaxed),
            delivered: self.delivered.load(Relaxed),
            direct: self.direct.load(Relaxed),
            dropped: self.dropped.load(Relaxed),
            removed: self.removed.load(Relaxed),
            closed: self.closed.load(Relaxed),
            asked: self.asked.load(Relaxed),
            ask_panics: self.ask_panics.load(Relaxed),
            ask_refused: self.ask_refused.load(Relaxed),
            filter_panics: self.filter_panics.load(Relaxed),
            relay_rejected: self.relay_rejected.load(Relaxed),
            lagging: self.lagging.load(Relaxed),
            lag_events: longest,
            lag_age: oldest.filter(|micros| *micros != u64::MAX).map_or(Duration::ZERO, age),
        }
    }
}

impl AddAssign for TopicStats {
    /// Adds the counters of another topic. Of `last_seq`, `lag_events` and `lag_age`, the larger one stays.
    fn add_assign(&mut self, other: Self) {
        self.subscribers += other.subscribers;
        self.last_seq = self.last_seq.max(other.last_seq);
        self.published += other.published;
        self.delivered += other.delivered;
        self.direct += other.direct;
        self.dropped += other.dropped;
        self.removed += other.removed;
        self.closed += other.closed;
        self.asked += other.asked;
        self.ask_panics += other.ask_panics;
        self.ask_refused += other.ask_refused;
        self.filter_panics += other.filter_panics;
        self.relay_rejected += other.relay_rejected;
        self.lagging += other.lagging;
        self.lag_events = self.lag_events.max(other.lag_events);
        self.lag_age = self.lag_age.max(other.lag_age);
    }
}

/// Counters of a topic since it was created, and its current lag.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopicStats {
    /// Subscribers that are registered now.
    pub subscribers: usize,
    /// Number of the last event; 0 before the first one.
    pub last_seq: u64,
    /// Events that were published.
    pub published: u64,
    /// Deliveries of an event to a subscriber's queue or outlet.
    pub delivered: u64,
    /// Deliveries of an event to a subscriber's outlet. They are part of [`delivered`](Self::delivered).
    pub direct: u64,
    /// Deliveries lost because the queue was full: under [`Overflow::Drop`], or while
    /// a callback was deciding.
    pub dropped: u64,
    /// Subscribers that were unregistered because their queue was full.
    pub removed: u64,
    /// Subscribers that were closed because their queue was full.
    pub closed: u64,
    /// Callbacks that decided about a subscriber ([`Policy::Ask`](super::Policy::Ask)).
    pub asked: u64,
    /// Callbacks that panicked.
    pub ask_panics: u64,
    /// Questions that were not put to the callback, because there was no pool or no room.
    pub ask_refused: u64,
    /// Filters that panicked. The subscriber did not get the event.
    pub filter_panics: u64,
    /// Events that the full relay of a shard did not accept. All subscribers of that shard lost the event.
    pub relay_rejected: u64,
    /// Subscribers that lag now: they have had more than one waiting event since their queue was last empty.
    pub lagging: usize,
    /// Length of the longest queue after the last event, in events. 0 if no subscriber lags.
    pub lag_events: usize,
    /// Age of the oldest event that waited in the queues that were measured for `lag_events` when the last
    /// event had been delivered: on each shard, every queue longer than those before it. Zero if no
    /// subscriber lags.
    pub lag_age: Duration,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_that_has_received_no_event_adds_no_lag() {
        let counters = TopicCounters::new(2);
        counters.lagging.store(1, Relaxed);
        std::thread::sleep(Duration::from_millis(20));
        counters
            .add(0, &ShardDelivery { longest: 5, oldest: Some(Instant::now()), ..ShardDelivery::default() });
        let (age, topic_age) = (counters.stats(2, 1).lag_age, counters.created.elapsed());
        assert!(age + Duration::from_millis(20) <= topic_age, "{age:?} of {topic_age:?}");
    }

    #[test]
    fn a_shard_that_keeps_up_does_not_hide_one_that_lags() {
        let counters = TopicCounters::new(2);
        counters.lagging.store(1, Relaxed);
        counters
            .add(0, &ShardDelivery { longest: 5, oldest: Some(Instant::now()), ..ShardDelivery::default() });
        std::thread::sleep(Duration::from_millis(2));
        counters.add(1, &ShardDelivery { delivered: 1, ..ShardDelivery::default() });
        let stats = counters.stats(2, 1);
        assert_eq!(stats.lag_events, 5);
        assert!(stats.lag_age >= Duration::from_millis(1), "{stats:?}");
        counters.lagging.store(0, Relaxed);
        let stats = counters.stats(2, 1);
        assert_eq!((stats.lag_events, stats.lag_age), (0, Duration::ZERO));
    }
}
