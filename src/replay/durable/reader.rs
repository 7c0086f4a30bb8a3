//! Reader threads: they read pages from snapshots, concurrently with the writer.

use redb::{Database, ReadableDatabase};

use super::{
    errors::{guard, redb_error},
    queue::TakeResult,
    shared::{ReadRequest, Shared},
    tables::{EVENTS, FLOOR, LOGS, META, Record},
};
use crate::replay::{Epoch, Operation, Page, PageBuilder, Position, Query, StoreError, completion::complete};

/// Serves reads until the queue is closed and empty.
pub(super) fn run(shared: &Shared) {
    let mut reads = Vec::new();
    while shared.reads.take(&mut reads, 1, usize::MAX, None) != TakeResult::Closed {
        for ReadRequest(query, done) in reads.drain(..) {
            complete(done, read(shared, &query));
        }
    }
}

/// Reads a page on this thread.
pub(super) fn read(shared: &Shared, query: &Query) -> Result<Page, StoreError> {
    shared.with_database(|database| guard(Operation::Read, || page(database, shared.epoch, query)))
}

fn page(database: &Database, epoch: Epoch, query: &Query) -> Result<Page, StoreError> {
    const OPERATION: Operation = Operation::Read;
    let read = database.begin_read().map_err(redb_error(OPERATION))?;
    let rows = read.open_table(LOGS).map_err(redb_error(OPERATION))?;
    let row = rows.get_owned(&*query.log).map_err(redb_error(OPERATION))?;
    let Some((id, next, ..)) = row.map(|row| row.value()) else {
        let meta = read.open_table(META).map_err(redb_error(OPERATION))?;
        let end = meta.get_owned(FLOOR).map_err(redb_error(OPERATION))?.map_or(0, |floor| floor.value());
        return PageBuilder::new(epoch, end).build(query, []);
    };
    let builder = PageBuilder::new(epoch, next.saturating_sub(1));
    let after = match builder.start_after(query.start) {
        Ok(after) => after,
        Err(page) => return Ok(page),
    };
    let events = read.open_table(EVENTS).map_err(redb_error(OPERATION))?;
    let range = (id, after.saturating_add(1))..=(id, u64::MAX);
    let stored = events.range_owned(range).map_err(redb_error(OPERATION))?;
    let stored = stored.map(|entry| {
        let (key, record) = entry.map_err(redb_error(OPERATION))?;
        let (_, seq) = key.value();
        let mut event = Record::parse(record.value())?.event(Position::new(epoch, seq));
        event.labels = query.log.clone().into();
        Ok(event.into())
    });
    builder.build(query, stored)
}
