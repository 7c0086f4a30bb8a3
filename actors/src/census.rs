//! What a system's shards and actors have in common: who still lives, what was counted, what failed.

use std::{
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Instant,
};

use crate::{
    contain::contain,
    error::ShardFailure,
    registry::Registry,
    remote::{Phase, Remote},
};

type FailureHook = Box<dyn Fn(&ShardFailure) + Send + Sync>;

/// Counts of a system's actors and messages since its start.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) started: AtomicU64,
    pub(crate) stopped: AtomicU64,
    pub(crate) panicked: AtomicU64,
    pub(crate) failed: AtomicU64,
    pub(crate) restarted: AtomicU64,
    pub(crate) gave_up: AtomicU64,
    /// Messages handled after the stop began.
    pub(crate) drained: AtomicU64,
    /// Messages taken into a mailbox and never handled.
    pub(crate) refused: Arc<AtomicU64>,
}

/// Shared by everything of one system.
pub(crate) struct Census {
    pub(crate) shards: Vec<Arc<Remote>>,
    pub(crate) counters: Counters,
    pub(crate) registry: Registry,
    /// For each shard, whether its actors have ended for good.
    ended: Vec<AtomicBool>,
    /// How many of them have not.
    acting: AtomicUsize,
    exits: Mutex<Exits>,
    exited: Condvar,
    on_failure: Option<FailureHook>,
}

#[derive(Debug, Default)]
struct Exits {
    gone: Vec<bool>,
    failures: Vec<ShardFailure>,
}

impl Census {
    pub(crate) fn new(
        shards: Vec<Arc<Remote>>,
        registry: Registry,
        on_failure: Option<FailureHook>,
    ) -> Arc<Self> {
        let count = shards.len();
        Arc::new(Self {
            shards,
            counters: Counters::default(),
            registry,
            ended: (0..count).map(|_| AtomicBool::new(false)).collect(),
            acting: AtomicUsize::new(count),
            exits: Mutex::new(Exits { gone: vec![false; count], failures: Vec::new() }),
            exited: Condvar::new(),
            on_failure,
        })
    }

    pub(crate) fn raise(&self, phase: Phase) {
        for shard in &self.shards {
            shard.raise(phase);
        }
    }

    /// Notes that a shard has no actors any more and takes none. The last one has all shards stop their drivers.
    pub(crate) fn actors_ended(&self, shard: usize) {
        if self.ended[shard].swap(true, Ordering::SeqCst) {
            return;
        }
        if self.acting.fetch_sub(1, Ordering::SeqCst) == 1 {
            for shard in &self.shards {
                shard.command();
            }
        }
    }

    pub(crate) fn all_actors_ended(&self) -> bool {
        self.acting.load(Ordering::SeqCst) == 0
    }

    pub(crate) fn failed(&self, failure: ShardFailure) {
        tracing::error!(%failure, "a shard failed");
        self.exits().failures.push(failure.clone());
        if let Some(hook) = &self.on_failure
            && contain(|| hook(&failure)).is_err()
        {
            tracing::error!("the hook for failed shards panicked");
        }
    }

    /// Notes that a shard's thread is about to end. The last act of that thread.
    pub(crate) fn left(&self, shard: usize) {
        self.exits().gone[shard] = true;
        self.exited.notify_all();
    }

    pub(crate) fn failures(&self) -> Vec<ShardFailure> {
        self.exits().failures.clone()
    }

    /// Waits until all shards are gone or `until` has come, and returns those that are not gone.
    pub(crate) fn remaining(&self, until: Instant) -> Vec<usize> {
        let mut exits = self.exits();
        loop {
            let here: Vec<usize> = (0..exits.gone.len()).filter(|&shard| !exits.gone[shard]).collect();
            let left = until.saturating_duration_since(Instant::now());
            if here.is_empty() || left.is_zero() {
                return here;
            }
            exits = self.exited.wait_timeout(exits, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn exits(&self) -> MutexGuard<'_, Exits> {
        self.exits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Census {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Census").field("shards", &self.shards).finish_non_exhaustive()
    }
}
