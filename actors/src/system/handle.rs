//! A running set of shards: spawn actors on it, look at it, stop it.

use std::{
    fmt, mem,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use super::exits::ThreadExits;
use crate::{
    actor::{Registry, SystemShared},
    error::ShardFailure,
    shard::ShardStats,
    stop::{Phase, Undelivered},
    time::instant_after,
};

/// How long shards that were given up may take to drop what they hold.
const ABORT_GRACE: Duration = Duration::from_millis(500);

/// Counts of a system's actors since its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ActorCounts {
    /// Actors spawned.
    pub started: u64,
    /// Actors that ended for good.
    pub stopped: u64,
    /// Panics contained.
    pub panicked: u64,
    /// Lives that ended by [`Flow::Fail`](crate::Flow::Fail).
    pub failed: u64,
    /// Restarts.
    pub restarted: u64,
    /// Actors that ended because of too many restarts.
    pub restart_limit_reached: u64,
    /// Messages handled after a stop began.
    pub messages_drained: u64,
    /// Messages that a mailbox or a shard's inbox took and nobody handled.
    pub messages_dropped: u64,
}

/// What a stop came to.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct StopReport {
    /// Actors that ended since the stop began.
    pub actors_stopped: u64,
    /// Messages handled since the stop began.
    pub messages_drained: u64,
    /// Messages taken in and never handled, since the start.
    pub messages_dropped: u64,
    /// Shards that ended.
    pub shards_joined: usize,
    /// Shards whose thread is held by something that does not return; they are left behind.
    pub shards_stuck: Vec<usize>,
    /// Whether time ran out, so that actors were dropped where they stood.
    pub aborted: bool,
    /// Shards that failed since the start.
    pub failures: Vec<ShardFailure>,
}

impl StopReport {
    /// Says whether everything ended in order and in time.
    pub fn is_clean(&self) -> bool {
        !self.aborted && self.shards_stuck.is_empty() && self.failures.is_empty()
    }
}

/// A running set of shards. Clones are handles to the same one; the last to be dropped stops it, without waiting.
#[derive(Clone)]
pub struct System(Arc<Handle>);

struct Handle {
    shared: Arc<SystemShared>,
    exits: Arc<ThreadExits>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// Actors that had ended when the stop began; `u64::MAX` before it.
    stopped_before: AtomicU64,
}

impl System {
    pub(super) fn new(
        shared: Arc<SystemShared>,
        exits: Arc<ThreadExits>,
        threads: Vec<JoinHandle<()>>,
    ) -> Self {
        let (threads, stopped_before) = (Mutex::new(threads), AtomicU64::new(u64::MAX));
        Self(Arc::new(Handle { shared, exits, threads, stopped_before }))
    }

    pub(super) fn shared(&self) -> &Arc<SystemShared> {
        &self.0.shared
    }

    /// Returns the registry of this system's actors.
    pub fn registry(&self) -> &Registry {
        &self.0.shared.registry
    }

    /// Returns how many shards there are.
    pub fn shards(&self) -> usize {
        self.0.shared.group.shards.len()
    }

    /// Returns the counters of one shard. `None`: there is no such shard.
    pub fn stats(&self, shard: usize) -> Option<&ShardStats> {
        self.0.shared.group.shards.get(shard).map(|shard| &shard.stats)
    }

    /// Returns how many actors live on a shard or are on their way there. 0 if there is no such shard.
    pub fn actors(&self, shard: usize) -> usize {
        self.0.shared.group.shards.get(shard).map_or(0, |shard| shard.actors())
    }

    /// Returns the counts of all actors.
    pub fn counts(&self) -> ActorCounts {
        let counters = &self.0.shared.counters;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ActorCounts {
            started: read(&counters.started),
            stopped: read(&counters.stopped),
            panicked: read(&counters.panicked),
            failed: read(&counters.failed),
            restarted: read(&counters.restarted),
            restart_limit_reached: read(&counters.restart_limit_reached),
            messages_drained: read(&counters.drained),
            messages_dropped: read(&counters.refused),
        }
    }

    /// Returns the shards that failed so far.
    pub fn failures(&self) -> Vec<ShardFailure> {
        self.0.exits.failures()
    }

    /// Begins to stop: first actors end, then, once those of all shards have, drivers. Does not wait.
    ///
    /// Called again it does nothing, except that `Refuse` after `Drain` drops what was not yet drained.
    pub fn stop(&self, undelivered: Undelivered) {
        self.0.stop(undelivered.into());
    }

    /// Waits until the system has stopped, for `timeout` at most; then drops what still runs and reports.
    ///
    /// Without [`stop`](Self::stop) before, it waits for someone else's. A shard whose thread does not come back
    /// within another half second is reported as stuck and left behind. Not for a shard's thread.
    pub fn join(&self, timeout: Duration) -> StopReport {
        let exits = &self.0.exits;
        let mut stuck = exits.remaining(instant_after(Instant::now(), timeout));
        let aborted = !stuck.is_empty();
        if aborted {
            self.0.stop(Phase::Abort);
            stuck = exits.remaining(Instant::now() + ABORT_GRACE);
        }
        if stuck.is_empty() {
            let threads = mem::take(&mut *self.0.threads.lock().unwrap_or_else(PoisonError::into_inner));
            for thread in threads {
                // What the thread died of was told by itself.
                let _ = thread.join();
            }
        }
        self.report(stuck, aborted)
    }

    fn report(&self, shards_stuck: Vec<usize>, aborted: bool) -> StopReport {
        let counts = self.counts();
        let before = self.0.stopped_before.load(Ordering::Relaxed);
        StopReport {
            actors_stopped: counts.stopped.saturating_sub(before),
            messages_drained: counts.messages_drained,
            messages_dropped: counts.messages_dropped,
            shards_joined: self.shards() - shards_stuck.len(),
            shards_stuck,
            aborted,
            failures: self.failures(),
        }
    }
}

impl Handle {
    fn stop(&self, phase: Phase) {
        let stopped = self.shared.counters.stopped.load(Ordering::Relaxed);
        let first =
            self.stopped_before.compare_exchange(u64::MAX, stopped, Ordering::Relaxed, Ordering::Relaxed);
        if first.is_ok() {
            tracing::debug!(?phase, "the system stops");
        }
        self.shared.group.raise(phase);
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.stop(Phase::Discard);
    }
}

impl fmt::Debug for System {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("System")
            .field("shards", &self.shards())
            .field("counts", &self.counts())
            .finish_non_exhaustive()
    }
}
