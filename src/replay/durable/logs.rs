//! The writer's state of the logs: next numbers, leases and sizes. It does not access the file.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use bytes::Bytes;

use super::tables::Row;
use crate::replay::{
    Durability, ErrorKind, KEY_OVERHEAD_BYTES, LOG_OVERHEAD_BYTES, Operation, Retention, RetentionPolicy,
    StoreError,
    clock::{UseClock, is_in_use, last_use_ms},
    label_table::LabelTable,
};

/// Smallest block of numbers leased at once. A crash leaves a gap of at most one and a half blocks.
const MIN_LEASE: u64 = 1024;
/// Largest block of numbers leased at once. A log with 100,000 events per second uses half of it in 5 s.
const MAX_LEASE: u64 = 1 << 20;
/// Maximum number of logs of which the one that was unused longest is forgotten.
const FORGET_SAMPLE_LOGS: usize = 32;

/// State of one log.
#[derive(Debug)]
pub(super) struct Log {
    pub(super) name: Bytes,
    pub(super) row: Row,
    pub(super) retention: Arc<Retention>,
    /// Time of the oldest event in milliseconds since 1970. `None` until it has been read from the file.
    pub(super) oldest_ms: Option<u64>,
    /// Labels of the events. `None` until they have been read from the file, and while the log's name is the
    /// only label.
    pub(super) labels: Option<LabelTable>,
    /// Events since the last sync that asked for less than [`Durability::Fsynced`].
    unsynced: u64,
    /// Time of the last use, of [`UseClock`].
    used: u64,
}

impl Log {
    fn new(name: Bytes, row: Row, retention: Arc<Retention>, used: u64) -> Self {
        Self { name, row, retention, oldest_ms: None, labels: None, unsynced: 0, used }
    }

    /// Adds an event. Returns its number.
    pub(super) fn push(&mut self, size_bytes: u64, now_ms: u64, durability: Durability) -> u64 {
        let seq = self.row.next;
        self.row.next += 1;
        self.row.newest_ms = self.row.newest_ms.max(now_ms);
        if self.row.events == 0 {
            self.oldest_ms = Some(self.row.newest_ms);
        }
        self.row.events += 1;
        self.row.bytes += size_bytes;
        if durability < Durability::Fsynced {
            self.unsynced += 1;
        }
        seq
    }

    /// Returns the bytes that the log counts against the total of all logs.
    fn total_bytes(&self) -> u64 {
        let labels = self.labels.as_ref().map_or(0, LabelTable::bytes);
        let fixed = (LOG_OVERHEAD_BYTES + self.name.len() + labels) as u64;
        fixed + self.row.bytes + self.row.keys * KEY_OVERHEAD_BYTES as u64
    }

    /// Returns `true` if the log was unused for longer than its retention allows.
    pub(super) fn is_idle(&self, now_ms: u64) -> bool {
        let unused_ms = now_ms.saturating_sub(last_use_ms(self.used));
        self.retention.idle.is_some_and(|idle| u128::from(unused_ms) > idle.as_millis())
    }

    /// Returns `true` if the lease covers all assigned numbers, so that they may be acknowledged without a
    /// sync.
    fn is_covered_by_lease(&self) -> bool {
        self.row.next <= self.row.lease_end
    }

    /// Extends the lease for the next sync, if less than half of it is left and the log had events below
    /// [`Durability::Fsynced`] since the last sync. Returns `true` if the row has changed.
    fn renew_lease(&mut self) -> bool {
        let unsynced = std::mem::take(&mut self.unsynced);
        if unsynced == 0 {
            return false;
        }
        let block = unsynced.saturating_mul(4).next_power_of_two().clamp(MIN_LEASE, MAX_LEASE);
        if self.row.lease_end.saturating_sub(self.row.next) >= block / 2 {
            return false;
        }
        self.row.lease_end = self.row.next + block;
        true
    }
}

/// State of all logs.
#[derive(Debug)]
pub(super) struct Logs {
    ids: HashMap<Bytes, u64>,
    logs: BTreeMap<u64, Log>,
    policy: RetentionPolicy,
    uses: UseClock,
    /// Largest number that a forgotten log assigned.
    pub(super) floor: u64,
    pub(super) next_id: u64,
    pub(super) total_bytes: u64,
    /// Ids of forgotten logs whose events are still in the file.
    pub(super) garbage: BTreeSet<u64>,
    /// Logs changed since the last sync.
    dirty: HashSet<u64>,
    /// Id after which the round over all logs continues.
    cursor: u64,
}

impl Logs {
    pub(super) fn new(floor: u64, next_id: u64, policy: RetentionPolicy) -> Self {
        let (ids, logs, uses, garbage, dirty) = Default::default();
        Self { ids, logs, policy, uses, floor, next_id, total_bytes: 0, garbage, dirty, cursor: 0 }
    }

    /// Adds a log from a row of the file.
    ///
    /// # Errors
    ///
    /// The row is invalid.
    pub(super) fn load(&mut self, name: &[u8], row: Row) -> Result<(), StoreError> {
        if row.id >= self.next_id || self.logs.contains_key(&row.id) {
            let message = "the file is damaged: it has an invalid log; move it away to begin a new history";
            return Err(StoreError::new(ErrorKind::Damaged, Operation::Open, message));
        }
        let used = self.uses.stamp(row.newest_ms);
        self.insert(Bytes::copy_from_slice(name), row, used);
        Ok(())
    }

    fn insert(&mut self, name: Bytes, row: Row, used: u64) {
        let id = row.id;
        self.ids.insert(name.clone(), id);
        let retention = self.policy.of(&name);
        let log = Log::new(name, row, retention, used);
        self.total_bytes = self.total_bytes.saturating_add(log.total_bytes());
        self.logs.insert(id, log);
    }

    /// Returns the limit of all logs together.
    pub(super) fn max_bytes(&self) -> u64 {
        self.policy.total_bytes() as u64
    }

    pub(super) fn len(&self) -> usize {
        self.logs.len()
    }

    pub(super) fn id(&self, name: &[u8]) -> Option<u64> {
        self.ids.get(name).copied()
    }

    /// Returns the ids of all logs.
    pub(super) fn ids(&self) -> Vec<u64> {
        self.logs.keys().copied().collect()
    }

    /// Skips `count` numbers of a log. Does nothing if there is no such log.
    pub(super) fn skip_numbers(&mut self, id: u64, count: u64) {
        if let Some(log) = self.logs.get_mut(&id) {
            log.row.skip_to((log.row.next - 1).saturating_add(count));
        }
    }

    pub(super) fn at(&self, id: u64) -> Option<&Log> {
        self.logs.get(&id)
    }

    /// Changes a log and keeps the total of all logs up to date. Returns `None` if there is no such log.
    pub(super) fn change<T>(&mut self, id: u64, change: impl FnOnce(&mut Log) -> T) -> Option<T> {
        let log = self.logs.get_mut(&id)?;
        let before = log.total_bytes();
        let outcome = change(log);
        self.total_bytes = self.total_bytes.saturating_sub(before).saturating_add(log.total_bytes());
        Some(outcome)
    }

    /// Records a use of a log.
    pub(super) fn mark_used(&mut self, id: u64, now_ms: u64) {
        let used = self.uses.stamp(now_ms);
        if let Some(log) = self.logs.get_mut(&id) {
            log.used = used;
        }
    }

    /// Creates a log. Returns its id.
    pub(super) fn add(&mut self, name: &[u8], now_ms: u64) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        let start = self.floor;
        let row = Row { id, start, next: start + 1, trimmed_to: start, ..Row::default() };
        let used = self.uses.stamp(now_ms);
        self.insert(Bytes::copy_from_slice(name), row, used);
        id
    }

    /// Skips the numbers of all logs up to and including `last`.
    pub(super) fn skip_to(&mut self, last: u64) {
        self.logs.values_mut().for_each(|log| log.row.skip_to(last));
    }

    /// Raises the floor to the largest number that any log has assigned or leased.
    pub(super) fn raise_floor(&mut self) {
        let highest = self.logs.values().map(|log| log.row.next.max(log.row.lease_end) - 1).max();
        self.floor = self.floor.max(highest.unwrap_or(0));
    }

    /// Removes a log. Its numbers are not reused.
    pub(super) fn remove(&mut self, id: u64) -> Option<Log> {
        let log = self.logs.remove(&id)?;
        self.ids.remove(&log.name);
        self.floor = self.floor.max(log.row.next.max(log.row.lease_end) - 1);
        self.total_bytes = self.total_bytes.saturating_sub(log.total_bytes());
        Some(log)
    }

    /// Returns the id of the log that was unused longest, of [`FORGET_SAMPLE_LOGS`]. Successive calls go
    /// round all logs.
    pub(super) fn unused_longest(&mut self) -> Option<u64> {
        let mut oldest: Option<(u64, u64)> = None;
        for _ in 0..FORGET_SAMPLE_LOGS.min(self.logs.len()) {
            let log = self.next_in_round()?;
            let candidate = (log.used, log.row.id);
            oldest = Some(oldest.map_or(candidate, |oldest| oldest.min(candidate)));
        }
        oldest.map(|(_, id)| id)
    }

    /// Returns the id of the log that has to give room: of [`FORGET_SAMPLE_LOGS`] the one that was unused
    /// longest or, if all are in use, the largest one that has more than one event.
    pub(super) fn next_to_shrink(&mut self, now_ms: u64) -> Option<u64> {
        let cursor = self.cursor;
        let oldest = self.unused_longest()?;
        if self.at(oldest).is_some_and(|log| !is_in_use(log.used, now_ms)) {
            return Some(oldest);
        }
        self.cursor = cursor;
        let mut largest = None;
        for _ in 0..FORGET_SAMPLE_LOGS.min(self.logs.len()) {
            let row = &self.next_in_round()?.row;
            if row.events > 1 {
                largest = largest.max(Some((row.bytes, row.id)));
            }
        }
        Some(largest.map_or(oldest, |(_, id)| id))
    }

    /// Returns the next log of the round over all logs, or `None` without logs.
    pub(super) fn next_in_round(&mut self) -> Option<&Log> {
        let next = self.logs.range(self.cursor.saturating_add(1)..).next();
        let (id, log) = next.or_else(|| self.logs.first_key_value())?;
        self.cursor = *id;
        Some(log)
    }

    /// Marks the logs that a transaction changes. Returns `true` if the commit must be synced because a lease
    /// is too short.
    pub(super) fn mark_changed(&mut self, ids: &BTreeSet<u64>) -> bool {
        self.dirty.extend(ids);
        ids.iter().filter_map(|id| self.logs.get(id)).any(|log| !log.is_covered_by_lease())
    }

    /// Renews the leases of the logs changed since the last sync. Returns the ids of the changed rows.
    pub(super) fn renew_leases(&mut self) -> Vec<u64> {
        let mut ids = std::mem::take(&mut self.dirty);
        ids.retain(|id| self.logs.get_mut(id).is_some_and(Log::renew_lease));
        ids.into_iter().collect()
    }

    /// Continues numbering after all leases. Returns the ids of the logs that had one.
    pub(super) fn skip_leases(&mut self) -> Vec<u64> {
        let open = self.logs.values_mut().filter(|log| log.row.lease_end > log.row.next);
        let ids = open.map(|log| {
            log.row.skip_to(log.row.lease_end - 1);
            log.row.id
        });
        ids.collect()
    }

    /// Removes all leases, before the synced commit of a clean close. Returns the ids of the logs that had
    /// one.
    pub(super) fn clear_leases(&mut self) -> Vec<u64> {
        let open = self.logs.values_mut().filter(|log| log.row.lease_end > log.row.next);
        let ids = open.map(|log| {
            log.row.lease_end = 0;
            log.row.id
        });
        ids.collect()
    }
}
