//! Reading pages, beside the writer, from snapshots.

use redb::{Database, ReadableDatabase};

use super::{
    database::{broken, failed},
    queue::Taken,
    store::Shared,
    tables::{EVENTS, FLOOR, META, Record, TOPICS},
};
use crate::replay::{
    Completion, Epoch, Extent, Operation, Page, Position, Query, StoreError,
    contain::{complete, contain},
};

/// A page that somebody waits for.
pub(super) struct Read(pub(super) Query, pub(super) Completion<Page>);

/// Reads pages until the queue is closed and empty.
pub(super) fn run(shared: &Shared) {
    let mut reads = Vec::new();
    while shared.reads.take(&mut reads, 1, usize::MAX, None) != Taken::Closed {
        for Read(query, done) in reads.drain(..) {
            complete(done, read(shared, &query));
        }
    }
}

/// Reads a page on this thread.
pub(super) fn read(shared: &Shared, query: &Query) -> Result<Page, StoreError> {
    shared.with_database(|database| {
        let read = contain(|| page(database, shared.epoch, query));
        read.unwrap_or_else(|panic| Err(broken(Operation::Read, &panic)))
    })
}

fn page(database: &Database, epoch: Epoch, query: &Query) -> Result<Page, StoreError> {
    const DOING: Operation = Operation::Read;
    let read = database.begin_read().map_err(failed(DOING))?;
    let rows = read.open_table(TOPICS).map_err(failed(DOING))?;
    let Some(row) = rows.get_owned(&*query.topic).map_err(failed(DOING))?.map(|row| row.value()) else {
        let meta = read.open_table(META).map_err(failed(DOING))?;
        let end = meta.get_owned(FLOOR).map_err(failed(DOING))?.map_or(0, |floor| floor.value());
        return Extent { epoch, end }.page(query.start, query.window, []);
    };
    let (id, next, ..) = row;
    let extent = Extent { epoch, end: next.saturating_sub(1) };
    let after = match extent.after(query.start) {
        Ok(after) => after,
        Err(page) => return Ok(page),
    };
    let events = read.open_table(EVENTS).map_err(failed(DOING))?;
    let range = (id, after.saturating_add(1))..=(id, u64::MAX);
    let held = events.range_owned(range).map_err(failed(DOING))?;
    let held = held.map(|entry| {
        let (key, record) = entry.map_err(failed(DOING))?;
        let (_, seq) = key.value();
        Ok(Record::parse(record.value())?.event(Position::new(epoch, seq)))
    });
    extent.page(query.start, query.window, held)
}
