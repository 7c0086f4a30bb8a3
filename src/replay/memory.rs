//! The memory store: a ring of events per log.
//!
//! Threads contend for a log's lock only if they use the same log. Completions run under that lock, so
//! they run in the order of the positions.

use std::{
    collections::{HashMap, VecDeque},
    fmt, io,
    sync::{
        Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use bytes::Bytes;

use super::{
    Append, Appended, Clock, Completion, Durability, Epoch, ErrorKind, Event, LogInfo, Operation, Page,
    PageBuilder, Position, Query, RejectedAppend, ReplayStore, Retention, StoreError, StoreLimits,
    clock::{expiry_ms, system_time},
    completion::complete,
};

/// Maximum number of logs checked for an empty one to evict, before an append to a new log is rejected.
const EVICTION_SCAN_LOGS: usize = 64;
/// Maximum number of logs that one append trims when all logs together exceed their limit.
const TRIM_SCAN_LOGS: usize = 64;

/// Store that keeps the latest events of each log in memory.
///
/// It works on the calling thread: an append is a lookup and a push under two short locks, so a shard may
/// call it. The first append to a log locks the table of all logs, too. Once the ring of a log has
/// grown to its size, an append allocates nothing. The events are lost when the process ends. A new store has
/// a new epoch, so a read from an old position reports [`Reset::UnknownEpoch`].
///
/// [`Reset::UnknownEpoch`]: super::Reset::UnknownEpoch
pub struct MemoryStore {
    epoch: Epoch,
    retention: Retention,
    limits: StoreLimits,
    clock: Clock,
    logs: RwLock<Logs>,
    /// Bytes of the events of all logs.
    total_bytes: AtomicUsize,
    /// Index of the log to trim next when all logs together exceed their limit.
    trim_cursor: AtomicUsize,
}

#[derive(Default)]
struct Logs {
    indices: HashMap<Bytes, usize>,
    rings: Vec<(Bytes, Mutex<Ring>)>,
    /// Largest number that an evicted log assigned. New logs start above it, so that no position is
    /// reused.
    floor: u64,
    /// Index at which the search for a log to evict continues.
    eviction_cursor: usize,
}

#[derive(Default)]
struct Ring {
    /// Last number assigned.
    end: u64,
    /// Time of the newest event in milliseconds since 1970.
    newest_ms: u64,
    /// Events with their times in milliseconds since 1970, oldest first.
    events: VecDeque<(u64, Event)>,
    bytes: usize,
}

impl MemoryStore {
    /// Creates an empty store with a new epoch.
    ///
    /// # Errors
    ///
    /// The system call for the random epoch fails.
    pub fn new(retention: Retention, limits: StoreLimits) -> io::Result<Self> {
        Self::with_clock(retention, limits, Clock::default())
    }

    /// Creates an empty store that uses `clock` for the time of events.
    ///
    /// # Errors
    ///
    /// See [`new`](Self::new).
    pub fn with_clock(retention: Retention, limits: StoreLimits, clock: Clock) -> io::Result<Self> {
        let (logs, total_bytes, trim_cursor) = Default::default();
        Ok(Self { epoch: Epoch::random()?, retention, limits, clock, logs, total_bytes, trim_cursor })
    }

    /// Returns information about each log, in no particular order.
    pub fn logs(&self) -> Vec<LogInfo> {
        let logs = self.logs.read().unwrap_or_else(PoisonError::into_inner);
        let info = |(log, ring): &(Bytes, Mutex<Ring>)| {
            let ring = lock(ring);
            LogInfo {
                log: log.clone(),
                end: Position::new(self.epoch, ring.end),
                events: ring.events.len() as u64,
                bytes: ring.bytes as u64,
            }
        };
        logs.rings.iter().map(info).collect()
    }

    /// Appends to a log. Returns the arguments if the log does not exist.
    fn append_existing(
        &self,
        append: Append,
        done: Completion<Appended>,
    ) -> Option<(Append, Completion<Appended>)> {
        let logs = self.logs.read().unwrap_or_else(PoisonError::into_inner);
        let Some(index) = logs.indices.get(&append.log) else { return Some((append, done)) };
        let now_ms = self.clock.now_ms();
        let mut ring = lock(&logs.rings[*index].1);
        let (before, position) = (ring.bytes, ring.push(self.epoch, now_ms, append));
        ring.trim(&self.retention, now_ms);
        self.update_total(before, ring.bytes);
        complete(done, Ok(Appended::new(position, Durability::None)));
        drop(ring);
        if self.total_bytes.load(Relaxed) > self.retention.total_bytes {
            self.trim_all(&logs);
        }
        None
    }

    fn update_total(&self, before: usize, after: usize) {
        self.total_bytes.fetch_add(after.wrapping_sub(before), Relaxed);
    }

    /// Removes the oldest events of one log after another until all logs together are within their limit,
    /// but of at most [`TRIM_SCAN_LOGS`].
    fn trim_all(&self, logs: &Logs) {
        for _ in 0..TRIM_SCAN_LOGS {
            let excess = self.total_bytes.load(Relaxed).saturating_sub(self.retention.total_bytes);
            if excess == 0 {
                return;
            }
            let index = self.trim_cursor.fetch_add(1, Relaxed) % logs.rings.len();
            let mut ring = lock(&logs.rings[index].1);
            let before = ring.bytes;
            ring.drop_oldest(excess);
            self.update_total(before, ring.bytes);
        }
    }

    /// Creates a log, unless it exists. At the limit it evicts an empty log first.
    fn create_log(&self, log: &Bytes) -> Result<(), StoreError> {
        let mut logs = self.logs.write().unwrap_or_else(PoisonError::into_inner);
        if logs.indices.contains_key(log) {
            return Ok(());
        }
        if logs.rings.len() >= self.limits.logs.max(1) && !self.evict_empty_log(&mut logs) {
            let message = format!("the limit of {} logs is reached and none is empty", logs.rings.len());
            return Err(StoreError::new(ErrorKind::TooManyLogs, Operation::Append, message));
        }
        let (index, end) = (logs.rings.len(), logs.floor);
        // A copy, because the caller's name may be a slice of a large buffer.
        let log = Bytes::copy_from_slice(log);
        logs.indices.insert(log.clone(), index);
        logs.rings.push((log, Mutex::new(Ring { end, ..Ring::default() })));
        Ok(())
    }

    /// Removes expired events of some logs, and the first log that has no events. Returns `false` if all
    /// the logs checked have events.
    fn evict_empty_log(&self, logs: &mut Logs) -> bool {
        let now_ms = self.clock.now_ms();
        for _ in 0..EVICTION_SCAN_LOGS.min(logs.rings.len()) {
            let index = logs.eviction_cursor % logs.rings.len();
            logs.eviction_cursor = index + 1;
            let ring = logs.rings[index].1.get_mut().unwrap_or_else(PoisonError::into_inner);
            let before = ring.bytes;
            ring.trim(&self.retention, now_ms);
            self.update_total(before, ring.bytes);
            if ring.events.is_empty() {
                logs.floor = logs.floor.max(ring.end);
                let (log, _) = logs.rings.swap_remove(index);
                logs.indices.remove(&log);
                if let Some((moved, _)) = logs.rings.get(index) {
                    logs.indices.insert(moved.clone(), index);
                }
                return true;
            }
        }
        false
    }

    fn page(&self, query: &Query) -> Page {
        let logs = self.logs.read().unwrap_or_else(PoisonError::into_inner);
        let Some(index) = logs.indices.get(&query.log) else {
            return Ring { end: logs.floor, ..Ring::default() }.page(self.epoch, query);
        };
        let mut ring = lock(&logs.rings[*index].1);
        let before = ring.bytes;
        ring.trim(&self.retention, self.clock.now_ms());
        self.update_total(before, ring.bytes);
        ring.page(self.epoch, query)
    }
}

fn lock(ring: &Mutex<Ring>) -> MutexGuard<'_, Ring> {
    // A panic cannot leave a ring inconsistent: completions are the only foreign code under the lock, and
    // their panics are caught.
    ring.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Ring {
    fn push(&mut self, epoch: Epoch, now_ms: u64, append: Append) -> Position {
        self.end += 1;
        self.newest_ms = self.newest_ms.max(now_ms);
        let position = Position::new(epoch, self.end);
        let mut event = Event::new(position, append.name, append.data, system_time(self.newest_ms));
        (event.labels, event.attributes) = (append.labels, append.attributes);
        self.bytes += event.size_bytes();
        self.events.push_back((self.newest_ms, event));
        position
    }

    /// Removes the events that retention no longer keeps.
    fn trim(&mut self, retention: &Retention, now_ms: u64) {
        let oldest_ms = expiry_ms(now_ms, retention.age);
        while let Some((ms, _)) = self.events.front() {
            let is_over_limit = self.events.len() > retention.events || self.bytes > retention.bytes;
            if *ms >= oldest_ms && !(is_over_limit && self.events.len() > 1) {
                break;
            }
            self.pop_oldest();
        }
    }

    /// Removes about `bytes` of the oldest events, but at most half of the ring and never the newest event.
    fn drop_oldest(&mut self, bytes: usize) {
        let floor = (self.bytes / 2).max(self.bytes.saturating_sub(bytes));
        while self.bytes > floor && self.events.len() > 1 {
            self.pop_oldest();
        }
    }

    fn pop_oldest(&mut self) {
        if let Some((_, event)) = self.events.pop_front() {
            self.bytes -= event.size_bytes();
        }
    }

    fn page(&self, epoch: Epoch, query: &Query) -> Page {
        let first = self.end - self.events.len() as u64;
        let builder = PageBuilder::new(epoch, self.end).trimmed_to(first);
        let after = match builder.start_after(query.start) {
            Ok(after) => after,
            Err(page) => return page,
        };
        // The events of a ring are consecutive up to its end.
        let skipped = usize::try_from(after.saturating_sub(first)).unwrap_or(usize::MAX);
        let stored =
            self.events.range(skipped.min(self.events.len())..).map(|(_, event)| Ok(event.clone().into()));
        builder.build(query, stored).unwrap_or_else(|never: std::convert::Infallible| match never {})
    }
}

impl ReplayStore for MemoryStore {
    fn append(&self, append: Append, done: Completion<Appended>) -> Result<(), RejectedAppend> {
        if let Err(error) = self.limits.check(&append) {
            complete(done, Err(error));
            return Ok(());
        }
        let mut pending = Some((append, done));
        while let Some((append, done)) = pending.take() {
            pending = self.append_existing(append, done);
            if let Some((append, _)) = &pending
                && let Err(error) = self.create_log(&append.log)
                && let Some((_, done)) = pending.take()
            {
                complete(done, Err(error));
            }
        }
        Ok(())
    }

    fn read(&self, query: Query, done: Completion<Page>) {
        let page = self.page(&query);
        complete(done, Ok(page));
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").field("epoch", &self.epoch).finish_non_exhaustive()
    }
}
