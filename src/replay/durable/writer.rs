//! The writer thread: takes what waits, commits it, completes it in order; syncs when it is time; opens the file again
//! after a failure.

use std::{
    sync::{Arc, PoisonError},
    time::{Duration, Instant},
};

use super::{
    commit::{Written, commit, trim_aged},
    database::{broken, close},
    missed::Missed,
    queue::Taken,
    store::Shared,
    topics::Topics,
};
use crate::replay::{
    Append, Appended, Completion, Durability, ErrorKind, Operation, Position, StoreError,
    contain::{complete, contain},
};

/// Events that one commit takes at most.
const BATCH_EVENTS: usize = 4096;
/// Bytes that one commit takes at most, but for a single larger event.
const BATCH_BYTES: usize = 8 * 1024 * 1024;
/// How long an event without durability may wait for a sync: bounds what redb holds in memory for it.
const LAZY_SYNC: Duration = Duration::from_secs(5);
/// How often events are looked for that have become too old.
const TRIM_EVERY: Duration = Duration::from_secs(1);
/// How long the first and the longest pause is before a file that failed is opened again.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// What the writer is asked for.
pub(super) enum Job {
    Append(Append, Completion<Appended>),
    /// Completes when all before it is on the disk.
    Flush(Completion<()>),
}

pub(super) struct Writer {
    shared: Arc<Shared>,
    /// What the file holds; `None` while it could not be opened again.
    topics: Option<Topics>,
    unsynced: Unsynced,
    trouble: Option<Trouble>,
    /// What failed since the file was open.
    missed: Missed,
    trim_at: Instant,
}

/// What was committed and is not on the disk.
#[derive(Default)]
struct Unsynced {
    events: usize,
    bytes: usize,
    /// When it must be. `None`: there is nothing.
    due: Option<Instant>,
}

/// A failure not yet overcome.
struct Trouble {
    why: StoreError,
    pause: Duration,
    again_at: Instant,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, topics: Topics) -> Self {
        let (topics, unsynced, trouble, trim_at) = (Some(topics), Unsynced::default(), None, Instant::now());
        Self { shared, topics, unsynced, trouble, missed: Missed::default(), trim_at }
    }

    /// Works until the queue is closed and empty; returns how closing went.
    pub(super) fn run(mut self) -> Result<(), StoreError> {
        let mut batch = Vec::new();
        loop {
            let taken = self.shared.appends.take(&mut batch, BATCH_EVENTS, BATCH_BYTES, self.deadline());
            match taken {
                Taken::Items => self.write(&mut batch),
                Taken::Deadline => (),
                Taken::Closed => return self.close(),
            }
            self.keep_up();
        }
    }

    /// Says when there is something to do that nobody asks for.
    fn deadline(&self) -> Option<Instant> {
        let trim = self.shared.options.retention.age.map(|_| self.trim_at);
        let again = self.trouble.as_ref().filter(|_| self.topics.is_none()).map(|trouble| trouble.again_at);
        [self.unsynced.due, trim, again].into_iter().flatten().min()
    }

    /// Does what is due.
    fn keep_up(&mut self) {
        let now = Instant::now();
        if self.topics.is_none() {
            drop(self.open_again(now));
        }
        if self.unsynced.due.is_some_and(|due| due <= now) {
            self.sync(&[]);
        }
        if self.shared.options.retention.age.is_some() && self.trim_at <= now {
            self.trim_at = now + TRIM_EVERY;
            self.trim();
        }
    }

    /// Commits a batch and completes what is in it, in order.
    fn write(&mut self, batch: &mut Vec<Job>) {
        let appends = || batch.iter().filter_map(Job::append);
        let events = appends().count();
        let bytes = appends().map(Append::size_bytes).sum();
        let is_flush = events < batch.len();
        let hasty =
            appends().map(|append| append.durability).filter(|asked| *asked < Durability::Fsynced).max();
        let outcome = self.commit(batch, is_flush || self.unsynced.is_too_much(&self.shared, events, bytes));
        match &outcome {
            Ok(written) if written.is_synced => self.unsynced = Unsynced::default(),
            Ok(_) => self.unsynced.add(events, bytes, hasty, self.shared.options.buffered_interval),
            Err(_) => batch.iter().filter_map(Job::append).for_each(|append| self.missed.note(append)),
        }
        self.answer(batch, outcome);
    }

    /// Commits without events, so that what was committed before is on the disk.
    fn sync(&mut self, nothing: &[Job]) {
        match self.commit(nothing, true) {
            Ok(_) => self.unsynced = Unsynced::default(),
            Err(error) => self.shared.options.on_error.tell(&error),
        }
    }

    fn trim(&mut self) {
        let Some(topics) = &mut self.topics else { return };
        let trimmed = self.shared.with_database(|database| {
            contain(|| trim_aged(database, topics, &self.shared.options))
                .unwrap_or_else(|panic| Err(broken(Operation::Trim, &panic)))
        });
        match trimmed {
            Ok(true) => self.unsynced.add(0, 0, None, LAZY_SYNC),
            Ok(false) => (),
            Err(error) => {
                self.fail(&error);
                self.shared.options.on_error.tell(&error);
            }
        }
    }

    fn commit(&mut self, batch: &[Job], sync: bool) -> Result<Written, StoreError> {
        self.open_again(Instant::now())?;
        let Some(topics) = &mut self.topics else { return Err(self.shared.closed()) };
        let appends = batch.iter().filter_map(Job::append);
        let outcome = self.shared.with_database(|database| {
            contain(|| commit(database, topics, &self.shared.options, appends, sync))
                .unwrap_or_else(|panic| Err(broken(Operation::Append, &panic)))
        });
        match &outcome {
            Ok(written) => {
                self.trouble = None;
                self.shared.tally.commits.add(1);
                self.shared.tally.syncs.add(u64::from(written.is_synced));
            }
            Err(error) => self.fail(error),
        }
        outcome
    }

    /// Lets go of a file that failed: what redb holds of it, and what we do, may no longer be right.
    fn fail(&mut self, why: &StoreError) {
        self.topics = None;
        // Its end syncs nothing after a failure; a panic of it is as good as an error.
        drop(contain(|| drop(self.shared.take_database())));
        let lost = std::mem::take(&mut self.unsynced).events;
        if lost > 0 {
            self.shared.tally.lost.add(lost as u64);
            let message = format!("at most {lost} events acknowledged below fsynced are lost");
            let error = StoreError::caused(why.kind(), Operation::Sync, message, why.clone());
            self.shared.options.on_error.tell(&error);
        }
        let pause = self.trouble.as_ref().map_or(PAUSES.0, |trouble| (trouble.pause * 2).min(PAUSES.1));
        self.trouble = Some(Trouble { why: why.clone(), pause, again_at: Instant::now() + pause });
    }

    /// Opens the file again after a failure, if the pause is over.
    fn open_again(&mut self, now: Instant) -> Result<(), StoreError> {
        let Some(trouble) = self.trouble.as_ref().filter(|_| self.topics.is_none()) else { return Ok(()) };
        if now < trouble.again_at {
            let message = "the store is not available";
            return Err(StoreError::caused(
                ErrorKind::Unavailable,
                Operation::Open,
                message,
                trouble.why.clone(),
            ));
        }
        match self.shared.reopen(trouble.why.kind(), &self.missed) {
            Ok(topics) => {
                self.topics = Some(topics);
                self.missed = Missed::default();
                Ok(())
            }
            Err(error) => {
                self.fail(&error);
                self.shared.options.on_error.tell(&error);
                Err(error)
            }
        }
    }

    fn answer(&self, batch: &mut Vec<Job>, outcome: Result<Written, StoreError>) {
        let (mut outcomes, is_synced, failure) = match outcome {
            Ok(written) => (written.outcomes.into_iter(), written.is_synced, None),
            Err(error) => (Vec::new().into_iter(), false, Some(error)),
        };
        let closed = || Err(self.shared.closed());
        for job in batch.drain(..) {
            match job {
                Job::Flush(done) => complete(done, failure.clone().map_or(Ok(()), Err)),
                Job::Append(_, done) if failure.is_some() => {
                    complete(done, failure.clone().map_or_else(closed, Err))
                }
                Job::Append(append, done) => {
                    let reached = match append.durability {
                        _ if is_synced => Durability::Fsynced,
                        asked => asked.min(Durability::Buffered),
                    };
                    let seq = outcomes.next().unwrap_or_else(|| Err(self.shared.closed()));
                    self.shared.tally.appends.add(u64::from(seq.is_ok()));
                    let position = seq.map(|seq| Position::new(self.shared.epoch, seq));
                    complete(done, position.map(|position| Appended::new(position, reached)));
                }
            }
        }
    }

    fn close(mut self) -> Result<(), StoreError> {
        let database = self.shared.take_database();
        let (Some(database), Some(topics)) = (database, &mut self.topics) else {
            return self.trouble.map_or(Ok(()), |trouble| Err(trouble.why));
        };
        let closed = close(database, topics);
        match &closed {
            Ok(()) => self.shared.place.closed(),
            Err(_) => self.shared.tally.lost.add(self.unsynced.events as u64),
        }
        closed
    }
}

impl Job {
    fn append(&self) -> Option<&Append> {
        match self {
            Self::Append(append, _) => Some(append),
            Self::Flush(_) => None,
        }
    }
}

impl Unsynced {
    /// Says whether a commit with so much more must be synced.
    fn is_too_much(&self, shared: &Shared, events: usize, bytes: usize) -> bool {
        let options = &shared.options;
        self.due.is_some_and(|due| due <= Instant::now())
            || self.events + events > options.unsynced_events
            || self.bytes + bytes > options.unsynced_bytes
    }

    fn add(&mut self, events: usize, bytes: usize, asked: Option<Durability>, buffered: Duration) {
        self.events += events;
        self.bytes += bytes;
        let wait = if asked == Some(Durability::Buffered) { buffered } else { LAZY_SYNC };
        let due = Instant::now() + wait;
        self.due = Some(self.due.map_or(due, |before| before.min(due)));
    }
}

impl Shared {
    /// Runs `f` on the database, if it is open.
    pub(super) fn with_database<T>(
        &self,
        f: impl FnOnce(&redb::Database) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        database.as_ref().map_or_else(|| Err(self.unavailable()), f)
    }

    /// Takes the database away from the readers.
    fn take_database(&self) -> Option<redb::Database> {
        self.database.write().unwrap_or_else(PoisonError::into_inner).take()
    }
}
