//! The end of a system's threads: which of them have ended, and which shards failed.

use std::{
    fmt,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use crate::{error::ShardFailure, future::catch_panic};

/// Function that is called when a shard has failed.
pub(super) type FailureHook = Box<dyn Fn(&ShardFailure) + Send + Sync>;

/// Record of the threads that have ended and the shards that failed.
pub(super) struct ThreadExits {
    record: Mutex<Record>,
    changed: Condvar,
    on_failure: Option<FailureHook>,
}

#[derive(Debug)]
struct Record {
    /// `true` for each shard whose thread has ended.
    ended: Vec<bool>,
    failures: Vec<ShardFailure>,
}

impl ThreadExits {
    /// Creates a record of threads that are all running.
    pub(super) fn new(shards: usize, on_failure: Option<FailureHook>) -> Arc<Self> {
        let record = Mutex::new(Record { ended: vec![false; shards], failures: Vec::new() });
        Arc::new(Self { record, changed: Condvar::new(), on_failure })
    }

    /// Records the failure of a shard, logs it and calls the hook.
    pub(super) fn record_failure(&self, failure: ShardFailure) {
        tracing::error!(%failure, "shard failed");
        self.lock().failures.push(failure.clone());
        if let Some(hook) = &self.on_failure
            && catch_panic(|| hook(&failure)).is_err()
        {
            tracing::error!("the hook for failed shards panicked");
        }
    }

    /// Records that the thread of a shard ends. That thread does nothing else afterwards.
    pub(super) fn record_end(&self, shard: usize) {
        self.lock().ended[shard] = true;
        self.changed.notify_all();
    }

    /// Returns the failures so far.
    pub(super) fn failures(&self) -> Vec<ShardFailure> {
        self.lock().failures.clone()
    }

    /// Blocks until all threads have ended, or until `deadline`. Returns the shards whose threads still run.
    pub(super) fn wait(&self, deadline: Instant) -> Vec<usize> {
        let mut record = self.lock();
        loop {
            let running: Vec<usize> = (0..record.ended.len()).filter(|&shard| !record.ended[shard]).collect();
            let left = deadline.saturating_duration_since(Instant::now());
            if running.is_empty() || left.is_zero() {
                return running;
            }
            record = self.changed.wait_timeout(record, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for ThreadExits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThreadExits").field("record", &self.record).finish_non_exhaustive()
    }
}
