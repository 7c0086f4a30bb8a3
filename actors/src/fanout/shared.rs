//! State that a topic shares with the relays and with its subscribers' queues. Knows neither.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{
        AtomicU64,
        Ordering::{Acquire, Relaxed, Release},
    },
};

use super::{counters::TopicCounters, gap::Gap};

/// Id of the next topic.
static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// State of a topic on one shard.
#[derive(Clone, Copy, Default)]
pub(super) struct TopicShard {
    pub(super) subscribers: usize,
    /// Range of the events that the full relay did not accept since the last one that it accepted.
    pub(super) rejected: Option<Gap>,
}

/// State of a topic behind its lock.
pub(super) struct TopicState {
    /// Number of the last event.
    pub(super) seq: u64,
    pub(super) shards: Box<[TopicShard]>,
    pub(super) closed: bool,
}

/// State that a topic shares with the relays and with its subscribers' queues.
pub(super) struct TopicShared {
    pub(super) id: u64,
    /// Locked while an event gets its number and is sent to each shard with subscribers. So every shard gets
    /// the events in the order of their numbers.
    state: Mutex<TopicState>,
    pub(super) counters: TopicCounters,
    /// Number of the last event that each shard's relay has delivered to all its subscribers.
    delivered: Box<[AtomicU64]>,
}

impl TopicShared {
    /// Creates the state of a topic without subscribers.
    pub(super) fn new(shards: usize) -> Arc<Self> {
        let state = TopicState { seq: 0, shards: vec![TopicShard::default(); shards].into(), closed: false };
        let id = NEXT_ID.fetch_add(1, Relaxed);
        let delivered = (0..shards).map(|_| AtomicU64::new(0)).collect();
        Arc::new(Self { id, state: Mutex::new(state), counters: TopicCounters::new(shards), delivered })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, TopicState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records that a shard's relay has delivered event `seq` and all before it.
    pub(super) fn record_delivered(&self, shard: usize, seq: u64) {
        self.delivered[shard].store(seq, Release);
    }

    /// Returns the number of the last event that a shard's relay has delivered.
    pub(super) fn delivered(&self, shard: usize) -> u64 {
        self.delivered[shard].load(Acquire)
    }

    /// Subtracts a subscriber of a shard.
    pub(super) fn unregister(&self, shard: usize) {
        self.lock().shards[shard].subscribers -= 1;
    }
}
