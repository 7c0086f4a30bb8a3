//! The memory store: for each log a ring of its recent events; must not know files.
//!
//! Threads contend for a log's lock only if they use the same log. Completions run under that lock, so they
//! run in the order of the positions.
mod keys;
mod log;

use std::{
    collections::HashMap,
    fmt, io,
    sync::{
        Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
};

use bytes::Bytes;

use self::log::Log;
use super::{
    Append, Appended, Clock, Completion, Epoch, LogInfo, Page, PageBuilder, Position, Query, RejectedAppend,
    ReplayStore, Retention, RetentionPolicy, StoreLimits,
    clock::{UseClock, is_in_use, last_use_ms},
    completion::complete,
};

/// Maximum number of logs of which the one that was unused longest is forgotten.
const FORGET_SAMPLE_LOGS: usize = 32;
/// Maximum number of logs that one append forgets or trims when all logs together exceed their limit.
const FORGET_LOGS: usize = 64;
/// Part of the limit for all logs that is freed at once when it is exceeded.
const FREED_PART: usize = 64;

/// Store that keeps the latest events of each log in memory.
///
/// It works on the calling thread: an append is a lookup and a push under two short locks, so a shard may
/// call it. The first append to a log locks the table of all logs, too. Once the ring of a log has grown to
/// its size, an append allocates nothing. The events are lost when the process ends. A new store has a new
/// epoch, so a read from an old position reports [`Reset::UnknownEpoch`].
///
/// [`Reset::UnknownEpoch`]: super::Reset::UnknownEpoch
pub struct MemoryStore {
    epoch: Epoch,
    policy: RetentionPolicy,
    limits: StoreLimits,
    clock: Clock,
    uses: UseClock,
    table: RwLock<Table>,
    /// Bytes of all logs.
    total_bytes: AtomicUsize,
}

#[derive(Default)]
struct Table {
    indices: HashMap<Bytes, usize>,
    slots: Vec<Slot>,
    /// Largest number that a forgotten log assigned. New logs start above it, so that no position is reused.
    floor: u64,
    /// Index at which the search for a log to forget continues.
    cursor: usize,
}

struct Slot {
    name: Bytes,
    /// Time of the last append or read, of [`UseClock`].
    used: AtomicU64,
    log: Mutex<Log>,
}

impl Slot {
    fn lock(&self) -> MutexGuard<'_, Log> {
        // A panic cannot leave a log inconsistent: completions are the only foreign code under the lock, and
        // their panics are caught.
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
        Self::with_policy(RetentionPolicy::new(retention), limits, clock)
    }

    /// Creates an empty store whose retention may differ by log.
    ///
    /// # Errors
    ///
    /// See [`new`](Self::new).
    pub fn with_policy(policy: RetentionPolicy, limits: StoreLimits, clock: Clock) -> io::Result<Self> {
        let (uses, table, total_bytes) = Default::default();
        Ok(Self { epoch: Epoch::random()?, policy, limits, clock, uses, table, total_bytes })
    }

    /// Returns information about each log, in no particular order.
    pub fn logs(&self) -> Vec<LogInfo> {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        let info = |slot: &Slot| {
            let log = slot.lock();
            LogInfo {
                log: slot.name.clone(),
                end: Position::new(self.epoch, log.end),
                events: log.events() as u64,
                bytes: log.event_bytes() as u64,
            }
        };
        table.slots.iter().map(info).collect()
    }

    /// Returns the bytes of all logs that [`Retention::total_bytes`] limits.
    pub fn total_bytes(&self) -> usize {
        self.total_bytes.load(Relaxed)
    }

    /// Appends to a log. Returns the arguments if the log does not exist.
    fn append_existing(
        &self,
        append: Append,
        done: Completion<Appended>,
    ) -> Option<(Append, Completion<Appended>)> {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        let Some(index) = table.indices.get(&append.log) else { return Some((append, done)) };
        let (slot, now_ms) = (&table.slots[*index], self.clock.now_ms());
        let mut log = slot.lock();
        slot.used.store(self.uses.stamp(now_ms), Relaxed);
        let before = log.total_bytes();
        let outcome = log.append(append, self.epoch, now_ms, self.limits.labels);
        self.update_total(before, log.total_bytes());
        complete(done, outcome);
        drop(log);
        drop(table);
        if self.total_bytes() > self.policy.total_bytes() {
            self.make_room();
        }
        None
    }

    fn update_total(&self, before: usize, after: usize) {
        self.total_bytes.fetch_add(after.wrapping_sub(before), Relaxed);
    }

    /// Removes the oldest events of some logs, and forgets those that have no more than one, until all logs
    /// together are within their limit. Stops at [`FORGET_LOGS`]; the next append
    /// continues.
    fn make_room(&self) {
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        let limit = self.policy.total_bytes();
        let target = limit - limit / FREED_PART;
        let now_ms = self.clock.now_ms();
        for _ in 0..FORGET_LOGS {
            let excess = self.total_bytes().saturating_sub(target);
            let Some(index) = table.next_to_shrink(now_ms).filter(|_| excess > 0) else { return };
            let is_only = table.slots.len() == 1;
            let log = table.slots[index].log.get_mut().unwrap_or_else(PoisonError::into_inner);
            let before = log.total_bytes();
            if log.events() > 1 {
                log.drop_oldest(excess);
                let after = log.total_bytes();
                self.update_total(before, after);
            } else if is_only {
                return;
            } else {
                self.forget(&mut table, index);
            }
        }
    }

    /// Forgets a log. Logs that are created later number their events after its last event.
    fn forget(&self, table: &mut Table, index: usize) {
        let slot = table.slots.swap_remove(index);
        table.indices.remove(&slot.name);
        if let Some(moved) = table.slots.get(index) {
            table.indices.insert(moved.name.clone(), index);
        }
        let log = slot.log.into_inner().unwrap_or_else(PoisonError::into_inner);
        table.floor = table.floor.max(log.end);
        self.update_total(log.total_bytes(), 0);
    }

    /// Creates a log, unless it exists. At the limit it forgets the log that was unused longest.
    fn create_log(&self, name: &Bytes) {
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        if table.indices.contains_key(name) {
            return;
        }
        let now_ms = self.clock.now_ms();
        while let Some(index) = table.unused_longest() {
            let is_full = table.slots.len() >= self.limits.logs.max(1);
            if !is_full && !table.slots[index].is_idle(now_ms) {
                break;
            }
            self.forget(&mut table, index);
        }
        // A copy, because the caller's name may be a slice of a large buffer.
        let (name, index) = (Bytes::copy_from_slice(name), table.slots.len());
        let log = Log::new(name.clone(), table.floor, self.policy.of(&name));
        self.update_total(0, log.total_bytes());
        table.indices.insert(name.clone(), index);
        let used = AtomicU64::new(self.uses.stamp(now_ms));
        table.slots.push(Slot { name, used, log: Mutex::new(log) });
    }

    fn page(&self, query: &Query) -> Page {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        let Some(index) = table.indices.get(&query.log) else {
            let empty = PageBuilder::new(self.epoch, table.floor).build(query, []);
            return empty.unwrap_or_else(|never: std::convert::Infallible| match never {});
        };
        let (slot, now_ms) = (&table.slots[*index], self.clock.now_ms());
        let mut log = slot.lock();
        slot.used.store(self.uses.stamp(now_ms), Relaxed);
        let before = log.total_bytes();
        log.trim(now_ms);
        self.update_total(before, log.total_bytes());
        log.page(self.epoch, query)
    }
}

impl Slot {
    /// Returns `true` if the log was unused for longer than its retention allows.
    fn is_idle(&mut self, now_ms: u64) -> bool {
        let log = self.log.get_mut().unwrap_or_else(PoisonError::into_inner);
        let unused_ms = now_ms.saturating_sub(last_use_ms(*self.used.get_mut()));
        log.retention.idle.is_some_and(|idle| u128::from(unused_ms) > idle.as_millis())
    }
}

impl Table {
    /// Returns the index of the log that was unused longest, of [`FORGET_SAMPLE_LOGS`].
    fn unused_longest(&mut self) -> Option<usize> {
        self.sample().min_by_key(|index| self.slots[*index].used.load(Relaxed))
    }

    /// Returns the index of the log that has to give room: of [`FORGET_SAMPLE_LOGS`] the one that was unused
    /// longest or, if all are in use, the largest one that has more than one event.
    fn next_to_shrink(&mut self, now_ms: u64) -> Option<usize> {
        let sample = self.sample();
        let oldest = sample.clone().min_by_key(|index| self.slots[*index].used.load(Relaxed))?;
        if !is_in_use(self.slots[oldest].used.load(Relaxed), now_ms) {
            return Some(oldest);
        }
        let mut largest = None;
        for index in sample {
            let log = self.slots[index].log.get_mut().unwrap_or_else(PoisonError::into_inner);
            if log.events() > 1 {
                largest = largest.max(Some((log.event_bytes(), index)));
            }
        }
        Some(largest.map_or(oldest, |(_, index)| index))
    }

    /// Returns the indices of [`FORGET_SAMPLE_LOGS`] logs. Successive calls go round all logs.
    fn sample(&mut self) -> impl Iterator<Item = usize> + Clone + use<> {
        let (start, len) = (self.cursor, self.slots.len());
        self.cursor = start.wrapping_add(FORGET_SAMPLE_LOGS) % len.max(1);
        (0..FORGET_SAMPLE_LOGS.min(len)).map(move |offset| (start + offset) % len)
    }
}

impl ReplayStore for MemoryStore {
    fn append(&self, append: Append, done: Completion<Appended>) -> Result<(), RejectedAppend> {
        if let Err(error) = self.limits.check(&append) {
            complete(done, Err(error));
            return Ok(());
        }
        let mut pending = Some((append, done));
        while let Some((append, done)) = pending {
            pending = self.append_existing(append, done);
            if let Some((append, _)) = &pending {
                self.create_log(&append.log);
            }
        }
        Ok(())
    }

    fn read(&self, query: Query, done: Completion<Page>) {
        let page = self.page(&query);
        complete(done, Ok(page));
    }

    fn find_id(&self, log: Bytes, id: Bytes, done: Completion<Option<Position>>) {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        let found = table.indices.get(&log).and_then(|index| {
            let mut log = table.slots[*index].lock();
            let before = log.total_bytes();
            log.trim(self.clock.now_ms());
            self.update_total(before, log.total_bytes());
            log.find_id(&id)
        });
        drop(table);
        complete(done, Ok(found.map(|seq| Position::new(self.epoch, seq))));
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").field("epoch", &self.epoch).finish_non_exhaustive()
    }
}
