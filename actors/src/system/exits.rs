//! The ends of a system's threads: which shards are gone, and which of them failed.

use std::{
    fmt,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use crate::{error::ShardFailure, future::contain};

pub(super) type FailureHook = Box<dyn Fn(&ShardFailure) + Send + Sync>;

/// The ends of a system's threads, as those who join it wait for.
pub(super) struct ThreadExits {
    log: Mutex<Log>,
    exited: Condvar,
    on_failure: Option<FailureHook>,
}

#[derive(Debug)]
struct Log {
    /// For each shard, whether its thread is gone.
    gone: Vec<bool>,
    failures: Vec<ShardFailure>,
}

impl ThreadExits {
    pub(super) fn new(shards: usize, on_failure: Option<FailureHook>) -> Arc<Self> {
        let log = Mutex::new(Log { gone: vec![false; shards], failures: Vec::new() });
        Arc::new(Self { log, exited: Condvar::new(), on_failure })
    }

    pub(super) fn failed(&self, failure: ShardFailure) {
        tracing::error!(%failure, "a shard failed");
        self.log().failures.push(failure.clone());
        if let Some(hook) = &self.on_failure
            && contain(|| hook(&failure)).is_err()
        {
            tracing::error!("the hook for failed shards panicked");
        }
    }

    /// Notes that a shard's thread is about to end. The last act of that thread.
    pub(super) fn left(&self, shard: usize) {
        self.log().gone[shard] = true;
        self.exited.notify_all();
    }

    pub(super) fn failures(&self) -> Vec<ShardFailure> {
        self.log().failures.clone()
    }

    /// Waits until all shards are gone or `until` has come, and returns those that are not gone.
    pub(super) fn remaining(&self, until: Instant) -> Vec<usize> {
        let mut log = self.log();
        loop {
            let here: Vec<usize> = (0..log.gone.len()).filter(|&shard| !log.gone[shard]).collect();
            let left = until.saturating_duration_since(Instant::now());
            if here.is_empty() || left.is_zero() {
                return here;
            }
            log = self.exited.wait_timeout(log, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for ThreadExits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThreadExits").field("log", &self.log).finish_non_exhaustive()
    }
}
