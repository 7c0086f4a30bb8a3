//! The writer thread: it commits queued appends and completes them in order, syncs, applies retention, and
//! reopens the file after a failure.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Options,
    commit::{Committed, Numbered, commit, trim_expired},
    database::{close, skip_failed},
    errors::guard,
    failed_appends::FailedAppends,
    logs::Logs,
    queue::TakeResult,
    shared::{Shared, WriteRequest},
};
use crate::replay::{
    Append, Appended, Durability, ErrorKind, Operation, Position, StoreError, completion::complete,
    panic::catch_panic,
};

/// Maximum number of events in one commit.
const BATCH_EVENTS: usize = 4096;
/// Maximum bytes of one commit, except that a single event may be larger.
const BATCH_BYTES: usize = 8 * 1024 * 1024;
/// Maximum time from an append without durability to its sync. It bounds the memory that redb uses for
/// unsynced commits.
const LAZY_SYNC: Duration = Duration::from_secs(5);
/// Interval between checks for expired events.
const TRIM_INTERVAL: Duration = Duration::from_secs(1);
/// Interval between checks that the file still has its name.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// Time after a recovery in which another failure continues the pauses of the previous one.
const RELAPSE: Duration = Duration::from_secs(60);
/// Room that a disk must have before a store that failed on the full disk counts as recovered.
const ROOM_BYTES: u64 = 1024 * 1024;
/// Shortest and longest pause between two attempts to recover from a failure.
const REOPEN_PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

pub(super) struct Writer {
    shared: Arc<Shared>,
    /// State of the logs in the file. `None` from a failure that closed the file until it is reopened.
    logs: Option<Logs>,
    unsynced: Unsynced,
    failure: Option<Failure>,
    /// Appends that failed since the file was last open.
    failed: FailedAppends,
    /// Time of the last recovery, and the pause that it followed.
    recovered: Option<(Instant, Duration)>,
    trim_at: Instant,
    check_at: Instant,
}

/// Committed events that are not on the disk.
#[derive(Default)]
struct Unsynced {
    events: usize,
    bytes: usize,
    /// Time of the next sync. `None` if everything is synced.
    sync_at: Option<Instant>,
}

/// Failure that has not been recovered from.
struct Failure {
    error: StoreError,
    pause: Duration,
    retry_at: Instant,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, logs: Logs) -> Self {
        Self {
            shared,
            logs: Some(logs),
            unsynced: Unsynced::default(),
            failure: None,
            failed: FailedAppends::default(),
            recovered: None,
            trim_at: Instant::now(),
            check_at: Instant::now() + CHECK_INTERVAL,
        }
    }

    /// Serves requests until the queue is closed and empty. Returns the result of closing the file.
    pub(super) fn run(mut self) -> Result<(), StoreError> {
        let mut batch = Vec::new();
        loop {
            match self.shared.writes.take(&mut batch, BATCH_EVENTS, BATCH_BYTES, self.deadline()) {
                TakeResult::Items => self.write(&mut batch),
                TakeResult::TimedOut => (),
                TakeResult::Closed => return self.close(),
            }
            self.run_timers();
        }
    }

    /// Returns the time of the earliest timer: sync, trim, check or recovery.
    fn deadline(&self) -> Option<Instant> {
        let retry = self.failure.as_ref().map(|failure| failure.retry_at);
        [self.unsynced.sync_at, Some(self.trim_at), retry, Some(self.check_at)].into_iter().flatten().min()
    }

    /// Runs the timers that have expired.
    fn run_timers(&mut self) {
        let now = Instant::now();
        if self.failure.as_ref().is_some_and(|failure| failure.retry_at <= now) {
            self.recover(now);
        } else if self.failure.is_none() && self.check_at <= now {
            drop(self.check_file());
        }
        if self.check_at <= now {
            self.check_at = now + CHECK_INTERVAL;
        }
        if self.unsynced.sync_at.is_some_and(|sync_at| sync_at <= now) {
            self.sync();
        }
        if self.trim_at <= now {
            self.trim_at = now + TRIM_INTERVAL;
            self.trim();
        }
    }

    /// Commits a batch and completes its requests in order. Records the appends of a failed commit.
    fn write(&mut self, batch: &mut Vec<WriteRequest>) {
        let appends = || batch.iter().filter_map(WriteRequest::append);
        let events = appends().count();
        let bytes = appends().map(Append::size_bytes).sum();
        let has_flush = events < batch.len();
        let unsynced = appends().map(|append| append.durability).filter(|asked| *asked < Durability::Fsynced);
        let highest_unsynced = unsynced.max();
        let sync = has_flush || self.unsynced.needs_sync(&self.shared.options, events, bytes);
        let outcome = self.commit(batch, sync);
        match &outcome {
            Ok(committed) if committed.is_synced => self.unsynced = Unsynced::default(),
            Ok(_) => {
                self.unsynced.add(events, bytes, highest_unsynced, self.shared.options.buffered_interval);
            }
            Err(_) => {
                batch.iter().filter_map(WriteRequest::append).for_each(|append| self.failed.record(append));
            }
        }
        self.complete(batch, outcome);
    }

    /// Makes an empty synced commit, which brings all earlier commits to the disk.
    fn sync(&mut self) {
        match self.commit(&[], true) {
            Ok(_) => self.unsynced = Unsynced::default(),
            Err(error) => self.shared.options.on_error.call(&error),
        }
    }

    /// Removes expired events.
    fn trim(&mut self) {
        let Some(logs) = &mut self.logs else { return };
        let now_ms = self.shared.options.clock.now_ms();
        self.shared.take_read_logs().into_iter().for_each(|id| logs.mark_used(id, now_ms));
        let trimmed = self.shared.with_database(|database| {
            guard(Operation::Trim, || trim_expired(database, logs, &self.shared.options))
        });
        match trimmed {
            Ok(true) => self.unsynced.add(0, 0, None, LAZY_SYNC),
            Ok(false) => (),
            Err(error) => {
                self.fail(&error);
                self.shared.options.on_error.call(&error);
            }
        }
    }

    fn commit(&mut self, batch: &[WriteRequest], sync: bool) -> Result<Committed, StoreError> {
        self.reopen(Instant::now())?;
        self.check_file()?;
        self.skip_failed()?;
        let Some(logs) = &mut self.logs else { return Err(self.shared.closed()) };
        let appends = batch.iter().filter_map(WriteRequest::append);
        let outcome = self.shared.with_database(|database| {
            guard(Operation::Append, || commit(database, logs, &self.shared.options, appends, sync))
        });
        match &outcome {
            Ok(committed) => {
                // It may have lost its name meanwhile.
                self.check_file()?;
                if committed.is_synced {
                    self.recovered();
                }
                self.shared.tally.commits.add(1);
                self.shared.tally.syncs.add(u64::from(committed.is_synced));
            }
            Err(error) => self.fail(error),
        }
        outcome
    }

    /// Closes a file that failed, reports lost events and schedules the reopening. The in-memory state of
    /// redb and of the logs may be inconsistent, so both are discarded.
    fn fail(&mut self, error: &StoreError) {
        self.logs = None;
        // After a failure, dropping the database does not sync. A panic in the drop changes nothing.
        drop(catch_panic(|| drop(self.shared.take_database())));
        let lost = std::mem::take(&mut self.unsynced).events;
        if lost > 0 {
            self.shared.tally.lost.add(lost as u64);
            let message = format!("up to {lost} acknowledged events that were not synced are lost");
            let lost = StoreError::with_source(error.kind(), Operation::Sync, message, error.clone());
            self.shared.options.on_error.call(&lost);
        }
        self.refuse(error);
    }

    /// Records a failure and schedules the next attempt to recover.
    fn refuse(&mut self, error: &StoreError) {
        let (shortest, longest) = REOPEN_PAUSES;
        let now = Instant::now();
        let relapse = self.recovered.filter(|(recovered_at, _)| now < *recovered_at + RELAPSE);
        let previous = self.failure.as_ref().map(|failure| failure.pause).or(relapse.map(|(_, pause)| pause));
        let pause = previous.map_or(shortest, |pause| (pause * 2).min(longest));
        self.shared.health.fail(error);
        self.failure = Some(Failure { error: error.clone(), pause, retry_at: now + pause });
    }

    /// Checks that the file still has its name. If not, the store refuses appends but stays open: its events
    /// can be read, and the file may come back.
    fn check_file(&mut self) -> Result<(), StoreError> {
        let checked = self.shared.location.check_file();
        if let Err(error) = &checked {
            self.refuse(error);
        }
        checked
    }

    /// Tries to recover from a failure: reopens the file if it is not open, and syncs it. After a full disk
    /// it only does so once there is room.
    fn recover(&mut self, now: Instant) {
        if self.reopen(now).is_err() {
            return;
        }
        let is_full =
            |failure: &Failure| failure.error.is_disk_full() && !self.shared.location.has_room(ROOM_BYTES);
        if let Some(failure) = self.failure.as_ref().filter(|failure| is_full(failure)) {
            self.refuse(&failure.error.clone());
            return;
        }
        self.sync();
    }

    /// Records that the store works: a commit has reached the disk.
    fn recovered(&mut self) {
        if let Some(failure) = self.failure.take() {
            self.recovered = Some((Instant::now(), failure.pause));
            self.shared.health.recover();
        }
    }

    /// Reopens the file after a failure, once the pause is over; before that it returns
    /// [`ErrorKind::Unavailable`]. Does nothing if the file is open.
    fn reopen(&mut self, now: Instant) -> Result<(), StoreError> {
        let Some(failure) = self.failure.as_ref().filter(|_| self.logs.is_none()) else { return Ok(()) };
        if now < failure.retry_at {
            let (kind, message) = (ErrorKind::Unavailable, "the store is unavailable after a failure");
            return Err(StoreError::with_source(kind, Operation::Open, message, failure.error.clone()));
        }
        match self.shared.reopen(failure.error.kind(), &self.failed) {
            Ok(logs) => {
                self.logs = Some(logs);
                self.failed = FailedAppends::default();
                Ok(())
            }
            Err(error) => {
                self.fail(&error);
                self.shared.options.on_error.call(&error);
                Err(error)
            }
        }
    }

    /// Skips the numbers of appends that failed while the open file had no name.
    fn skip_failed(&mut self) -> Result<(), StoreError> {
        let Some(logs) = self.logs.as_mut().filter(|_| !self.failed.is_empty()) else { return Ok(()) };
        let skipped = self.shared.with_database(|database| {
            guard(Operation::Append, || skip_failed(database, logs, &self.failed, Operation::Append))
        });
        match &skipped {
            Ok(()) => self.failed = FailedAppends::default(),
            Err(error) => self.fail(error),
        }
        skipped
    }

    /// Completes the requests of a batch in order.
    fn complete(&self, batch: &mut Vec<WriteRequest>, outcome: Result<Committed, StoreError>) {
        let (mut outcomes, is_synced, failure) = match outcome {
            Ok(committed) => (committed.outcomes.into_iter(), committed.is_synced, None),
            Err(error) => (Vec::new().into_iter(), false, Some(error)),
        };
        let closed = || Err(self.shared.closed());
        for request in batch.drain(..) {
            match request {
                WriteRequest::Flush(done) => complete(done, failure.clone().map_or(Ok(()), Err)),
                WriteRequest::Append(_, done) if failure.is_some() => {
                    complete(done, failure.clone().map_or_else(closed, Err));
                }
                WriteRequest::Append(append, done) => {
                    let reached = match append.durability {
                        _ if is_synced => Durability::Fsynced,
                        asked => asked.min(Durability::Buffered),
                    };
                    let numbered = outcomes.next().unwrap_or_else(|| Err(self.shared.closed()));
                    complete(done, numbered.map(|numbered| self.appended(numbered, reached)));
                }
            }
        }
    }

    /// Returns the acknowledgement of an append, and counts it unless it is a repeat.
    fn appended(&self, Numbered { seq, is_repeat }: Numbered, reached: Durability) -> Appended {
        let appended = Appended::new(Position::new(self.shared.epoch, seq), reached);
        if is_repeat {
            return appended.repeated();
        }
        self.shared.tally.appends.add(1);
        appended
    }

    fn close(mut self) -> Result<(), StoreError> {
        let named = self.shared.location.check_file();
        let database = self.shared.take_database();
        let (Some(database), Some(logs)) = (database, &mut self.logs) else {
            return self.failure.map_or(Ok(()), |failure| Err(failure.error));
        };
        let closed = close(database, logs);
        match &closed {
            Ok(()) => self.shared.location.mark_closed(),
            Err(_) => self.shared.tally.lost.add(self.unsynced.events as u64),
        }
        named.and(closed)
    }
}

impl Unsynced {
    /// Returns `true` if a commit that adds `events` and `bytes` must be synced.
    fn needs_sync(&self, options: &Options, events: usize, bytes: usize) -> bool {
        self.sync_at.is_some_and(|sync_at| sync_at <= Instant::now())
            || self.events + events > options.unsynced_events
            || self.bytes + bytes > options.unsynced_bytes
    }

    /// Adds the events of an unsynced commit. `highest` is the highest durability that they asked for, and
    /// `buffered` the sync interval of [`Durability::Buffered`].
    fn add(&mut self, events: usize, bytes: usize, highest: Option<Durability>, buffered: Duration) {
        self.events += events;
        self.bytes += bytes;
        let delay = if highest == Some(Durability::Buffered) { buffered } else { LAZY_SYNC };
        let sync_at = Instant::now() + delay;
        self.sync_at = Some(self.sync_at.map_or(sync_at, |earlier| earlier.min(sync_at)));
    }
}
