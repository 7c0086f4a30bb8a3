//! What a durable store can be told.

use std::{fmt, sync::Arc, time::Duration};

use crate::replay::{Clock, Retention, StoreError, StoreLimits};

/// Settings of a durable store.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// What topics keep.
    pub retention: Retention,
    /// What the store takes.
    pub limits: StoreLimits,
    /// How long a [`Buffered`](crate::replay::Durability::Buffered) event may wait for its sync. Default 50 ms. Longer
    /// costs more events in a crash, shorter more syncs.
    pub buffered_interval: Duration,
    /// Unsynced events of any kind after which a sync does not wait any longer. Default 10,000.
    pub unsynced_events: usize,
    /// Unsynced bytes after which a sync does not wait any longer. Default 8 MiB. redb holds them in memory.
    pub unsynced_bytes: usize,
    /// Appends that may wait for the writer. Default 8192. Then appends are refused until it has caught up.
    pub queue_events: usize,
    /// Bytes of appends that may wait for the writer. Default 16 MiB; one append may be larger.
    pub queue_bytes: usize,
    /// Memory for pages of the file. Default 64 MiB.
    pub cache_bytes: usize,
    /// Threads that read pages. Default 2, at least 1.
    pub readers: usize,
    /// Reads that may wait for a reader. Default 1024. Then a read is [`ErrorKind::Full`](crate::replay::ErrorKind::Full).
    pub queue_reads: usize,
    /// Check the whole file when it is opened. Default false: it is checked only when it was left without a close three
    /// times in a row, or gave reason while it was used. Costs reading all of it; without it damage may show late, and
    /// redb may end the process over it.
    pub verify: bool,
    /// Is told the failures that no completion is told: of syncs, of trimming, of opening again.
    pub on_error: ErrorHook,
    /// Tells the time.
    pub clock: Clock,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            retention: Retention::default(),
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

/// Is called with an error on the store's threads. Neither blocks nor calls the store. Default: does nothing.
#[derive(Clone, Default)]
pub struct ErrorHook(Option<Arc<Hook>>);

type Hook = dyn Fn(&StoreError) + Send + Sync;

impl ErrorHook {
    /// Calls a function with each error.
    pub fn new(hook: impl Fn(&StoreError) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(hook)))
    }

    pub(super) fn tell(&self, error: &StoreError) {
        if let Some(hook) = &self.0 {
            // The hook's own panic; the panic hook has told it.
            drop(crate::replay::contain::contain(|| hook(error)));
        }
    }
}

impl fmt::Debug for ErrorHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ErrorHook({})", if self.0.is_some() { "set" } else { "none" })
    }
}
