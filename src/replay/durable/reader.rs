//! Reader threads: they read pages from snapshots, concurrently with the writer.

use bytes::Bytes;
use redb::{Database, ReadTransaction, ReadableDatabase};

use super::{
    errors::{guard, redb_error},
    queue::TakeResult,
    record::Record,
    shared::{ReadRequest, Shared},
    tables::{EVENTS, FLOOR, IDS, LABELS, LOGS, META, RAISED, Row},
};
use crate::replay::{
    Entry, Filter, Operation, Page, PageBuilder, Position, Query, StoreError, completion::complete,
};

const OPERATION: Operation = Operation::Read;

/// Serves reads until the queue is closed and empty.
pub(super) fn run(shared: &Shared) {
    let mut reads = Vec::new();
    while shared.reads.take(&mut reads, 1, usize::MAX, None) != TakeResult::Closed {
        for read_request in reads.drain(..) {
            match read_request {
                ReadRequest::Page(query, done) => complete(done, read(shared, &query)),
                ReadRequest::Id(log, id, done) => complete(done, find_id(shared, &log, &id)),
            }
        }
    }
}

/// Reads a page on this thread.
pub(super) fn read(shared: &Shared, query: &Query) -> Result<Page, StoreError> {
    shared.with_database(|database| guard(OPERATION, || page(database, shared, query)))
}

/// Finds the earliest stored event with this id on this thread.
pub(super) fn find_id(shared: &Shared, log: &Bytes, id: &Bytes) -> Result<Option<Position>, StoreError> {
    let find = |database: &Database| {
        let read = database.begin_read().map_err(redb_error(OPERATION))?;
        let Some(row) = row(&read, log)?.filter(|row| row.has_ids) else { return Ok(None) };
        let ids = read.open_table(IDS).map_err(redb_error(OPERATION))?;
        let range = (row.id, &**id, 0)..=(row.id, &**id, u64::MAX);
        let first = ids.range(range).map_err(redb_error(OPERATION))?.next();
        let first = first.transpose().map_err(redb_error(OPERATION))?;
        Ok(first.map(|(key, _)| Position::new(shared.epoch, key.value().2)))
    };
    shared.with_database(|database| guard(OPERATION, || find(database)))
}

fn row(read: &ReadTransaction, log: &Bytes) -> Result<Option<Row>, StoreError> {
    let rows = read.open_table(LOGS).map_err(redb_error(OPERATION))?;
    let Some(row) = rows.get(&**log).map_err(redb_error(OPERATION))? else { return Ok(None) };
    Row::decode(row.value(), number(read, RAISED)?).map(Some)
}

pub(super) fn number(read: &ReadTransaction, name: &str) -> Result<u64, StoreError> {
    let meta = read.open_table(META).map_err(redb_error(OPERATION))?;
    Ok(meta.get(name).map_err(redb_error(OPERATION))?.map_or(0, |value| value.value()))
}

fn page(database: &Database, shared: &Shared, query: &Query) -> Result<Page, StoreError> {
    let read = database.begin_read().map_err(redb_error(OPERATION))?;
    let Some(row) = row(&read, &query.log)? else {
        let end = number(&read, FLOOR)?;
        return PageBuilder::new(shared.epoch, end).build(query, []);
    };
    shared.mark_read(row.id);
    let builder = PageBuilder::new(shared.epoch, row.next.saturating_sub(1)).lost(&row.lost);
    let builder = builder.trimmed_to(trimmed_to(&read, &row, query)?);
    let after = match builder.start_after(query.start) {
        Ok(after) => after,
        Err(page) => return Ok(page),
    };
    let events = read.open_table(EVENTS).map_err(redb_error(OPERATION))?;
    let range = (row.id, after.saturating_add(1))..=(row.id, u64::MAX);
    let stored = events.range_owned(range).map_err(redb_error(OPERATION))?;
    let stored = stored.map(|entry| {
        let (key, record) = entry.map_err(redb_error(OPERATION))?;
        let seq = key.value().1;
        Ok(match Record::parse(record.value(), key.value(), &query.log) {
            Some(record) => Entry::Event(record.event(Position::new(shared.epoch, seq))),
            None => {
                shared.report_damaged_event(&query.log, seq);
                Entry::Corrupt(seq)
            }
        })
    });
    builder.build(query, stored)
}

/// Returns the largest number of a removed event that the query may match.
fn trimmed_to(read: &ReadTransaction, row: &Row, query: &Query) -> Result<u64, StoreError> {
    let filter = &query.filter;
    let removed = if !filter.has_label_rules() {
        row.trimmed_to
    } else if row.has_labels {
        trimmed_labels_to(read, row, filter)?
    } else if filter.accepts_label(&query.log) {
        row.trimmed_to
    } else {
        0
    };
    Ok(removed.max(row.start))
}

/// Returns the largest number of a removed event that has a label which the filter accepts.
fn trimmed_labels_to(read: &ReadTransaction, row: &Row, filter: &Filter) -> Result<u64, StoreError> {
    let labels = read.open_table(LABELS).map_err(redb_error(OPERATION))?;
    let mut highest = 0;
    for label in filter.exact_labels() {
        let known = labels.get((row.id, &**label)).map_err(redb_error(OPERATION))?;
        highest = highest.max(known.map_or(row.forgotten_to, |known| known.value()));
    }
    for prefix in filter.label_prefixes() {
        highest = highest.max(row.forgotten_to);
        let range = (row.id, &**prefix)..(row.id + 1, &[][..]);
        for label in labels.range(range).map_err(redb_error(OPERATION))? {
            let (key, trimmed_to) = label.map_err(redb_error(OPERATION))?;
            if !key.value().1.starts_with(prefix) {
                break;
            }
            highest = highest.max(trimmed_to.value());
        }
    }
    Ok(highest)
}
