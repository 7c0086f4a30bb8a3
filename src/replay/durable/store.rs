//! The store's handle: queues in front of the threads.

use std::{
    fmt,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
};

use redb::{Database, ReadableDatabase, ReadableTable};

use super::{
    Disks, Options,
    database::{Opened, Place, broken, failed},
    missed::Missed,
    queue::{Queue, Rejected},
    reader::{self, Read},
    tables::{Row, TOPICS},
    topics::Topics,
    writer::{Job, Writer},
};
use crate::replay::{
    Append, Appended, Completion, Epoch, ErrorKind, Operation, Page, Position, Query, Refused, ReplayStore,
    StoreError, TopicInfo, contain::complete, contain::contain, pair,
};

/// Keeps topics in a file. See the [module](super).
///
/// Dropping it writes what waits and closes the file, on the dropping thread: not on a shard. [`close`](Self::close)
/// tells how that went.
pub struct DurableStore {
    shared: Arc<Shared>,
    threads: Mutex<Threads>,
    holes: usize,
}

#[derive(Default)]
struct Threads {
    writer: Option<JoinHandle<Result<(), StoreError>>>,
    readers: Vec<JoinHandle<()>>,
}

/// What the handle and the threads share.
pub(super) struct Shared {
    pub(super) options: Options,
    pub(super) epoch: Epoch,
    pub(super) appends: Queue<Job>,
    pub(super) reads: Queue<Read>,
    /// `None` after a failure, until the file is open again, and after the end.
    pub(super) database: RwLock<Option<Database>>,
    pub(super) tally: Tally,
    pub(super) place: Place,
}

/// Counts since the store was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Events acknowledged.
    pub appends: u64,
    /// Appends refused because the queue was full.
    pub refused: u64,
    /// Commits, synced or not.
    pub commits: u64,
    /// Synced commits.
    pub syncs: u64,
    /// Events acknowledged below fsynced that a failure may have lost.
    pub lost: u64,
    /// Times the file was opened again after a failure.
    pub reopened: u64,
}

#[derive(Default)]
pub(super) struct Tally {
    pub(super) appends: Count,
    refused: Count,
    pub(super) commits: Count,
    pub(super) syncs: Count,
    pub(super) lost: Count,
    reopened: Count,
}

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

impl DurableStore {
    /// Opens the store in a directory, and makes both if they are missing. Blocks: it reads every topic's row, and after a
    /// crash brings the file in order.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InUse`]: another process has it. [`ErrorKind::Version`]: it is of another version.
    /// [`ErrorKind::Damaged`]: it cannot be right. [`ErrorKind::Io`]: the system refuses. Each names the path.
    pub fn open(directory: impl AsRef<Path>, options: Options) -> Result<Self, StoreError> {
        Self::start(Place::directory(directory.as_ref())?, options)
    }

    /// Opens the store on something that behaves as a file.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    #[doc(hidden)]
    pub fn open_on(disks: Disks, options: Options) -> Result<Self, StoreError> {
        Self::start(Place::Disks(disks), options)
    }

    fn start(place: Place, options: Options) -> Result<Self, StoreError> {
        let Opened { database, epoch, topics, holes } = place.open(&options)?;
        let shared = Arc::new(Shared {
            appends: Queue::new(options.queue_events, options.queue_bytes),
            reads: Queue::new(options.queue_reads, usize::MAX),
            options,
            epoch,
            database: RwLock::new(Some(database)),
            tally: Tally::default(),
            place,
        });
        // Made first, so that its end stops the threads that were started when a further one cannot be.
        let store = Self { shared, threads: Mutex::default(), holes };
        store.spawn(topics).map_err(|error| {
            StoreError::caused(ErrorKind::Io, Operation::Open, "cannot start a thread", error)
        })?;
        Ok(store)
    }

    fn spawn(&self, topics: Topics) -> std::io::Result<()> {
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        let writer = Writer::new(Arc::clone(&self.shared), topics);
        let named = |name: &str| thread::Builder::new().name(name.to_owned());
        threads.writer = Some(named("replay-write").spawn(|| writer.run())?);
        for _ in 0..self.shared.options.readers.max(1) {
            let shared = Arc::clone(&self.shared);
            threads.readers.push(named("replay-read").spawn(move || reader::run(&shared))?);
        }
        Ok(())
    }

    /// Completes when all that was appended before is on the disk.
    pub fn flush(&self, done: Completion<()>) {
        match self.shared.appends.push(Job::Flush(done), 0) {
            Ok(()) => (),
            Err(Rejected::Full(Job::Flush(done))) => {
                let error = StoreError::new(ErrorKind::Full, Operation::Sync, "too many appends wait");
                complete(done, Err(error));
            }
            Err(Rejected::Closed(Job::Flush(done))) => complete(done, Err(self.shared.closed())),
            Err(_) => (),
        }
    }

    /// Waits until all that was appended before is on the disk. Not for shards.
    ///
    /// # Errors
    ///
    /// It cannot be brought there, or the queue is full.
    pub fn flush_blocking(&self) -> Result<(), StoreError> {
        let (done, answer) = pair();
        self.flush(done);
        answer.wait()
    }

    /// Lists the topics by name. Reads the file on this thread: not for shards.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn topics_blocking(&self) -> Result<Vec<TopicInfo>, StoreError> {
        self.shared.with_database(|database| {
            let list = contain(|| list(database, self.shared.epoch));
            list.unwrap_or_else(|panic| Err(broken(Operation::Read, &panic)))
        })
    }

    /// Returns the epoch of the store's positions.
    pub fn epoch(&self) -> Epoch {
        self.shared.epoch
    }

    /// Returns in how many topics a crash left a gap, found when the store was opened.
    pub fn holes(&self) -> usize {
        self.holes
    }

    /// Counts what happened since the store was opened.
    pub fn counters(&self) -> Counters {
        let tally = &self.shared.tally;
        Counters {
            appends: tally.appends.read(),
            refused: tally.refused.read(),
            commits: tally.commits.read(),
            syncs: tally.syncs.read(),
            lost: tally.lost.read(),
            reopened: tally.reopened.read(),
        }
    }

    /// Writes what waits, syncs, and closes the file. Later calls fail with [`ErrorKind::Closed`]. Not for shards, and not
    /// from a completion.
    ///
    /// # Errors
    ///
    /// The last sync failed: what was acknowledged below fsynced may be lost, and leaves gaps.
    pub fn close(&self) -> Result<(), StoreError> {
        self.shared.appends.close();
        self.shared.reads.close();
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        // A completion that holds the last handle ends the store on one of its own threads, which cannot wait for itself.
        let is_other = |thread: &thread::Thread| thread.id() != thread::current().id();
        for reader in threads.readers.into_iter().filter(|reader| is_other(reader.thread())) {
            drop(reader.join());
        }
        let Some(writer) = threads.writer.filter(|writer| is_other(writer.thread())) else { return Ok(()) };
        writer.join().unwrap_or_else(|_| Err(self.shared.closed()))
    }
}

fn list(database: &Database, epoch: Epoch) -> Result<Vec<TopicInfo>, StoreError> {
    const DOING: Operation = Operation::Read;
    let read = database.begin_read().map_err(failed(DOING))?;
    let rows = read.open_table(TOPICS).map_err(failed(DOING))?;
    let info = |(name, row): (redb::AccessGuard<'_, &[u8]>, redb::AccessGuard<'_, Row>)| {
        let (_, next, _, events, bytes, _) = row.value();
        let end = Position::new(epoch, next.saturating_sub(1));
        TopicInfo { topic: bytes::Bytes::copy_from_slice(name.value()), end, events, bytes }
    };
    let rows = rows.iter().map_err(failed(DOING))?;
    rows.map(|row| row.map(info).map_err(failed(DOING))).collect()
}

impl ReplayStore for DurableStore {
    fn append(&self, append: Append, done: Completion<Appended>) -> Result<(), Refused> {
        if let Err(error) = self.shared.options.limits.check(&append) {
            complete(done, Err(error));
            return Ok(());
        }
        let bytes = append.size_bytes();
        match self.shared.appends.push(Job::Append(append, done), bytes) {
            Err(Rejected::Full(Job::Append(append, done))) => {
                self.shared.tally.refused.add(1);
                return Err(Refused { append, done });
            }
            Err(Rejected::Closed(Job::Append(_, done))) => complete(done, Err(self.shared.closed())),
            _ => (),
        }
        Ok(())
    }

    fn read(&self, query: Query, done: Completion<Page>) {
        match self.shared.reads.push(Read(query, done), 1) {
            Ok(()) => (),
            Err(Rejected::Full(Read(_, done))) => {
                let error = StoreError::new(ErrorKind::Full, Operation::Read, "too many reads wait");
                complete(done, Err(error));
            }
            Err(Rejected::Closed(Read(_, done))) => complete(done, Err(self.shared.closed())),
        }
    }

    fn when_ready(&self, ready: Box<dyn FnOnce() + Send>) {
        self.shared.appends.when_ready(ready);
    }

    /// Reads on this thread, past the readers' queue.
    fn read_blocking(&self, query: Query) -> Result<Page, StoreError> {
        reader::read(&self.shared, &query)
    }
}

impl Shared {
    pub(super) fn closed(&self) -> StoreError {
        StoreError::new(ErrorKind::Closed, Operation::Close, "the store is closed")
    }

    /// Says why the file is not open.
    pub(super) fn unavailable(&self) -> StoreError {
        if self.appends.is_closed() {
            return self.closed();
        }
        StoreError::new(ErrorKind::Unavailable, Operation::Open, "the file is not open")
    }

    /// Opens the file again after a failure.
    pub(super) fn reopen(&self, why: ErrorKind, missed: &Missed) -> Result<Topics, StoreError> {
        let opened = self.place.reopen(&self.options, why, missed)?;
        if opened.epoch != self.epoch {
            let message = "the file has been replaced by another while it was in use";
            return Err(StoreError::new(ErrorKind::Damaged, Operation::Open, message));
        }
        *self.database.write().unwrap_or_else(PoisonError::into_inner) = Some(opened.database);
        self.tally.reopened.add(1);
        Ok(opened.topics)
    }
}

impl Drop for DurableStore {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            self.shared.options.on_error.tell(&error);
        }
    }
}

impl fmt::Debug for DurableStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DurableStore").field("epoch", &self.shared.epoch).finish_non_exhaustive()
    }
}
