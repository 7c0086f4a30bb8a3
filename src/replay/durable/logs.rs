//! The writer's state of the logs: next numbers, leases and sizes. It does not access the file.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use bytes::Bytes;

use super::tables::Row;
use crate::replay::{Durability, ErrorKind, Operation, StoreError};

/// Smallest block of numbers leased at once. A crash leaves a gap of at most one and a half blocks.
const MIN_LEASE: u64 = 1024;
/// Largest block of numbers leased at once. A log with 100,000 events per second uses half of it in 5 s.
const MAX_LEASE: u64 = 1 << 20;
/// Maximum number of logs checked for an empty one to evict, before an append to a new log is rejected.
const EVICTION_SCAN_LOGS: usize = 64;

/// State of one log.
#[derive(Debug)]
pub(super) struct Log {
    pub(super) id: u32,
    pub(super) name: Bytes,
    /// Number of the next event.
    pub(super) next: u64,
    /// End of the lease: numbers below it may have been acknowledged without a sync. There is no lease unless
    /// it is above `next`.
    lease_end: u64,
    pub(super) events: u64,
    pub(super) bytes: u64,
    /// Time of the newest event in milliseconds since 1970.
    pub(super) newest_ms: u64,
    /// Time of the oldest event in milliseconds since 1970. `None` until it has been read from the file.
    pub(super) oldest_ms: Option<u64>,
    /// Events since the last sync that asked for less than [`Durability::Fsynced`].
    unsynced: u64,
}

impl Log {
    pub(super) fn row(&self) -> Row {
        (self.id, self.next, self.lease_end, self.events, self.bytes, self.newest_ms)
    }

    /// Adds an event. Returns its number.
    pub(super) fn push(&mut self, size_bytes: u64, now_ms: u64, durability: Durability) -> u64 {
        let seq = self.next;
        self.next += 1;
        self.newest_ms = self.newest_ms.max(now_ms);
        if self.events == 0 {
            self.oldest_ms = Some(self.newest_ms);
        }
        self.events += 1;
        self.bytes += size_bytes;
        if durability < Durability::Fsynced {
            self.unsynced += 1;
        }
        seq
    }

    /// Returns `true` if the lease covers all assigned numbers, so that they may be acknowledged without a
    /// sync.
    fn is_covered_by_lease(&self) -> bool {
        self.next <= self.lease_end
    }

    /// Extends the lease for the next sync, if less than half of it is left and the log had events below
    /// [`Durability::Fsynced`] since the last sync. Returns `true` if the row has changed.
    fn renew_lease(&mut self) -> bool {
        let unsynced = std::mem::take(&mut self.unsynced);
        if unsynced == 0 {
            return false;
        }
        let block = unsynced.saturating_mul(4).next_power_of_two().clamp(MIN_LEASE, MAX_LEASE);
        if self.lease_end.saturating_sub(self.next) >= block / 2 {
            return false;
        }
        self.lease_end = self.next + block;
        true
    }
}

/// State of all logs.
#[derive(Debug)]
pub(super) struct Logs {
    ids: HashMap<Bytes, u32>,
    logs: BTreeMap<u32, Log>,
    /// Largest number that an evicted log assigned.
    pub(super) floor: u64,
    pub(super) next_id: u64,
    pub(super) total_bytes: u64,
    /// Logs changed since the last sync.
    dirty: HashSet<u32>,
    /// Id after which the search for a log to evict continues.
    eviction_cursor: u32,
    /// Id after which the round over all logs continues.
    round_cursor: u32,
}

impl Logs {
    pub(super) fn new(floor: u64, next_id: u64) -> Self {
        let (ids, logs, dirty) = Default::default();
        Self { ids, logs, floor, next_id, total_bytes: 0, dirty, eviction_cursor: 0, round_cursor: 0 }
    }

    /// Adds a log from a row of the file.
    ///
    /// # Errors
    ///
    /// The row is invalid.
    pub(super) fn load(&mut self, name: &[u8], row: Row) -> Result<(), StoreError> {
        let (id, next, lease_end, events, bytes, newest_ms) = row;
        let is_invalid =
            u64::from(id) >= self.next_id || next == 0 || events >= next || self.logs.contains_key(&id);
        if is_invalid {
            let message = "the file is damaged: it has an invalid log; move it away to begin a new history";
            return Err(StoreError::new(ErrorKind::Damaged, Operation::Open, message));
        }
        let name = Bytes::copy_from_slice(name);
        self.ids.insert(name.clone(), id);
        self.total_bytes = self.total_bytes.saturating_add(bytes);
        let log = Log { id, name, next, lease_end, events, bytes, newest_ms, oldest_ms: None, unsynced: 0 };
        self.logs.insert(id, log);
        Ok(())
    }

    pub(super) fn len(&self) -> usize {
        self.logs.len()
    }

    pub(super) fn id(&self, name: &[u8]) -> Option<u32> {
        self.ids.get(name).copied()
    }

    /// Returns the ids of all logs.
    pub(super) fn ids(&self) -> Vec<u32> {
        self.logs.keys().copied().collect()
    }

    /// Skips `count` numbers of a log. Does nothing if there is no such log.
    pub(super) fn skip_numbers(&mut self, id: u32, count: u64) {
        if let Some(log) = self.logs.get_mut(&id) {
            log.next = log.next.saturating_add(count);
        }
    }

    pub(super) fn at(&self, id: u32) -> Option<&Log> {
        self.logs.get(&id)
    }

    pub(super) fn at_mut(&mut self, id: u32) -> Option<&mut Log> {
        self.logs.get_mut(&id)
    }

    /// Creates a log. Returns its id.
    ///
    /// # Errors
    ///
    /// The store has used up its 2^32 log ids.
    pub(super) fn add(&mut self, name: &[u8]) -> Result<u32, StoreError> {
        let id = u32::try_from(self.next_id).map_err(|_| {
            StoreError::new(
                ErrorKind::TooManyLogs,
                Operation::Append,
                "all 2^32 log ids are used up; move the file away to begin a new history",
            )
        })?;
        self.next_id += 1;
        let name = Bytes::copy_from_slice(name);
        let next = self.floor + 1;
        self.ids.insert(name.clone(), id);
        let oldest_ms = None;
        let log =
            Log { id, name, next, lease_end: 0, events: 0, bytes: 0, newest_ms: 0, oldest_ms, unsynced: 0 };
        self.logs.insert(id, log);
        Ok(id)
    }

    /// Removes a log without events. Returns `None` if the logs checked all have events. Its numbers are
    /// not reused.
    pub(super) fn evict_empty_log(&mut self) -> Option<Log> {
        for _ in 0..EVICTION_SCAN_LOGS.min(self.logs.len()) {
            let id = next_id(&self.logs, self.eviction_cursor)?;
            self.eviction_cursor = id;
            let log = self.logs.get(&id)?;
            if log.events == 0 {
                self.floor = self.floor.max(log.next.max(log.lease_end) - 1);
                self.ids.remove(&log.name);
                return self.logs.remove(&id);
            }
        }
        None
    }

    /// Returns the next log of the round over all logs, or `None` without logs.
    pub(super) fn next_in_round(&mut self) -> Option<&mut Log> {
        self.round_cursor = next_id(&self.logs, self.round_cursor)?;
        self.logs.get_mut(&self.round_cursor)
    }

    /// Marks the logs that a transaction changes. Returns `true` if the commit must be synced because a
    /// lease is too short.
    pub(super) fn mark_changed(&mut self, ids: &BTreeSet<u32>) -> bool {
        self.dirty.extend(ids);
        ids.iter().filter_map(|id| self.logs.get(id)).any(|log| !log.is_covered_by_lease())
    }

    /// Renews leases before a sync. Returns the ids of the logs whose rows have changed.
    pub(super) fn renew_leases(&mut self) -> Vec<u32> {
        let mut ids = std::mem::take(&mut self.dirty);
        ids.retain(|id| self.logs.get_mut(id).is_some_and(Log::renew_lease));
        ids.into_iter().collect()
    }

    /// Continues numbering after all leases. Returns the ids of the logs that had one.
    pub(super) fn skip_leases(&mut self) -> Vec<u32> {
        let open = self.logs.values_mut().filter(|log| log.lease_end > log.next);
        let ids = open.map(|log| {
            log.next = log.lease_end;
            log.id
        });
        ids.collect()
    }

    /// Removes all leases, before the synced commit of a clean close. Returns the ids of the logs that had
    /// one.
    pub(super) fn clear_leases(&mut self) -> Vec<u32> {
        let open = self.logs.values_mut().filter(|log| log.lease_end > log.next);
        let ids = open.map(|log| {
            log.lease_end = 0;
            log.id
        });
        ids.collect()
    }
}

/// Returns the id after `id`, or the first id after the last one.
fn next_id(logs: &BTreeMap<u32, Log>, id: u32) -> Option<u32> {
    let next = logs.range(id.saturating_add(1)..).next();
    next.or_else(|| logs.first_key_value()).map(|(id, _)| *id)
}
