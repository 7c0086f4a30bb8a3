//! One transaction: it stores the events of a batch, updates the rows of their topics and applies retention.

use std::collections::BTreeSet;

use redb::{Database, Durability as RedbDurability, WriteTransaction};

use super::{
    Options,
    database::write_rows,
    errors::redb_error,
    tables::{EVENTS, FLOOR, META, NEXT_ID, TOPICS, encode, encoded_bytes},
    topics::Topics,
    trim::{expired_topics, trim_all, trim_topic},
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
    topics: &'a mut Topics,
    options: &'a Options,
    now_ms: u64,
    /// Ids of the topics whose rows must be written.
    changed: BTreeSet<u32>,
}

/// Commits a batch. The commit is synced if `sync` is set, an append asks for it, or a lease is too short.
///
/// # Errors
///
/// As far as this process can see, nothing is committed. `topics` may be inconsistent and must be discarded.
pub(super) fn commit<'a>(
    database: &Database,
    topics: &mut Topics,
    options: &Options,
    batch: impl Iterator<Item = &'a Append>,
    sync: bool,
) -> Result<Committed, StoreError> {
    const OPERATION: Operation = Operation::Append;
    let mut txn = database.begin_write().map_err(redb_error(OPERATION))?;
    let now_ms = options.clock.now_ms();
    let mut transaction = Transaction { txn: &txn, topics, options, now_ms, changed: BTreeSet::new() };
    let mut committed = Committed { is_synced: sync, ..Committed::default() };
    transaction.append(batch, &mut committed)?;
    // Before `trim_all`: a topic that is only trimmed assigns no number, so it needs no lease.
    committed.is_synced |= transaction.topics.mark_changed(&transaction.changed);
    transaction.trim_all()?;
    transaction.write_rows(committed.is_synced)?;
    set_durability(&mut txn, committed.is_synced)?;
    txn.commit().map_err(redb_error(OPERATION))?;
    Ok(committed)
}

/// Removes expired events from some topics, without a sync. Returns `true` if there was anything to do.
///
/// # Errors
///
/// See [`commit`].
pub(super) fn trim_expired(
    database: &Database,
    topics: &mut Topics,
    options: &Options,
) -> Result<bool, StoreError> {
    const OPERATION: Operation = Operation::Trim;
    let now_ms = options.clock.now_ms();
    let changed = expired_topics(topics, &options.retention, now_ms);
    if changed.is_empty() {
        return Ok(false);
    }
    let mut txn = database.begin_write().map_err(redb_error(OPERATION))?;
    let mut transaction = Transaction { txn: &txn, topics, options, now_ms, changed };
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
    /// Stores the events of a batch and trims their topics.
    fn append<'b>(
        &mut self,
        batch: impl Iterator<Item = &'b Append>,
        committed: &mut Committed,
    ) -> Result<(), StoreError> {
        const OPERATION: Operation = Operation::Append;
        let mut events = self.txn.open_table(EVENTS).map_err(redb_error(OPERATION))?;
        for append in batch {
            let id = match self.find_or_create_topic(&append.topic) {
                Ok(id) => id,
                Err(error) if error.kind() == ErrorKind::TooManyTopics => {
                    committed.outcomes.push(Err(error));
                    continue;
                }
                Err(error) => return Err(error),
            };
            let Some(topic) = self.topics.at_mut(id) else { continue };
            let size_bytes = append.size_bytes() as u64;
            let seq = topic.push(size_bytes, self.now_ms, append.durability);
            let time_ms = topic.newest_ms;
            self.topics.total_bytes += size_bytes;
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

    /// Returns the id of a topic. Creates the topic if it does not exist; at the limit it evicts an empty one
    /// first.
    fn find_or_create_topic(&mut self, name: &[u8]) -> Result<u32, StoreError> {
        const OPERATION: Operation = Operation::Append;
        if let Some(id) = self.topics.id(name) {
            return Ok(id);
        }
        let mut meta = self.txn.open_table(META).map_err(redb_error(OPERATION))?;
        if self.topics.len() >= self.options.limits.topics.max(1) {
            let Some(evicted) = self.topics.evict_empty_topic() else {
                let message =
                    format!("the limit of {} topics is reached and none is empty", self.topics.len());
                return Err(StoreError::new(ErrorKind::TooManyTopics, OPERATION, message));
            };
            let mut rows = self.txn.open_table(TOPICS).map_err(redb_error(OPERATION))?;
            rows.remove(&*evicted.name).map_err(redb_error(OPERATION))?;
            meta.insert(FLOOR, self.topics.floor).map_err(redb_error(OPERATION))?;
        }
        let id = self.topics.add(name)?;
        meta.insert(NEXT_ID, self.topics.next_id).map_err(redb_error(OPERATION))?;
        Ok(id)
    }

    /// Applies the retention of a topic to each changed topic.
    fn trim_changed(&mut self) -> Result<(), StoreError> {
        let mut events = self.txn.open_table(EVENTS).map_err(redb_error(Operation::Trim))?;
        for id in &self.changed {
            let Some(topic) = self.topics.at_mut(*id) else { continue };
            let before = topic.bytes;
            trim_topic(&mut events, topic, &self.options.retention, self.now_ms)?;
            let removed_bytes = before - topic.bytes;
            self.topics.total_bytes -= removed_bytes;
        }
        Ok(())
    }

    /// Applies the retention of all topics together.
    fn trim_all(&mut self) -> Result<(), StoreError> {
        if self.topics.total_bytes <= self.options.retention.total_bytes as u64 {
            return Ok(());
        }
        let mut events = self.txn.open_table(EVENTS).map_err(redb_error(Operation::Trim))?;
        let trimmed = trim_all(&mut events, self.topics, &self.options.retention)?;
        self.changed.extend(trimmed);
        Ok(())
    }

    /// Writes the rows of the changed topics. A sync also renews leases.
    fn write_rows(&mut self, is_synced: bool) -> Result<(), StoreError> {
        if is_synced {
            self.changed.extend(self.topics.renew_leases());
        }
        write_rows(self.txn, self.topics, &self.changed, Operation::Append)
    }
}
