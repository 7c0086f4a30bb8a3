//! One transaction: it stores the events of a batch, updates the rows of their logs and applies retention.

use std::collections::{BTreeMap, BTreeSet};

use redb::{Database, Durability as RedbDurability, WriteTransaction};

use super::{
    Options,
    database::write_rows,
    errors::redb_error,
    keys,
    logs::{Log, Logs},
    record::NewRecord,
    tables::{FLOOR, IDS, META, NEXT_ID},
    trim::{Stored, expired_logs},
};
use crate::replay::{Append, Durability, ErrorKind, Operation, StoreError, label_table::LabelTable};

/// Maximum number of logs that one commit forgets or trims when all logs together exceed their limit.
const FORGET_LOGS: usize = 64;
/// Part of the limit for all logs that is freed at once when it is exceeded.
const FREED_PART: u64 = 64;

/// Result of a committed batch.
#[derive(Debug, Default)]
pub(super) struct Committed {
    /// Outcome of each append: the event's number, or the reason that this append was rejected. In the order
    /// of the batch.
    pub(super) outcomes: Vec<Result<Numbered, StoreError>>,
    /// `true` if this commit and all earlier ones are on the disk.
    pub(super) is_synced: bool,
}

/// Number of an append's event.
#[derive(Clone, Copy, Debug)]
pub(super) struct Numbered {
    pub(super) seq: u64,
    /// Whether the number is that of an earlier event with the same idempotency key.
    pub(super) is_repeat: bool,
}

/// Transaction under construction.
struct Transaction<'a> {
    txn: &'a WriteTransaction,
    stored: Stored<'a>,
    logs: &'a mut Logs,
    options: &'a Options,
    now_ms: u64,
    /// Ids of the logs whose rows must be written.
    changed: BTreeSet<u64>,
    /// Whether a log was forgotten. The commit must be synced then: readers see the raised floor, so that a
    /// crash must not lower it.
    has_forgotten: bool,
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
    let mut transaction = Transaction::new(&txn, logs, options)?;
    let mut committed = Committed { is_synced: sync, ..Committed::default() };
    transaction.append(batch, &mut committed)?;
    // Before `make_room`: a log that is only trimmed assigns no number, so it needs no lease.
    committed.is_synced |= transaction.logs.mark_changed(&transaction.changed);
    transaction.make_room()?;
    transaction.stored.collect_garbage(transaction.logs)?;
    committed.is_synced |= transaction.has_forgotten;
    transaction.write_rows(committed.is_synced)?;
    drop(transaction);
    set_durability(&mut txn, committed.is_synced)?;
    txn.commit().map_err(redb_error(OPERATION))?;
    Ok(committed)
}

/// Removes expired events from some logs and forgets idle ones, which needs a sync. Returns `true` if there
/// is an unsynced change.
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
    let (changed, idle) = expired_logs(logs, options.clock.now_ms());
    if changed.is_empty() && idle.is_empty() {
        return Ok(false);
    }
    let mut txn = database.begin_write().map_err(redb_error(OPERATION))?;
    let mut transaction = Transaction::new(&txn, logs, options)?;
    transaction.changed = changed;
    transaction.trim_changed()?;
    for id in idle {
        transaction.forget(id)?;
    }
    let is_synced = transaction.has_forgotten;
    // No number is assigned, so no lease can be too short.
    transaction.write_rows(is_synced)?;
    drop(transaction);
    set_durability(&mut txn, is_synced)?;
    txn.commit().map_err(redb_error(OPERATION))?;
    Ok(!is_synced)
}

fn set_durability(txn: &mut WriteTransaction, is_synced: bool) -> Result<(), StoreError> {
    let durability = if is_synced { RedbDurability::Immediate } else { RedbDurability::None };
    txn.set_durability(durability).map_err(redb_error(Operation::Append))?;
    txn.set_quick_repair(is_synced);
    Ok(())
}

impl<'a> Transaction<'a> {
    fn new(txn: &'a WriteTransaction, logs: &'a mut Logs, options: &'a Options) -> Result<Self, StoreError> {
        let stored = Stored::open(txn, options.limits.labels)?;
        let (changed, now_ms) = (BTreeSet::new(), options.clock.now_ms());
        Ok(Self { txn, stored, logs, options, now_ms, changed, has_forgotten: false })
    }

    /// Stores the events of a batch and trims their logs.
    fn append<'b>(
        &mut self,
        batch: impl Iterator<Item = &'b Append>,
        committed: &mut Committed,
    ) -> Result<(), StoreError> {
        for append in batch {
            let outcome = match self.append_one(append) {
                Ok(numbered) => Ok(numbered),
                Err(error) if error.is_rejection() => Err(error),
                Err(error) => return Err(error),
            };
            // A repeat may ask for more than the first append did.
            committed.is_synced |= outcome.is_ok() && append.durability == Durability::Fsynced;
            committed.outcomes.push(outcome);
        }
        self.trim_changed()
    }

    fn append_one(&mut self, append: &Append) -> Result<Numbered, StoreError> {
        let id = self.find_or_create_log(&append.log)?;
        self.logs.mark_used(id, self.now_ms);
        let (txn, stored, now_ms) = (self.txn, &mut self.stored, self.now_ms);
        let numbered = self.logs.change(id, |log| {
            if let Some(seq) = keys::find_repeat(txn, log, append, now_ms)? {
                return Ok(Numbered { seq, is_repeat: true });
            }
            store(txn, stored, log, append, now_ms).map(|seq| Numbered { seq, is_repeat: false })
        });
        let gone = || StoreError::new(ErrorKind::Unavailable, Operation::Append, "the log is gone");
        let numbered = numbered.unwrap_or_else(|| Err(gone()))?;
        if !numbered.is_repeat {
            self.changed.insert(id);
        }
        Ok(numbered)
    }

    /// Returns the id of a log. Creates the log if it does not exist; at the limit it forgets the one that
    /// was unused longest.
    fn find_or_create_log(&mut self, name: &[u8]) -> Result<u64, StoreError> {
        const OPERATION: Operation = Operation::Append;
        if let Some(id) = self.logs.id(name) {
            return Ok(id);
        }
        while self.logs.len() >= self.options.limits.logs.max(1) {
            let Some(id) = self.logs.unused_longest() else { break };
            self.forget(id)?;
        }
        if name.first() == Some(&0) {
            // Topics with logs of their own may have been put into this one.
            self.logs.raise_floor();
        }
        let id = self.logs.add(name, self.now_ms);
        let mut meta = self.txn.open_table(META).map_err(redb_error(OPERATION))?;
        meta.insert(NEXT_ID, self.logs.next_id).map_err(redb_error(OPERATION))?;
        meta.insert(FLOOR, self.logs.floor).map_err(redb_error(OPERATION))?;
        Ok(id)
    }

    /// Forgets a log. New logs start above its numbers.
    fn forget(&mut self, id: u64) -> Result<(), StoreError> {
        const OPERATION: Operation = Operation::Trim;
        let Some(log) = self.logs.remove(id) else { return Ok(()) };
        self.changed.remove(&id);
        self.has_forgotten = true;
        self.stored.forget(&log, self.logs)?;
        let mut rows = self.txn.open_table(super::tables::LOGS).map_err(redb_error(OPERATION))?;
        rows.remove(&*log.name).map_err(redb_error(OPERATION))?;
        let mut meta = self.txn.open_table(META).map_err(redb_error(OPERATION))?;
        meta.insert(FLOOR, self.logs.floor).map_err(redb_error(OPERATION))?;
        Ok(())
    }

    /// Applies the retention of a log to each changed log.
    fn trim_changed(&mut self) -> Result<(), StoreError> {
        for id in &self.changed {
            let (stored, now_ms) = (&mut self.stored, self.now_ms);
            self.logs.change(*id, |log| stored.trim(log, now_ms)).transpose()?;
        }
        Ok(())
    }

    /// Removes the oldest events of some logs, and forgets those that have no more than one, until all logs
    /// together are within their limit. Stops at [`FORGET_LOGS`]; the next
    /// commit continues.
    fn make_room(&mut self) -> Result<(), StoreError> {
        let limit = self.logs.max_bytes();
        if self.logs.total_bytes <= limit {
            return Ok(());
        }
        let target = limit - limit / FREED_PART;
        for _ in 0..FORGET_LOGS {
            let excess = self.logs.total_bytes.saturating_sub(target);
            let Some(id) = self.logs.next_to_shrink(self.now_ms).filter(|_| excess > 0) else { break };
            if self.logs.at(id).is_some_and(|log| log.row.events > 1) {
                let stored = &mut self.stored;
                self.logs.change(id, |log| stored.drop_oldest(log, excess)).transpose()?;
                self.changed.insert(id);
            } else if self.logs.len() > 1 {
                self.forget(id)?;
            } else {
                break;
            }
        }
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

/// Stores an event with its labels, id and key. Returns its number.
fn store(
    txn: &WriteTransaction,
    stored: &mut Stored<'_>,
    log: &mut Log,
    append: &Append,
    now_ms: u64,
) -> Result<u64, StoreError> {
    const OPERATION: Operation = Operation::Append;
    let released = add_labels(stored, log, append)?;
    let seq = log.push(append.size_bytes() as u64, now_ms, append.durability);
    let (key, time_ms) = ((log.row.id, seq), log.row.newest_ms);
    let record = NewRecord::of_append(append);
    let mut buffer =
        stored.events.insert_reserve(key, record.encoded_bytes()).map_err(redb_error(OPERATION))?;
    record.encode(buffer.as_mut(), key, time_ms);
    drop(buffer);
    for seq in released {
        stored.drop_unclaimed(log, seq)?;
    }
    if let Some(id) = &append.attributes().id {
        log.row.has_ids = true;
        let mut ids = txn.open_table(IDS).map_err(redb_error(OPERATION))?;
        ids.insert((log.row.id, &**id, seq), ()).map_err(redb_error(OPERATION))?;
    }
    keys::add(txn, log, append, seq, now_ms)?;
    Ok(seq)
}

/// Adds a new event to its labels. Returns the numbers of spared events that a label claims no longer.
fn add_labels(stored: &Stored<'_>, log: &mut Log, append: &Append) -> Result<Vec<u64>, StoreError> {
    let labels = &append.labels;
    if !log.row.has_labels && labels.len() == 1 && labels[0] == log.name {
        return Ok(Vec::new());
    }
    if !log.row.has_labels {
        log.row.has_labels = true;
        let events = usize::try_from(log.row.events).unwrap_or(usize::MAX);
        log.labels = Some(LabelTable::new(log.name.clone(), events, log.row.trimmed_to));
        let own = BTreeMap::from([(log.name.clone(), Some(log.row.trimmed_to))]);
        stored.write_labels(log.row.id, &own)?;
    }
    stored.load_labels(log)?;
    let Some(table) = &mut log.labels else { return Ok(Vec::new()) };
    let distinct = labels.iter().enumerate().filter(|(at, label)| !labels[..*at].contains(label));
    Ok(distinct.filter_map(|(_, label)| table.add(label, log.retention.label_events).1).collect())
}
