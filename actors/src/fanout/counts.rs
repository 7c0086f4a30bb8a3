//! A topic's figures, written by relays once a pass.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use super::{chooser::Answer, overflow::Overflow};

/// What became of one event on one shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Pass {
    pub(super) taken: usize,
    pub(super) dropped: usize,
    pub(super) removed: usize,
    pub(super) closed: usize,
    /// The longest queue afterwards, events.
    pub(super) longest: usize,
    /// When the oldest event that waits was published.
    pub(super) oldest: Option<Instant>,
    /// Filters that panicked.
    pub(super) filter_panics: usize,
    /// The first subscriber that did not get it.
    pub(super) first_lost: Option<(u64, Overflow)>,
}

/// The figures of one topic.
#[derive(Debug)]
pub(super) struct Counts {
    pub(super) since: Instant,
    pub(super) published: AtomicU64,
    delivered: AtomicU64,
    dropped: AtomicU64,
    removed: AtomicU64,
    closed: AtomicU64,
    asked: AtomicU64,
    ask_panics: AtomicU64,
    ask_refused: AtomicU64,
    filter_panics: AtomicU64,
    pub(super) missed: AtomicU64,
    /// Subscribers with more than one event waiting.
    pub(super) lagging: AtomicUsize,
    lags: Box<[Lag]>,
}

/// How far a shard's subscribers were behind after its last pass.
#[derive(Debug, Default)]
struct Lag {
    /// Events in the longest queue.
    longest: AtomicUsize,
    /// When the oldest waiting event was published, microseconds after `since`.
    oldest: AtomicU64,
}

impl Counts {
    pub(super) fn new(shards: usize) -> Self {
        Self {
            since: Instant::now(),
            published: AtomicU64::new(0),
            delivered: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            removed: AtomicU64::new(0),
            closed: AtomicU64::new(0),
            asked: AtomicU64::new(0),
            ask_panics: AtomicU64::new(0),
            ask_refused: AtomicU64::new(0),
            filter_panics: AtomicU64::new(0),
            missed: AtomicU64::new(0),
            lagging: AtomicUsize::new(0),
            lags: (0..shards).map(|_| Lag::default()).collect(),
        }
    }

    /// Adds what one pass on a shard did.
    pub(super) fn add(&self, shard: usize, pass: &Pass) {
        for (count, more) in [
            (&self.delivered, pass.taken),
            (&self.dropped, pass.dropped),
            (&self.removed, pass.removed),
            (&self.closed, pass.closed),
            (&self.filter_panics, pass.filter_panics),
        ] {
            if more > 0 {
                count.fetch_add(more as u64, Relaxed);
            }
        }
        let lag = &self.lags[shard];
        lag.longest.store(pass.longest, Relaxed);
        let at = pass.oldest.map(|oldest| oldest.saturating_duration_since(self.since).as_micros());
        lag.oldest.store(at.and_then(|at| u64::try_from(at).ok()).unwrap_or(u64::MAX), Relaxed);
    }

    /// Adds what became of a question, and of the subscriber it was about.
    pub(super) fn answered(&self, answer: Answer, overflow: Overflow) {
        let of_answer = match answer {
            Answer::Chosen(_) => &self.asked,
            Answer::Panicked(_) => &self.ask_panics,
            Answer::Refused => &self.ask_refused,
        };
        of_answer.fetch_add(1, Relaxed);
        match overflow {
            // Its events were counted as dropped while it was asked about.
            Overflow::Drop => {}
            Overflow::Remove => drop(self.removed.fetch_add(1, Relaxed)),
            Overflow::Close => drop(self.closed.fetch_add(1, Relaxed)),
        }
    }

    pub(super) fn stats(&self, subscribers: usize, last_seq: u64) -> TopicStats {
        let lags = if self.lagging.load(Relaxed) > 0 { &*self.lags } else { &[] };
        let longest = lags.iter().map(|lag| lag.longest.load(Relaxed)).max().unwrap_or(0);
        let oldest = lags.iter().map(|lag| lag.oldest.load(Relaxed)).min().filter(|at| *at != u64::MAX);
        let age = |at| self.since.elapsed().saturating_sub(Duration::from_micros(at));
        TopicStats {
            subscribers,
            last_seq,
            published: self.published.load(Relaxed),
            delivered: self.delivered.load(Relaxed),
            dropped: self.dropped.load(Relaxed),
            removed: self.removed.load(Relaxed),
            closed: self.closed.load(Relaxed),
            asked: self.asked.load(Relaxed),
            ask_panics: self.ask_panics.load(Relaxed),
            ask_refused: self.ask_refused.load(Relaxed),
            filter_panics: self.filter_panics.load(Relaxed),
            relay_rejected: self.missed.load(Relaxed),
            lagging: self.lagging.load(Relaxed),
            lag_events: longest,
            lag_age: oldest.map_or(Duration::ZERO, age),
        }
    }
}

impl std::ops::AddAssign for TopicStats {
    /// Adds another topic's figures; of lags the larger stays, and so of the numbers.
    fn add_assign(&mut self, other: Self) {
        self.subscribers += other.subscribers;
        self.last_seq = self.last_seq.max(other.last_seq);
        self.published += other.published;
        self.delivered += other.delivered;
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

/// What a topic did so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopicStats {
    /// Subscribers registered now.
    pub subscribers: usize,
    /// The number of the last event; 0 before the first.
    pub last_seq: u64,
    /// Events published.
    pub published: u64,
    /// Deliveries: events that subscribers' queues took.
    pub delivered: u64,
    /// Deliveries lost to a full queue under [`Overflow::Drop`](super::Overflow::Drop), or while a callback was asked.
    pub dropped: u64,
    /// Subscribers unregistered because their queue was full.
    pub removed: u64,
    /// Subscribers closed because their queue was full.
    pub closed: u64,
    /// Callbacks that chose what happens to a subscriber ([`Policy::Ask`](super::Policy::Ask)).
    pub asked: u64,
    /// Callbacks that panicked instead.
    pub ask_panics: u64,
    /// Times nobody was asked, because the pool had no room or was not there.
    pub ask_refused: u64,
    /// Filters that panicked: no match.
    pub filter_panics: u64,
    /// Events that a shard's full relay did not take, for all its subscribers.
    pub relay_rejected: u64,
    /// Subscribers that have more than one event waiting now.
    pub lagging: usize,
    /// The longest queue after the last event, events; 0 when nobody lags.
    pub lag_events: usize,
    /// How long ago the event was published that was the oldest waiting one then; zero when nobody lags.
    pub lag_age: Duration,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_that_keeps_up_says_nothing_of_one_that_lags() {
        let counts = Counts::new(2);
        counts.lagging.store(1, Relaxed);
        counts.add(0, &Pass { longest: 5, oldest: Some(Instant::now()), ..Pass::default() });
        std::thread::sleep(Duration::from_millis(2));
        counts.add(1, &Pass { taken: 1, ..Pass::default() });
        let stats = counts.stats(2, 1);
        assert_eq!(stats.lag_events, 5);
        assert!(stats.lag_age >= Duration::from_millis(1), "{stats:?}");
        counts.lagging.store(0, Relaxed);
        let stats = counts.stats(2, 1);
        assert_eq!((stats.lag_events, stats.lag_age), (0, Duration::ZERO));
    }
}
