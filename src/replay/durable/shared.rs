//! State shared by the handle, the writer thread and the reader threads.

use std::{
    collections::HashSet,
    sync::{
        Mutex, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use bytes::Bytes;
use redb::Database;

use super::{
    Options, failed_appends::FailedAppends, health::Health, location::Location, logs::Logs, queue::Queue,
};
use crate::replay::{
    Append, Appended, Completion, Epoch, ErrorKind, Operation, Page, Position, Query, StoreError,
};

/// State shared by the handle and the threads.
pub(super) struct Shared {
    pub(super) options: Options,
    pub(super) epoch: Epoch,
    pub(super) writes: Queue<WriteRequest>,
    pub(super) reads: Queue<ReadRequest>,
    /// Open database. `None` between a failure and the next successful reopening, and after closing.
    database: RwLock<Option<Database>>,
    pub(super) tally: Tally,
    pub(super) health: Health,
    pub(super) location: Location,
    /// Ids of logs that were read since the writer last looked, at most [`MAX_READ_LOGS`].
    read_logs: Mutex<HashSet<u64>>,
}

/// Maximum number of logs whose reads are recorded until the writer looks. Reads of further ones do not count
/// as uses.
const MAX_READ_LOGS: usize = 4096;

/// Request to the writer thread.
pub(super) enum WriteRequest {
    Append(Append, Completion<Appended>),
    /// Completes when every earlier append is on the disk.
    Flush(Completion<()>),
}

impl WriteRequest {
    /// Returns the append, unless the request is a flush.
    pub(super) fn append(&self) -> Option<&Append> {
        match self {
            Self::Append(append, _) => Some(append),
            Self::Flush(_) => None,
        }
    }
}

/// Request to a reader thread.
pub(super) enum ReadRequest {
    Page(Query, Completion<Page>),
    /// Name of the log and id of the event.
    Id(Bytes, Bytes, Completion<Option<Position>>),
}

/// Counters of a durable store since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Acknowledged events.
    pub appends: u64,
    /// Appends rejected because the queue was full.
    pub rejected: u64,
    /// Commits, synced or not.
    pub commits: u64,
    /// Synced commits.
    pub syncs: u64,
    /// Events acknowledged below [`Fsynced`](crate::replay::Durability::Fsynced) that a failure may have
    /// lost.
    pub lost: u64,
    /// Reopenings of the file after a failure.
    pub reopened: u64,
    /// Reads that found a damaged event. The first one since the store was opened is logged.
    pub damaged: u64,
}

/// Atomic form of [`Counters`].
#[derive(Default)]
pub(super) struct Tally {
    pub(super) appends: Count,
    pub(super) rejected: Count,
    pub(super) commits: Count,
    pub(super) syncs: Count,
    pub(super) lost: Count,
    reopened: Count,
    damaged: Count,
}

impl Tally {
    /// Returns the current values.
    pub(super) fn read(&self) -> Counters {
        Counters {
            appends: self.appends.read(),
            rejected: self.rejected.read(),
            commits: self.commits.read(),
            syncs: self.syncs.read(),
            lost: self.lost.read(),
            reopened: self.reopened.read(),
            damaged: self.damaged.read(),
        }
    }
}

/// Atomic counter.
#[derive(Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    pub(super) fn add(&self, count: u64) {
        self.0.fetch_add(count, Relaxed);
    }

    fn read(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

impl Shared {
    pub(super) fn new(options: Options, epoch: Epoch, database: Database, location: Location) -> Self {
        Self {
            writes: Queue::new(options.queue_events, options.queue_bytes),
            reads: Queue::new(options.queue_reads, usize::MAX),
            options,
            epoch,
            database: RwLock::new(Some(database)),
            tally: Tally::default(),
            health: Health::default(),
            location,
            read_logs: Mutex::default(),
        }
    }

    /// Records that a log was read.
    pub(super) fn mark_read(&self, id: u64) {
        let mut read = self.read_logs.lock().unwrap_or_else(PoisonError::into_inner);
        if read.len() < MAX_READ_LOGS {
            read.insert(id);
        }
    }

    /// Returns the ids of logs that were read since the last call.
    pub(super) fn take_read_logs(&self) -> HashSet<u64> {
        std::mem::take(&mut *self.read_logs.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Counts a damaged event that was read. Logs the first one.
    pub(super) fn report_damaged_event(&self, log: &[u8], seq: u64) {
        if self.tally.damaged.0.fetch_add(1, Relaxed) == 0 {
            let log = String::from_utf8_lossy(log);
            tracing::error!(%log, seq, "the topic store has a damaged event, readers receive a gap");
        }
    }

    /// Returns the error of a request to a closed store.
    pub(super) fn closed(&self) -> StoreError {
        StoreError::new(ErrorKind::Closed, Operation::Close, "the store is closed")
    }

    /// Runs `f` on the database.
    ///
    /// # Errors
    ///
    /// The database is not open, or `f` fails.
    pub(super) fn with_database<T>(
        &self,
        f: impl FnOnce(&Database) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        database.as_ref().map_or_else(|| Err(self.unavailable()), f)
    }

    /// Returns the error of a request that needs the database while it is not open.
    fn unavailable(&self) -> StoreError {
        if self.writes.is_closed() {
            return self.closed();
        }
        StoreError::new(ErrorKind::Unavailable, Operation::Open, "the file is not open after a failure")
    }

    /// Takes the database, so that reads fail until [`reopen`](Self::reopen) succeeds. Returns `None` if it
    /// is not open.
    pub(super) fn take_database(&self) -> Option<Database> {
        self.database.write().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Reopens the file after a failure of kind `failure`. Fails if another store has replaced the file.
    pub(super) fn reopen(&self, failure: ErrorKind, failed: &FailedAppends) -> Result<Logs, StoreError> {
        let opened = self.location.reopen(&self.options, failure, failed)?;
        if opened.epoch != self.epoch {
            let message =
                "another store replaced the file while it was in use: restart the server to use the new one";
            return Err(StoreError::new(ErrorKind::Damaged, Operation::Open, message));
        }
        *self.database.write().unwrap_or_else(PoisonError::into_inner) = Some(opened.database);
        self.tally.reopened.add(1);
        Ok(opened.logs)
    }
}
