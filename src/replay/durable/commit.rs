//! One transaction: the events of a batch, the rows of their topics, what retention takes away.

use std::collections::BTreeSet;

use redb::{Database, Durability as Redb, WriteTransaction};

use super::{
    Options,
    database::failed,
    tables::{EVENTS, FLOOR, META, NEXT_ID, TOPICS, encode, encoded_bytes},
    topics::Topics,
    trim::{aged, sweep, trim},
};
use crate::replay::{Append, Durability, ErrorKind, Operation, StoreError};

/// What a committed batch came to.
#[derive(Debug, Default)]
pub(super) struct Written {
    /// For each append, in order: its number, or why this one was not taken.
    pub(super) outcomes: Vec<Result<u64, StoreError>>,
    /// Whether all that was ever committed is on the disk.
    pub(super) is_synced: bool,
}

/// A transaction being put together.
struct Commit<'a> {
    txn: &'a WriteTransaction,
    topics: &'a mut Topics,
    options: &'a Options,
    now_ms: u64,
    touched: BTreeSet<u32>,
}

/// Commits a batch, synced if `sync` says so, an append asks for it or a lease does not reach.
///
/// # Errors
///
/// Nothing is committed as far as this process can see, and `topics` is no longer to be trusted.
pub(super) fn commit<'a>(
    database: &Database,
    topics: &mut Topics,
    options: &Options,
    batch: impl Iterator<Item = &'a Append>,
    sync: bool,
) -> Result<Written, StoreError> {
    const DOING: Operation = Operation::Append;
    let mut txn = database.begin_write().map_err(failed(DOING))?;
    let now_ms = options.clock.now_ms();
    let mut commit = Commit { txn: &txn, topics, options, now_ms, touched: BTreeSet::new() };
    let mut written = Written { is_synced: sync, ..Written::default() };
    commit.append(batch, &mut written)?;
    // Before the sweep: topics that are only swept give out no number that a lease would have to cover.
    written.is_synced |= commit.topics.touch(&commit.touched);
    commit.sweep()?;
    commit.rows(written.is_synced)?;
    finish(&mut txn, written.is_synced)?;
    txn.commit().map_err(failed(DOING))?;
    Ok(written)
}

/// Removes events that have become too old from some topics, going round. Says whether there was anything to do; it is
/// not synced.
///
/// # Errors
///
/// As [`commit`].
pub(super) fn trim_aged(
    database: &Database,
    topics: &mut Topics,
    options: &Options,
) -> Result<bool, StoreError> {
    const DOING: Operation = Operation::Trim;
    let now_ms = options.clock.now_ms();
    let found = aged(topics, &options.retention, now_ms);
    if found.is_empty() {
        return Ok(false);
    }
    let mut txn = database.begin_write().map_err(failed(DOING))?;
    let mut commit = Commit { txn: &txn, topics, options, now_ms, touched: found };
    commit.trim()?;
    // No number was given out, so no lease has to reach.
    commit.rows(false)?;
    finish(&mut txn, false)?;
    txn.commit().map_err(failed(DOING))?;
    Ok(true)
}

fn finish(txn: &mut WriteTransaction, is_synced: bool) -> Result<(), StoreError> {
    let durability = if is_synced { Redb::Immediate } else { Redb::None };
    txn.set_durability(durability).map_err(failed(Operation::Append))?;
    txn.set_quick_repair(is_synced);
    Ok(())
}

impl Commit<'_> {
    fn append<'b>(
        &mut self,
        batch: impl Iterator<Item = &'b Append>,
        written: &mut Written,
    ) -> Result<(), StoreError> {
        const DOING: Operation = Operation::Append;
        let mut events = self.txn.open_table(EVENTS).map_err(failed(DOING))?;
        for append in batch {
            let id = match self.topic(&append.topic) {
                Ok(id) => id,
                Err(error) if error.kind() == ErrorKind::TooManyTopics => {
                    written.outcomes.push(Err(error));
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
            let mut place = events.insert_reserve((id, seq), len).map_err(failed(DOING))?;
            encode(place.as_mut(), time_ms, append.name.as_ref(), &append.data);
            written.outcomes.push(Ok(seq));
            written.is_synced |= append.durability == Durability::Fsynced;
            self.touched.insert(id);
        }
        drop(events);
        self.trim()
    }

    /// Finds a topic, or makes it, in the place of an empty one if it must.
    fn topic(&mut self, name: &[u8]) -> Result<u32, StoreError> {
        const DOING: Operation = Operation::Append;
        if let Some(id) = self.topics.id(name) {
            return Ok(id);
        }
        let mut meta = self.txn.open_table(META).map_err(failed(DOING))?;
        if self.topics.len() >= self.options.limits.topics.max(1) {
            let Some(forgotten) = self.topics.forget_one() else {
                let message = format!("there are {} topics, and none is empty", self.topics.len());
                return Err(StoreError::new(ErrorKind::TooManyTopics, DOING, message));
            };
            let mut rows = self.txn.open_table(TOPICS).map_err(failed(DOING))?;
            rows.remove(&*forgotten.name).map_err(failed(DOING))?;
            meta.insert(FLOOR, self.topics.floor).map_err(failed(DOING))?;
        }
        let id = self.topics.add(name)?;
        meta.insert(NEXT_ID, self.topics.next_id).map_err(failed(DOING))?;
        Ok(id)
    }

    fn trim(&mut self) -> Result<(), StoreError> {
        let mut events = self.txn.open_table(EVENTS).map_err(failed(Operation::Trim))?;
        for id in &self.touched {
            let Some(topic) = self.topics.at_mut(*id) else { continue };
            let before = topic.bytes;
            trim(&mut events, topic, &self.options.retention, self.now_ms)?;
            let gone = before - topic.bytes;
            self.topics.total_bytes -= gone;
        }
        Ok(())
    }

    fn sweep(&mut self) -> Result<(), StoreError> {
        if self.topics.total_bytes <= self.options.retention.total_bytes as u64 {
            return Ok(());
        }
        let mut events = self.txn.open_table(EVENTS).map_err(failed(Operation::Trim))?;
        let swept = sweep(&mut events, self.topics, &self.options.retention)?;
        self.touched.extend(swept);
        Ok(())
    }

    /// Writes the rows of the topics touched, and of those whose lease a sync renews.
    fn rows(&mut self, is_synced: bool) -> Result<(), StoreError> {
        const DOING: Operation = Operation::Append;
        if is_synced {
            self.touched.extend(self.topics.renew());
        }
        let mut rows = self.txn.open_table(TOPICS).map_err(failed(DOING))?;
        for topic in self.touched.iter().filter_map(|id| self.topics.at(*id)) {
            rows.insert(&*topic.name, topic.row()).map_err(failed(DOING))?;
        }
        Ok(())
    }
}
