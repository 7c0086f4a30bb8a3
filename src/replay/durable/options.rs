//! Settings of the durable store.

use std::{fmt, sync::Arc, time::Duration};

use crate::replay::{Clock, Retention, RetentionPolicy, StoreError, StoreLimits, panic::catch_panic};

/// Settings of a durable store.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// Retention of logs.
    pub retention: Retention,
    /// Retention by log. Default: `None`, which is [`retention`](Self::retention) for all logs. `Some`
    /// replaces it.
    pub policy: Option<RetentionPolicy>,
    /// Fingerprint of the configuration that puts topics into logs. Default: 0. When a file is opened with
    /// another value than before, all logs continue above every number assigned so far. So an id that a topic
    /// gave out in one log never stands for an event of another log. Readers of older ids see a gap.
    pub grouping: u64,
    /// Limits of what the store accepts.
    pub limits: StoreLimits,
    /// Maximum time from a [`Buffered`](crate::replay::Durability::Buffered) append to its sync. Default: 50
    /// ms. A longer interval loses more events in a crash, a shorter one costs more syncs.
    pub buffered_interval: Duration,
    /// Number of unsynced events that triggers a sync. Default: 10,000.
    pub unsynced_events: usize,
    /// Bytes of unsynced events that trigger a sync. Default: 8 MiB. redb holds them in memory.
    pub unsynced_bytes: usize,
    /// Maximum number of appends queued for the writer. Default: 8192. Further appends are rejected.
    pub queue_events: usize,
    /// Maximum bytes of appends queued for the writer. Default: 16 MiB. A single append may exceed it.
    pub queue_bytes: usize,
    /// Size of redb's page cache in bytes. Default: 64 MiB.
    pub cache_bytes: usize,
    /// Number of reader threads. Default: 2, at least 1.
    pub readers: usize,
    /// Maximum number of reads queued for the readers. Default: 1024. Further reads fail with
    /// [`ErrorKind::Full`](crate::replay::ErrorKind::Full).
    pub queue_reads: usize,
    /// Verify the whole file at every opening. Default: `false`. Then the file is verified only after three
    /// consecutive ends without a close, or when it is reopened because of damage. Verification reads the
    /// whole file. Without it, damage may be detected late, and may make redb end the process.
    pub verify: bool,
    /// Called with errors that no completion receives: of syncs, trimming, reopening and the close of a
    /// dropped store, and for acknowledged events that are lost. Default: does nothing.
    pub on_error: ErrorHook,
    /// Source of the time of events.
    pub clock: Clock,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            retention: Retention::default(),
            policy: None,
            grouping: 0,
            limits: StoreLimits::default(),
            buffered_interval: Duration::from_millis(50),
            unsynced_events: 10_000,
            unsynced_bytes: 8 * 1024 * 1024,
            queue_events: 8192,
            queue_bytes: 16 * 1024 * 1024,
            cache_bytes: 64 * 1024 * 1024,
            readers: 2,
            queue_reads: 1024,
            verify: false,
            on_error: ErrorHook::default(),
            clock: Clock::default(),
        }
    }
}

impl Options {
    /// Returns the retention of each log.
    pub(super) fn retention_policy(&self) -> RetentionPolicy {
        self.policy.clone().unwrap_or_else(|| RetentionPolicy::new(self.retention.clone()))
    }
}

/// Callback for errors. It runs on the store's threads, so it must not block and must not call the store.
#[derive(Clone, Default)]
pub struct ErrorHook(Option<Arc<Hook>>);

type Hook = dyn Fn(&StoreError) + Send + Sync;

impl ErrorHook {
    /// Creates a callback from a function.
    pub fn new(hook: impl Fn(&StoreError) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(hook)))
    }

    /// Calls the callback, if there is one.
    pub(super) fn call(&self, error: &StoreError) {
        if let Some(hook) = &self.0 {
            // A panic of the callback is discarded; the panic hook has reported it.
            drop(catch_panic(|| hook(error)));
        }
    }
}

impl fmt::Debug for ErrorHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ErrorHook({})", if self.0.is_some() { "set" } else { "none" })
    }
}
