//! The database in the file: creating its tables, loading the logs, closing it.

use std::collections::BTreeSet;

use redb::{Database, Durability, ReadTransaction, ReadableDatabase, ReadableTable, WriteTransaction};

use super::{
    Options,
    errors::{guard, redb_error},
    failed_appends::FailedAppends,
    format1::{self, OLD_FORMAT_VERSION},
    logs::Logs,
    tables::{
        EPOCH, FLOOR, FORMAT, FORMAT_VERSION, GARBAGE, GROUPING, LOGS, META, NEXT_ID, RAISED, Row,
        create_new_tables,
    },
};
use crate::replay::{Epoch, ErrorKind, Operation, StoreError};

const OPERATION: Operation = Operation::Open;

/// Result of opening the store.
pub(super) struct Opened {
    pub(super) database: Database,
    pub(super) epoch: Epoch,
    pub(super) logs: Logs,
    /// Number of logs in which this opening left a gap, after an unclean end or for failed appends.
    pub(super) crash_gaps: usize,
}

/// Creates the tables of a new store. Does nothing if they exist.
pub(super) fn create_tables(database: &Database, options: &Options) -> Result<(), StoreError> {
    let read = database.begin_read().map_err(redb_error(OPERATION))?;
    if read.list_tables().map_err(redb_error(OPERATION))?.next().is_some() {
        return Ok(());
    }
    drop(read);
    let epoch = Epoch::random().map_err(redb_error(OPERATION))?;
    let mut txn = database.begin_write().map_err(redb_error(OPERATION))?;
    {
        let mut meta = txn.open_table(META).map_err(redb_error(OPERATION))?;
        let numbers = [
            (FORMAT, FORMAT_VERSION),
            (EPOCH, epoch.to_bits()),
            (FLOOR, 0),
            (NEXT_ID, 1),
            (GROUPING, options.grouping),
        ];
        for (name, value) in numbers {
            meta.insert(name, value).map_err(redb_error(OPERATION))?;
        }
    }
    create_new_tables(&txn)?;
    txn.set_quick_repair(true);
    txn.commit().map_err(redb_error(OPERATION))
}

/// Loads the logs into memory and skips the numbers that must not be assigned again. Migrates a file of an
/// older format.
pub(super) fn load(
    database: Database,
    options: &Options,
    failed: &FailedAppends,
) -> Result<Opened, StoreError> {
    let format = Numbers::read(&database)?.required(FORMAT)?;
    if format != FORMAT_VERSION && format != OLD_FORMAT_VERSION {
        let message =
            format!("the file has format {format}, this version reads only format {FORMAT_VERSION}");
        return Err(StoreError::new(ErrorKind::Version, OPERATION, message));
    }
    if format1::is_old(&database)? {
        format1::migrate(&database)?;
    }
    let numbers = Numbers::read(&database)?;
    let raised = numbers.optional(RAISED)?;
    let epoch = Epoch::from_bits(numbers.required(EPOCH)?);
    let policy = options.retention_policy();
    let mut logs = Logs::new(numbers.required(FLOOR)?, numbers.required(NEXT_ID)?, policy);
    let is_grouped_anew = numbers.optional(GROUPING)? != options.grouping;
    load_rows(&numbers.0, &mut logs, raised)?;
    drop(numbers);
    let crash_gaps = skip_numbers(&database, &mut logs, failed)?;
    if is_grouped_anew {
        raise_all(&database, &mut logs, options.grouping)?;
    }
    Ok(Opened { database, epoch, logs, crash_gaps })
}

fn load_rows(read: &ReadTransaction, logs: &mut Logs, raised: u64) -> Result<(), StoreError> {
    let rows = read.open_table(LOGS).map_err(redb_error(OPERATION))?;
    for row in rows.iter().map_err(redb_error(OPERATION))? {
        let (name, row) = row.map_err(redb_error(OPERATION))?;
        logs.load(name.value(), Row::decode(row.value(), raised)?)?;
    }
    let garbage = read.open_table(GARBAGE).map_err(redb_error(OPERATION))?;
    for id in garbage.iter().map_err(redb_error(OPERATION))? {
        logs.garbage.insert(id.map_err(redb_error(OPERATION))?.0.value());
    }
    Ok(())
}

/// The numbers in [`META`].
struct Numbers(ReadTransaction);

impl Numbers {
    fn read(database: &Database) -> Result<Self, StoreError> {
        database.begin_read().map(Self).map_err(redb_error(OPERATION))
    }

    fn get(&self, name: &str) -> Result<Option<u64>, StoreError> {
        let meta = self.0.open_table(META).map_err(redb_error(OPERATION))?;
        Ok(meta.get(name).map_err(redb_error(OPERATION))?.map(|value| value.value()))
    }

    /// Returns a number, or 0 if it was never set.
    fn optional(&self, name: &str) -> Result<u64, StoreError> {
        self.get(name).map(Option::unwrap_or_default)
    }

    fn required(&self, name: &str) -> Result<u64, StoreError> {
        self.get(name)?.ok_or_else(|| {
            let message =
                format!("the file is damaged: it has no value `{name}`; move it away to begin a new history");
            StoreError::new(ErrorKind::Damaged, OPERATION, message)
        })
    }
}

/// Makes all logs continue above every number assigned so far, because topics may have moved to other logs.
fn raise_all(database: &Database, logs: &mut Logs, grouping: u64) -> Result<(), StoreError> {
    logs.raise_floor();
    let raised = logs.floor;
    let mut txn = database.begin_write().map_err(redb_error(OPERATION))?;
    {
        let mut meta = txn.open_table(META).map_err(redb_error(OPERATION))?;
        for (name, value) in [(FLOOR, raised), (RAISED, raised), (GROUPING, grouping)] {
            meta.insert(name, value).map_err(redb_error(OPERATION))?;
        }
    }
    txn.set_quick_repair(true);
    txn.commit().map_err(redb_error(OPERATION))?;
    logs.skip_to(raised);
    Ok(())
}

/// Continues the numbers of each log after its lease (see the [module](super)), skips one number per failed
/// append, and commits that. Returns the number of logs changed.
fn skip_numbers(database: &Database, logs: &mut Logs, failed: &FailedAppends) -> Result<usize, StoreError> {
    let mut changed: BTreeSet<u64> = logs.skip_leases().into_iter().collect();
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
    ids: &BTreeSet<u64>,
    operation: Operation,
) -> Result<(), StoreError> {
    let mut rows = txn.open_table(LOGS).map_err(redb_error(operation))?;
    for log in ids.iter().filter_map(|id| logs.at(*id)) {
        rows.insert(&*log.name, &*log.row.encode()).map_err(redb_error(operation))?;
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
