//! Removal of the events that retention no longer keeps.

use std::collections::BTreeSet;

use redb::{ReadableTable, Table};

use super::{
    errors::redb_error,
    logs::{Log, Logs},
    tables::Record,
};
use crate::replay::{Operation, Retention, StoreError, clock::expiry_ms};

/// Maximum number of events that one commit removes from a log. Later commits remove the rest.
const MAX_REMOVED: usize = 4096;
/// Maximum number of logs that one commit trims when all logs together exceed their limit.
const TRIM_SCAN_LOGS: usize = 64;
/// Maximum number of logs checked for expired events at a time.
const EXPIRY_SCAN_LOGS: usize = 256;

type Events<'txn> = Table<'txn, (u32, u64), &'static [u8]>;

/// Predicate that returns `true` if an event is kept. Its arguments are the number of events from this one
/// on, their bytes, and the time of the event in milliseconds since 1970.
type IsKept<'a> = &'a dyn Fn(u64, u64, u64) -> bool;

/// Removes the events of a log that retention no longer keeps, at most [`MAX_REMOVED`]. Returns `true` if
/// it removed any.
pub(super) fn trim_log(
    events: &mut Events<'_>,
    log: &mut Log,
    retention: &Retention,
    now_ms: u64,
) -> Result<bool, StoreError> {
    let oldest_ms = expiry_ms(now_ms, retention.age);
    let is_kept = |left: u64, bytes: u64, ms: u64| {
        let is_over_limit = left > retention.events as u64 || bytes > retention.bytes as u64;
        ms >= oldest_ms && !(is_over_limit && left > 1)
    };
    // An oldest event whose time is not known counts as expired, if there is a maximum age.
    let ms = log.oldest_ms.unwrap_or(if retention.age.is_some() { 0 } else { u64::MAX });
    if log.events == 0 || is_kept(log.events, log.bytes, ms) {
        return Ok(false);
    }
    drop_oldest(events, log, &is_kept)
}

/// Removes the oldest events of some logs in turn until all logs together are within their limit. Returns
/// the ids of the logs changed.
pub(super) fn trim_all(
    events: &mut Events<'_>,
    logs: &mut Logs,
    retention: &Retention,
) -> Result<Vec<u32>, StoreError> {
    let mut changed = Vec::new();
    for _ in 0..TRIM_SCAN_LOGS {
        let excess = logs.total_bytes.saturating_sub(retention.total_bytes as u64);
        let Some(log) = logs.next_in_round().filter(|_| excess > 0) else { break };
        let (before, floor) = (log.bytes, (log.bytes / 2).max(log.bytes.saturating_sub(excess)));
        if drop_oldest(events, log, &|left, bytes, _| bytes <= floor || left <= 1)? {
            changed.push(log.id);
        }
        let gone = before - log.bytes;
        logs.total_bytes -= gone;
    }
    Ok(changed)
}

/// Returns some logs whose oldest event may have expired. Successive calls go round all logs.
pub(super) fn expired_logs(logs: &mut Logs, retention: &Retention, now_ms: u64) -> BTreeSet<u32> {
    let Some(age) = retention.age else { return BTreeSet::new() };
    let oldest_ms = expiry_ms(now_ms, Some(age));
    let mut found = BTreeSet::new();
    for _ in 0..EXPIRY_SCAN_LOGS.min(logs.len()) {
        let Some(log) = logs.next_in_round() else { break };
        if log.events > 0 && log.oldest_ms.is_none_or(|ms| ms < oldest_ms) {
            found.insert(log.id);
        }
    }
    found
}

/// Removes events from the oldest on until `is_kept` returns `true`, at most [`MAX_REMOVED`]. Returns `true`
/// if it removed any.
fn drop_oldest(events: &mut Events<'_>, log: &mut Log, is_kept: IsKept<'_>) -> Result<bool, StoreError> {
    const OPERATION: Operation = Operation::Trim;
    let range = (log.id, 0)..=(log.id, u64::MAX);
    let (mut left, mut bytes, mut last, mut oldest_ms) = (log.events, log.bytes, None, None);
    for (count, entry) in events.range(range).map_err(redb_error(OPERATION))?.enumerate() {
        let (key, record) = entry.map_err(redb_error(OPERATION))?;
        let record = Record::parse(record.value())?;
        oldest_ms = Some(record.time_ms);
        if count == MAX_REMOVED || is_kept(left, bytes, record.time_ms) {
            break;
        }
        (left, bytes) = (left.saturating_sub(1), bytes.saturating_sub(record.size_bytes()));
        last = Some(key.value().1);
        oldest_ms = None;
    }
    log.oldest_ms = oldest_ms;
    let Some(last) = last else { return Ok(false) };
    events.retain_in((log.id, 0)..=(log.id, last), |_, _| false).map_err(redb_error(OPERATION))?;
    (log.events, log.bytes) = (left, bytes);
    Ok(true)
}
