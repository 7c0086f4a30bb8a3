//! What a topic shares with its subscribers' queues and with the relays: the number of the last event, who is
//! registered, the counters. Knows neither relays nor subscriptions.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use super::{counts::Counts, gap::Gap};

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// What a topic knows of one shard.
#[derive(Clone, Copy, Default)]
pub(super) struct Shard {
    pub(super) subscribers: usize,
    /// Events its relay had no room for.
    pub(super) missed: Option<Gap>,
}

pub(super) struct State {
    /// The number of the last event.
    pub(super) seq: u64,
    pub(super) shards: Box<[Shard]>,
    pub(super) closed: bool,
}

/// What a topic shares with its subscribers' queues and with the relays.
pub(super) struct TopicShared {
    pub(super) id: u64,
    /// Held for a numbering and one send to each shard that has subscribers, so that every shard sees the events in
    /// the order of their numbers.
    state: Mutex<State>,
    pub(super) counts: Counts,
}

impl TopicShared {
    pub(super) fn new(shards: usize) -> Arc<Self> {
        let state = State { seq: 0, shards: vec![Shard::default(); shards].into(), closed: false };
        let id = NEXT_ID.fetch_add(1, Relaxed);
        Arc::new(Self { id, state: Mutex::new(state), counts: Counts::new(shards) })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts one subscriber less on a shard.
    pub(super) fn unregister(&self, shard: usize) {
        self.lock().shards[shard].subscribers -= 1;
    }
}
