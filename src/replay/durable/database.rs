//! The database in the file: creating its tables, loading the logs, closing it.

use std::collections::BTreeSet;

use redb::{Database, Durability, ReadableDatabase, ReadableTable, WriteTransaction};

use super::{
    errors::{guard, redb_error},
    failed_appends::FailedAppends,
    logs::Logs,
    tables::{EPOCH, EVENTS, FLOOR, FORMAT, FORMAT_VERSION, LOGS, META, NEXT_ID},
};
use crate::replay::{Epoch, ErrorKind, Operation, StoreError};

/// Result of opening the store.
pub(super) struct Opened {
    pub(super) database: Database,
    pub(super) epoch: Epoch,
    pub(super) logs: Logs,
    /// Number of logs in which this opening left a gap, after an unclean end or for failed appends.
    pub(super) crash_gaps: usize,
}

/// Creates the tables of a new store. Does nothing if they exist.
pub(super) fn create_tables(database: &Database) -> Result<(), StoreError> {
    const OPERATION: Operation = Operation::Open;
    let read = database.begin_read().map_err(redb_error(OPERATION))?;
    if read.list_tables().map_err(redb_error(OPERATION))?.next().is_some() {
        return Ok(());
    }
    drop(read);
    let epoch = Epoch::random().map_err(redb_error(OPERATION))?;
    let mut txn = database.begin_write().map_err(redb_error(OPERATION))?;
    {
        let mut meta = txn.open_table(META).map_err(redb_error(OPERATION))?;
        for (name, value) in [(FORMAT, FORMAT_VERSION), (EPOCH, epoch.to_bits()), (FLOOR, 0), (NEXT_ID, 1)] {
            meta.insert(name, value).map_err(redb_error(OPERATION))?;
        }
        txn.open_table(LOGS).map_err(redb_error(OPERATION))?;
        txn.open_table(EVENTS).map_err(redb_error(OPERATION))?;
    }
    txn.set_quick_repair(true);
    txn.commit().map_err(redb_error(OPERATION))
}

/// Loads the logs into memory and skips the numbers that must not be assigned again.
pub(super) fn load(database: Database, failed: &FailedAppends) -> Result<Opened, StoreError> {
    const OPERATION: Operation = Operation::Open;
    let read = database.begin_read().map_err(redb_error(OPERATION))?;
    let meta = read.open_table(META).map_err(redb_error(OPERATION))?;
    let number = |name| match meta.get(name) {
        Ok(Some(value)) => Ok(value.value()),
        Ok(None) => Err(StoreError::new(
            ErrorKind::Damaged,
            OPERATION,
            format!("the file is damaged: it has no value `{name}`; move it away to begin a new history"),
        )),
        Err(error) => Err(redb_error(OPERATION)(error)),
    };
    let format = number(FORMAT)?;
    if format != FORMAT_VERSION {
        let message =
            format!("the file has format {format}, this version reads only format {FORMAT_VERSION}");
        return Err(StoreError::new(ErrorKind::Version, OPERATION, message));
    }
    let epoch = Epoch::from_bits(number(EPOCH)?);
    let mut logs = Logs::new(number(FLOOR)?, number(NEXT_ID)?);
    let rows = read.open_table(LOGS).map_err(redb_error(OPERATION))?;
    for row in rows.iter().map_err(redb_error(OPERATION))? {
        let (name, row) = row.map_err(redb_error(OPERATION))?;
        logs.load(name.value(), row.value())?;
    }
    drop((meta, rows, read));
    let crash_gaps = skip_numbers(&database, &mut logs, failed)?;
    Ok(Opened { database, epoch, logs, crash_gaps })
}

/// Continues the numbers of each log after its lease (see the [module](super)), skips one number per failed
/// append, and commits that. Returns the number of logs changed.
fn skip_numbers(database: &Database, logs: &mut Logs, failed: &FailedAppends) -> Result<usize, StoreError> {
    const OPERATION: Operation = Operation::Open;
    let mut changed: BTreeSet<u32> = logs.skip_leases().into_iter().collect();
    changed.extend(failed.skip_numbers(logs));
    if changed.is_empty() {
        return Ok(0);
    }
    let mut txn = database.begin_write().map_err(redb_error(OPERATION))?;
    write_rows(&txn, logs, &changed, OPERATION)?;
    txn.set_quick_repair(true);
    txn.commit().map_err(redb_error(OPERATION))?;
    Ok(changed.len())
}

/// Skips one number per failed append in an open file, and commits that.
pub(super) fn skip_failed(
    database: &Database,
    logs: &mut Logs,
    failed: &FailedAppends,
    operation: Operation,
) -> Result<(), StoreError> {
    let changed = failed.skip_numbers(logs).into_iter().collect();
    let txn = database.begin_write().map_err(redb_error(operation))?;
    write_rows(&txn, logs, &changed, operation)?;
    txn.commit().map_err(redb_error(operation))
}

/// Writes the rows of the given logs.
pub(super) fn write_rows(
    txn: &WriteTransaction,
    logs: &Logs,
    ids: &BTreeSet<u32>,
    operation: Operation,
) -> Result<(), StoreError> {
    let mut rows = txn.open_table(LOGS).map_err(redb_error(operation))?;
    for log in ids.iter().filter_map(|id| logs.at(*id)) {
        rows.insert(&*log.name, log.row()).map_err(redb_error(operation))?;
    }
    Ok(())
}

/// Clears the leases, syncs and closes the database.
pub(super) fn close(database: Database, logs: &mut Logs) -> Result<(), StoreError> {
    const OPERATION: Operation = Operation::Close;
    guard(OPERATION, || {
        let changed = logs.clear_leases().into_iter().collect();
        let mut txn = database.begin_write().map_err(redb_error(OPERATION))?;
        write_rows(&txn, logs, &changed, OPERATION)?;
        txn.set_durability(Durability::Immediate).map_err(redb_error(OPERATION))?;
        txn.set_quick_repair(true);
        txn.commit().map_err(redb_error(OPERATION))?;
        database.close().map_err(redb_error(OPERATION))
    })
}
