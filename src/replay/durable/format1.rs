//! Migration of a file in format 1, slice by slice.
//!
//! The first commit sets the format to 2, so that no older version opens the file from then on. Until
//! [`OLD_EVENTS`] is empty, each commit moves some events to the table of format 2. The last one converts the
//! rows and deletes the old tables. A process that ends in between leaves a file that the next opening
//! migrates on from there.

use bytes::Bytes;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition, TableHandle, WriteTransaction};

use super::{
    errors::redb_error,
    record::NewRecord,
    tables::{EVENTS, FORMAT, FORMAT_VERSION, LOGS, META, Row, create_new_tables},
};
use crate::replay::{Attributes, ErrorKind, Operation, StoreError};

/// The format that is migrated.
pub(super) const OLD_FORMAT_VERSION: u64 = 1;

/// Rows of topics by name.
const OLD_TOPICS: TableDefinition<&[u8], OldRow> = TableDefinition::new("topics");
/// Row of a topic: id, next number, end of the lease, number of events, bytes of the events, time of the
/// newest event in milliseconds since 1970.
type OldRow = (u32, u64, u64, u64, u64, u64);
/// Encoded events by topic id and number: flags (1), time in milliseconds (8), length of the name (2), name,
/// data.
const OLD_EVENTS: TableDefinition<(u32, u64), &[u8]> = TableDefinition::new("events");
const OLD_HEADER_BYTES: usize = 11;
const OLD_HAS_NAME: u8 = 1;

/// Maximum number of events that one commit moves.
const SLICE_EVENTS: usize = 4096;
/// Bytes of events after which a commit moves no further one.
const SLICE_BYTES: usize = 8 * 1024 * 1024;

const OPERATION: Operation = Operation::Open;

/// Returns `true` if the file has tables of format 1.
pub(super) fn is_old(database: &Database) -> Result<bool, StoreError> {
    let read = database.begin_read().map_err(redb_error(OPERATION))?;
    let mut tables = read.list_tables().map_err(redb_error(OPERATION))?;
    Ok(tables.any(|table| table.name() == OLD_TOPICS.name()))
}

/// Migrates the file, or what is left to migrate.
pub(super) fn migrate(database: &Database) -> Result<(), StoreError> {
    tracing::info!("converting the topic store to format 2");
    let moves = |txn: &WriteTransaction| {
        create_new_tables(txn)?;
        let mut meta = txn.open_table(META).map_err(redb_error(OPERATION))?;
        meta.insert(FORMAT, FORMAT_VERSION).map_err(redb_error(OPERATION))?;
        drop(meta);
        move_events(txn)
    };
    while in_synced_commit(database, moves)? {}
    in_synced_commit(database, finish)?;
    tracing::info!("the topic store has format 2");
    Ok(())
}

fn in_synced_commit<T>(
    database: &Database,
    change: impl Fn(&WriteTransaction) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let mut txn = database.begin_write().map_err(redb_error(OPERATION))?;
    let outcome = change(&txn)?;
    txn.set_quick_repair(true);
    txn.commit().map_err(redb_error(OPERATION))?;
    Ok(outcome)
}

/// Moves some events to the table of format 2. Returns `false` if none was left.
fn move_events(txn: &WriteTransaction) -> Result<bool, StoreError> {
    let mut old = txn.open_table(OLD_EVENTS).map_err(redb_error(OPERATION))?;
    let mut new = txn.open_table(EVENTS).map_err(redb_error(OPERATION))?;
    let (mut bytes, mut last) = (0, None);
    for entry in old.iter().map_err(redb_error(OPERATION))?.take(SLICE_EVENTS) {
        let (key, record) = entry.map_err(redb_error(OPERATION))?;
        let (id, seq) = key.value();
        let record = OldRecord::parse(record.value()).ok_or_else(damaged)?;
        record.write(&mut new, (u64::from(id), seq))?;
        bytes += record.data.len();
        last = Some((id, seq));
        if bytes >= SLICE_BYTES {
            break;
        }
    }
    let Some(last) = last else { return Ok(false) };
    old.retain_in(..=last, |_, _| false).map_err(redb_error(OPERATION))?;
    Ok(true)
}

/// Converts the rows and deletes the old tables.
fn finish(txn: &WriteTransaction) -> Result<(), StoreError> {
    let old = txn.open_table(OLD_TOPICS).map_err(redb_error(OPERATION))?;
    let mut new = txn.open_table(LOGS).map_err(redb_error(OPERATION))?;
    for entry in old.iter().map_err(redb_error(OPERATION))? {
        let (name, row) = entry.map_err(redb_error(OPERATION))?;
        let (id, next, lease_end, events, bytes, newest_ms) = row.value();
        // Every number that is not stored counts as removed: the old format does not tell why it is missing.
        let trimmed_to = next.saturating_sub(1);
        let row = Row {
            id: u64::from(id),
            next,
            lease_end,
            events,
            bytes,
            newest_ms,
            trimmed_to,
            ..Row::default()
        };
        new.insert(name.value(), &*row.encode()).map_err(redb_error(OPERATION))?;
    }
    drop((old, new));
    txn.delete_table(OLD_TOPICS).map_err(redb_error(OPERATION))?;
    txn.delete_table(OLD_EVENTS).map_err(redb_error(OPERATION))?;
    Ok(())
}

/// Encoded event of format 1.
struct OldRecord {
    time_ms: u64,
    name: Option<Bytes>,
    data: Bytes,
}

impl OldRecord {
    fn parse(record: &[u8]) -> Option<Self> {
        let (header, body) = record.split_at_checked(OLD_HEADER_BYTES)?;
        let time_ms = header[1..9].try_into().map(u64::from_le_bytes).ok()?;
        let name_bytes = usize::from(u16::from_le_bytes([header[9], header[10]]));
        let mut data = Bytes::copy_from_slice(body);
        let name = match header[0] {
            OLD_HAS_NAME if name_bytes <= body.len() => Some(data.split_to(name_bytes)),
            0 if name_bytes == 0 => None,
            _ => return None,
        };
        Some(Self { time_ms, name, data })
    }

    fn write(
        &self,
        events: &mut redb::Table<'_, (u64, u64), &'static [u8]>,
        key: (u64, u64),
    ) -> Result<(), StoreError> {
        let attributes = Attributes::default();
        let record = NewRecord::with_own_label(&attributes, self.name.as_ref(), &self.data);
        let mut buffer = events.insert_reserve(key, record.encoded_bytes()).map_err(redb_error(OPERATION))?;
        record.encode(buffer.as_mut(), key, self.time_ms);
        Ok(())
    }
}

fn damaged() -> StoreError {
    StoreError::new(
        ErrorKind::Damaged,
        OPERATION,
        "the file is damaged: it has an invalid event; move it away to begin a new history",
    )
}
