//! The handle of the store: it queues requests for the threads.

use std::{
    fmt, io,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle, Thread},
};

use bytes::Bytes;
use redb::{Database, ReadableDatabase, ReadableTable};

use super::{
    DiskOpener, Options,
    database::Opened,
    errors::{guard, redb_error},
    location::Location,
    logs::Logs,
    queue::PushError,
    reader,
    shared::{Counters, ReadRequest, Shared, WriteRequest},
    tables::{LOGS, RAISED, Row},
    writer::Writer,
};
use crate::replay::{
    Append, Appended, Completion, Epoch, ErrorKind, LogInfo, Operation, Page, Position, Query,
    RejectedAppend, ReplayStore, StoreError,
    completion::{complete, completion},
};

/// Store that keeps logs in a file. See the [module](super).
///
/// Dropping it writes what is queued and closes the file, on the dropping thread, which must not be a shard.
/// [`close`](Self::close) does the same and returns errors.
pub struct DurableStore {
    shared: Arc<Shared>,
    threads: Mutex<Threads>,
    crash_gaps: usize,
}

#[derive(Default)]
struct Threads {
    writer: Option<JoinHandle<Result<(), StoreError>>>,
    readers: Vec<JoinHandle<()>>,
}

impl DurableStore {
    /// Opens the store in a directory. Creates both if they are missing.
    ///
    /// It blocks: it reads the row of every log, and repairs the file after a crash.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::InUse`]: another process has the store open.
    /// - [`ErrorKind::Version`]: another version wrote the file.
    /// - [`ErrorKind::Damaged`]: the file is invalid.
    /// - [`ErrorKind::Io`]: a system call failed.
    ///
    /// The message contains the path.
    pub fn open(directory: impl AsRef<Path>, options: Options) -> Result<Self, StoreError> {
        Self::start(Location::directory(directory.as_ref())?, options)
    }

    /// Opens the store on a disk that tests provide instead of a file.
    ///
    /// # Errors
    ///
    /// See [`open`](Self::open).
    #[doc(hidden)]
    pub fn open_on(disk: DiskOpener, options: Options) -> Result<Self, StoreError> {
        Self::start(Location::Disk(disk), options)
    }

    fn start(location: Location, options: Options) -> Result<Self, StoreError> {
        let Opened { database, epoch, logs, crash_gaps } = location.open(&options)?;
        let shared = Arc::new(Shared::new(options, epoch, database, location));
        // The store exists before its threads, so that its drop stops the started ones if another cannot be
        // started.
        let store = Self { shared, threads: Mutex::default(), crash_gaps };
        store.spawn(logs).map_err(|error| {
            StoreError::with_source(
                ErrorKind::Io,
                Operation::Open,
                "cannot start a thread of the store",
                error,
            )
        })?;
        Ok(store)
    }

    fn spawn(&self, logs: Logs) -> io::Result<()> {
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        let writer = Writer::new(Arc::clone(&self.shared), logs);
        let named = |name: &str| thread::Builder::new().name(name.to_owned());
        threads.writer = Some(named("replay-write").spawn(|| writer.run())?);
        for _ in 0..self.shared.options.readers.max(1) {
            let shared = Arc::clone(&self.shared);
            threads.readers.push(named("replay-read").spawn(move || reader::run(&shared))?);
        }
        Ok(())
    }

    /// Calls `done` when every earlier append is on the disk, or with the error if the sync failed, the queue
    /// is full or the store is closed.
    pub fn flush(&self, done: Completion<()>) {
        match self.shared.writes.push(WriteRequest::Flush(done), 0) {
            Ok(()) => (),
            Err(PushError::Full(WriteRequest::Flush(done))) => {
                let error = StoreError::new(ErrorKind::Full, Operation::Sync, "the queue of appends is full");
                complete(done, Err(error));
            }
            Err(PushError::Closed(WriteRequest::Flush(done))) => complete(done, Err(self.shared.closed())),
            Err(_) => (),
        }
    }

    /// Blocks this thread until every earlier append is on the disk. Not for shards.
    ///
    /// # Errors
    ///
    /// The sync failed, the queue is full or the store is closed.
    pub fn flush_blocking(&self) -> Result<(), StoreError> {
        let (done, result) = completion();
        self.flush(done);
        result.wait()
    }

    /// Returns information about each log, sorted by name. Reads the file on this thread: not for shards.
    ///
    /// # Errors
    ///
    /// The file cannot be read, the store has not recovered from a failure, or it is closed.
    pub fn logs_blocking(&self) -> Result<Vec<LogInfo>, StoreError> {
        self.shared.with_database(|database| guard(Operation::Read, || logs(database, self.shared.epoch)))
    }

    /// Returns the epoch of the store's positions.
    pub fn epoch(&self) -> Epoch {
        self.shared.epoch
    }

    /// Returns the number of logs in which a crash before this opening left a gap.
    pub fn crash_gaps(&self) -> usize {
        self.crash_gaps
    }

    /// Returns the counters since the store was opened.
    pub fn counters(&self) -> Counters {
        self.shared.tally.read()
    }

    /// Writes what is queued, syncs, and closes the file. Later requests fail with [`ErrorKind::Closed`].
    ///
    /// It blocks, so it must not run on a shard. It must not be called from a completion.
    ///
    /// # Errors
    ///
    /// The last sync failed, or the store had not recovered from an earlier failure. Events acknowledged
    /// below [`Fsynced`](crate::replay::Durability::Fsynced) may be lost, which leaves gaps.
    pub fn close(&self) -> Result<(), StoreError> {
        self.shared.writes.close();
        self.shared.reads.close();
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        // A completion that owns the last handle drops the store on one of its own threads, which cannot join
        // itself.
        let is_other = |thread: &Thread| thread.id() != thread::current().id();
        for reader in threads.readers.into_iter().filter(|reader| is_other(reader.thread())) {
            drop(reader.join());
        }
        let Some(writer) = threads.writer.filter(|writer| is_other(writer.thread())) else { return Ok(()) };
        writer.join().unwrap_or_else(|_| Err(self.shared.closed()))
    }
}

impl DurableStore {
    fn queue_read(&self, request: ReadRequest) {
        let (request, error) = match self.shared.reads.push(request, 1) {
            Ok(()) => return,
            Err(PushError::Full(request)) => {
                let error = StoreError::new(ErrorKind::Full, Operation::Read, "the queue of reads is full");
                (request, error)
            }
            Err(PushError::Closed(request)) => (request, self.shared.closed()),
        };
        match request {
            ReadRequest::Page(_, done) => complete(done, Err(error)),
            ReadRequest::Id(_, _, done) => complete(done, Err(error)),
        }
    }
}

fn logs(database: &Database, epoch: Epoch) -> Result<Vec<LogInfo>, StoreError> {
    const OPERATION: Operation = Operation::Read;
    let read = database.begin_read().map_err(redb_error(OPERATION))?;
    let raised = reader::number(&read, RAISED)?;
    let rows = read.open_table(LOGS).map_err(redb_error(OPERATION))?;
    let mut infos = Vec::new();
    for entry in rows.iter().map_err(redb_error(OPERATION))? {
        let (name, row) = entry.map_err(redb_error(OPERATION))?;
        let Row { next, events, bytes, .. } = Row::decode(row.value(), raised)?;
        let end = Position::new(epoch, next.saturating_sub(1));
        infos.push(LogInfo { log: Bytes::copy_from_slice(name.value()), end, events, bytes });
    }
    Ok(infos)
}

impl ReplayStore for DurableStore {
    fn append(&self, append: Append, done: Completion<Appended>) -> Result<(), RejectedAppend> {
        if let Err(error) = self.shared.options.limits.check(&append) {
            complete(done, Err(error));
            return Ok(());
        }
        let bytes = append.size_bytes();
        match self.shared.writes.push(WriteRequest::Append(append, done), bytes) {
            Err(PushError::Full(WriteRequest::Append(append, done))) => {
                self.shared.tally.rejected.add(1);
                return Err(RejectedAppend { append, done });
            }
            Err(PushError::Closed(WriteRequest::Append(_, done))) => {
                complete(done, Err(self.shared.closed()))
            }
            _ => (),
        }
        Ok(())
    }

    fn read(&self, query: Query, done: Completion<Page>) {
        self.queue_read(ReadRequest::Page(query, done));
    }

    fn find_id(&self, log: Bytes, id: Bytes, done: Completion<Option<Position>>) {
        self.queue_read(ReadRequest::Id(log, id, done));
    }

    fn failure(&self) -> Option<StoreError> {
        self.shared.health.failure()
    }

    fn when_ready(&self, ready: Box<dyn FnOnce() + Send>) {
        self.shared.writes.when_ready(ready);
    }

    /// Reads on this thread instead of a reader thread.
    fn read_blocking(&self, query: Query) -> Result<Page, StoreError> {
        reader::read(&self.shared, &query)
    }

    /// Searches on this thread instead of a reader thread.
    fn find_id_blocking(&self, log: Bytes, id: Bytes) -> Result<Option<Position>, StoreError> {
        reader::find_id(&self.shared, &log, &id)
    }
}

impl Drop for DurableStore {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            self.shared.options.on_error.call(&error);
        }
    }
}

impl fmt::Debug for DurableStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DurableStore").field("epoch", &self.shared.epoch).finish_non_exhaustive()
    }
}
