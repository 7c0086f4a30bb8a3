//! One transaction: it stores the events of a batch, updates the rows of their logs and applies retention.

use std::collections::BTreeSet;

use redb::{Database, Durability as RedbDurability, WriteTransaction};

use super::{
    Options,
    database::write_rows,
    errors::redb_error,
    logs::Logs,
    tables::{EVENTS, FLOOR, LOGS, META, NEXT_ID, encode, encoded_bytes},
    trim::{expired_logs, trim_all, trim_log},
};
use crate::replay::{Append, Durability, ErrorKind, Operation, StoreError};

/// Result of a committed batch.
#[derive(Debug, Default)]
pub(super) struct Committed {
    /// Number of each append's event, or the reason that this append was rejected. In the order of the batch.
    pub(super) outcomes: Vec<Result<u64, StoreError>>,
    /// `true` if this commit and all earlier ones are on the disk.
    pub(super) is_synced: bool,
}

/// Transaction under construction.
struct Transaction<'a> {
    txn: &'a WriteTransaction,
    logs: &'a mut Logs,
    options: &'a Options,
    now_ms: u64,
    /// Ids of the logs whose rows must be written.
    changed: BTreeSet<u32>,
}

/// Commits a batch. The commit is synced if `sync` is set, an append asks for it, or a lease is too short.
///
/// # Errors
///
/// As far as this process can see, nothing is committed. `logs` may be inconsistent and must be discarded.
pub(super) fn commit<'a>(
    database: &Database,
    logs: &mut Logs,
    options: &Options,
    batch: impl Iterator<Item = &'a Append>,
    sync: bool,
) -> Result<Committed, StoreError> {
    const OPERATION: Operation = Operation::Append;
    let mut txn = database.begin_write().map_err(redb_error(OPERATION))?;
    let now_ms = options.clock.now_ms();
    let mut transaction = Transaction { txn: &txn, logs, options, now_ms, changed: BTreeSet::new() };
    let mut committed = Committed { is_synced: sync, ..Committed::default() };
    transaction.append(batch, &mut committed)?;
    // Before `trim_all`: a log that is only trimmed assigns no number, so it needs no lease.
    committed.is_synced |= transaction.logs.mark_changed(&transaction.changed);
    transaction.trim_all()?;
    transaction.write_rows(committed.is_synced)?;
    set_durability(&mut txn, committed.is_synced)?;
    txn.commit().map_err(redb_error(OPERATION))?;
    Ok(committed)
}

/// Removes expired events from some logs, without a sync. Returns `true` if there was anything to do.
///
/// # Errors
///
/// See [`commit`].
pub(super) fn trim_expired(
    database: &Database,
    logs: &mut Logs,
    options: &Options,
) -> Result<bool, StoreError> {
    const OPERATION: Operation = Operation::Trim;
    let now_ms = options.clock.now_ms();
    let changed = expired_logs(logs, &options.retention, now_ms);
    if changed.is_empty() {
        return Ok(false);
    }
    let mut txn = database.begin_write().map_err(redb_error(OPERATION))?;
    let mut transaction = Transaction { txn: &txn, logs, options, now_ms, changed };
    transaction.trim_changed()?;
    // No number is assigned, so no lease can be too short.
    transaction.write_rows(false)?;
    set_durability(&mut txn, false)?;
    txn.commit().map_err(redb_error(OPERATION))?;
    Ok(true)
}

fn set_durability(txn: &mut WriteTransaction, is_synced: bool) -> Result<(), StoreError> {
    let durability = if is_synced { RedbDurability::Immediate } else { RedbDurability::None };
    txn.set_durability(durability).map_err(redb_error(Operation::Append))?;
    txn.set_quick_repair(is_synced);
    Ok(())
}

impl Transaction<'_> {
    /// Stores the events of a batch and trims their logs.
    fn append<'b>(
        &mut self,
        batch: impl Iterator<Item = &'b Append>,
        committed: &mut Committed,
    ) -> Result<(), StoreError> {
        const OPERATION: Operation = Operation::Append;
        let mut events = self.txn.open_table(EVENTS).map_err(redb_error(OPERATION))?;
        for append in batch {
            let id = match self.find_or_create_log(&append.log) {
                Ok(id) => id,
                Err(error) if error.kind() == ErrorKind::TooManyLogs => {
                    committed.outcomes.push(Err(error));
                    continue;
                }
                Err(error) => return Err(error),
            };
            let Some(log) = self.logs.at_mut(id) else { continue };
            let size_bytes = append.size_bytes() as u64;
            let seq = log.push(size_bytes, self.now_ms, append.durability);
            let time_ms = log.newest_ms;
            self.logs.total_bytes += size_bytes;
            let len = encoded_bytes(append.name.as_ref(), &append.data);
            let mut buffer = events.insert_reserve((id, seq), len).map_err(redb_error(OPERATION))?;
            encode(buffer.as_mut(), time_ms, append.name.as_ref(), &append.data);
            committed.outcomes.push(Ok(seq));
            committed.is_synced |= append.durability == Durability::Fsynced;
            self.changed.insert(id);
        }
        drop(events);
        self.trim_changed()
    }

    /// Returns the id of a log. Creates the log if it does not exist; at the limit it evicts an empty one
    /// first.
    fn find_or_create_log(&mut self, name: &[u8]) -> Result<u32, StoreError> {
        const OPERATION: Operation = Operation::Append;
        if let Some(id) = self.logs.id(name) {
            return Ok(id);
        }
        let mut meta = self.txn.open_table(META).map_err(redb_error(OPERATION))?;
        if self.logs.len() >= self.options.limits.logs.max(1) {
            let Some(evicted) = self.logs.evict_empty_log() else {
                let message = format!("the limit of {} logs is reached and none is empty", self.logs.len());
                return Err(StoreError::new(ErrorKind::TooManyLogs, OPERATION, message));
            };
            let mut rows = self.txn.open_table(LOGS).map_err(redb_error(OPERATION))?;
            rows.remove(&*evicted.name).map_err(redb_error(OPERATION))?;
            meta.insert(FLOOR, self.logs.floor).map_err(redb_error(OPERATION))?;
        }
        let id = self.logs.add(name)?;
        meta.insert(NEXT_ID, self.logs.next_id).map_err(redb_error(OPERATION))?;
        Ok(id)
    }

    /// Applies the retention of a log to each changed log.
    fn trim_changed(&mut self) -> Result<(), StoreError> {
        let mut events = self.txn.open_table(EVENTS).map_err(redb_error(Operation::Trim))?;
        for id in &self.changed {
            let Some(log) = self.logs.at_mut(*id) else { continue };
            let before = log.bytes;
            trim_log(&mut events, log, &self.options.retention, self.now_ms)?;
            let removed_bytes = before - log.bytes;
            self.logs.total_bytes -= removed_bytes;
        }
        Ok(())
    }

    /// Applies the retention of all logs together.
    fn trim_all(&mut self) -> Result<(), StoreError> {
        if self.logs.total_bytes <= self.options.retention.total_bytes as u64 {
            return Ok(());
        }
        let mut events = self.txn.open_table(EVENTS).map_err(redb_error(Operation::Trim))?;
        let trimmed = trim_all(&mut events, self.logs, &self.options.retention)?;
        self.changed.extend(trimmed);
        Ok(())
    }

    /// Writes the rows of the changed logs. A sync also renews leases.
    fn write_rows(&mut self, is_synced: bool) -> Result<(), StoreError> {
        if is_synced {
            self.changed.extend(self.logs.renew_leases());
        }
        write_rows(self.txn, self.logs, &self.changed, Operation::Append)
    }
}
