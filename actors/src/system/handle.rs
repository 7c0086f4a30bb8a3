//! The handle to a running system: its counters, its stop and its report.

use std::{
    fmt, mem,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use super::threads::ThreadExits;
use crate::{
    actor::{Registry, SystemShared},
    error::ShardFailure,
    shard::ShardStats,
    stop::{Phase, Undelivered},
    time::instant_after,
};

/// Time that aborted shards get to drop what they hold.
const ABORT_GRACE: Duration = Duration::from_millis(500);

/// Value of [`Handle::stopped_before`] before a stop begins.
const NOT_STOPPING: u64 = u64::MAX;

/// Counters of a system's actors and messages since its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ActorCounts {
    /// Actors that were spawned.
    pub started: u64,
    /// Actors that have exited.
    pub stopped: u64,
    /// Panics of actors.
    pub panicked: u64,
    /// Runs that ended with [`Flow::Fail`](crate::Flow::Fail).
    pub failed: u64,
    /// Restarts of actors.
    pub restarted: u64,
    /// Actors that exited because they reached their restart limit.
    pub restart_limit_reached: u64,
    /// Messages that actors handled after their own stop or the system's began.
    pub messages_drained: u64,
    /// Messages that were accepted into a mailbox or a shard's inbox and never handled.
    pub messages_dropped: u64,
}

/// Report of a system's stop.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct StopReport {
    /// Actors that exited since the stop began.
    pub actors_stopped: u64,
    /// Messages that actors handled after their own stop or the system's began, since the start of the
    /// system.
    pub messages_drained: u64,
    /// Messages that were accepted and never handled, since the start of the system.
    pub messages_dropped: u64,
    /// Shards whose threads have ended.
    pub shards_joined: usize,
    /// Shards whose threads had not ended half a second after the timeout, because code blocks them. They are
    /// left behind.
    pub shards_stuck: Vec<usize>,
    /// `true` if the timeout expired, so that all that still ran was aborted.
    pub aborted: bool,
    /// Shards that failed since the start of the system.
    pub failures: Vec<ShardFailure>,
}

impl StopReport {
    /// Returns `true` if the stop was orderly and in time, and no shard failed.
    pub fn is_clean(&self) -> bool {
        !self.aborted && self.shards_stuck.is_empty() && self.failures.is_empty()
    }
}

/// Handle to a running set of shards. Clones are handles to the same system.
///
/// Dropping the last handle stops the system, discards undelivered messages and does not wait.
#[derive(Clone)]
pub struct System(Arc<Handle>);

struct Handle {
    shared: Arc<SystemShared>,
    exits: Arc<ThreadExits>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// Number of exited actors when the stop began, or [`NOT_STOPPING`].
    stopped_before: AtomicU64,
}

impl System {
    pub(super) fn new(
        shared: Arc<SystemShared>,
        exits: Arc<ThreadExits>,
        threads: Vec<JoinHandle<()>>,
    ) -> Self {
        let (threads, stopped_before) = (Mutex::new(threads), AtomicU64::new(NOT_STOPPING));
        Self(Arc::new(Handle { shared, exits, threads, stopped_before }))
    }

    pub(super) fn shared(&self) -> &Arc<SystemShared> {
        &self.0.shared
    }

    /// Returns the registry of this system's actors.
    pub fn registry(&self) -> &Registry {
        &self.0.shared.registry
    }

    /// Returns the number of shards.
    pub fn shards(&self) -> usize {
        self.0.shared.group.shards.len()
    }

    /// Returns the counters of a shard, or `None` if there is no shard of this index.
    pub fn stats(&self, shard: usize) -> Option<&ShardStats> {
        self.0.shared.group.shards.get(shard).map(|shard| &shard.stats)
    }

    /// Returns the number of actors that live on a shard or are about to start there. Without such a shard it
    /// is 0.
    pub fn actors(&self, shard: usize) -> usize {
        self.0.shared.group.shards.get(shard).map_or(0, |shard| shard.actors())
    }

    /// Returns the counters of all actors.
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
            messages_drained: read(&counters.messages_drained),
            messages_dropped: read(&counters.messages_dropped),
        }
    }

    /// Returns the shards that have failed so far.
    pub fn failures(&self) -> Vec<ShardFailure> {
        self.0.exits.failures()
    }

    /// Begins to stop the system. Does not wait.
    ///
    /// All actors exit first. When the actors of all shards have exited, the drivers stop.
    ///
    /// A repeated call has no effect, except that `Discard` after `Drain` drops the messages not handled so
    /// far.
    pub fn stop(&self, undelivered: Undelivered) {
        self.0.stop(undelivered.into());
    }

    /// Waits until the system has stopped, for at most `timeout`, and returns a report.
    ///
    /// It does not begin the stop: call [`stop`](Self::stop) before, or leave that to another thread. When
    /// the timeout expires, all that still runs is dropped. A shard whose thread does not end within another
    /// half second is reported as stuck and left behind.
    ///
    /// This blocks the calling thread, which must not be a shard's.
    pub fn join(&self, timeout: Duration) -> StopReport {
        let exits = &self.0.exits;
        let mut stuck = exits.wait(instant_after(Instant::now(), timeout));
        let aborted = !stuck.is_empty();
        if aborted {
            self.0.stop(Phase::Abort);
            stuck = exits.wait(Instant::now() + ABORT_GRACE);
        }
        if stuck.is_empty() {
            let threads = mem::take(&mut *self.0.threads.lock().unwrap_or_else(PoisonError::into_inner));
            for thread in threads {
                // The thread itself has reported any panic.
                let _ = thread.join();
            }
        }
        self.report(stuck, aborted)
    }

    fn report(&self, shards_stuck: Vec<usize>, aborted: bool) -> StopReport {
        let counts = self.counts();
        let stopped_before = self.0.stopped_before.load(Ordering::Relaxed);
        StopReport {
            actors_stopped: counts.stopped.saturating_sub(stopped_before),
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
            self.stopped_before.compare_exchange(NOT_STOPPING, stopped, Ordering::Relaxed, Ordering::Relaxed);
        if first.is_ok() {
            tracing::debug!(?phase, "actor system stops");
        }
        self.shared.group.raise_phase(phase);
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
