//! Removal of the events that retention no longer keeps.

use std::collections::BTreeSet;

use redb::{ReadableTable, Table};

use super::{
    errors::redb_error,
    tables::Record,
    topics::{Topic, Topics},
};
use crate::replay::{Operation, Retention, StoreError, clock::expiry_ms};

/// Maximum number of events that one commit removes from a topic. Later commits remove the rest.
const MAX_REMOVED: usize = 4096;
/// Maximum number of topics that one commit trims when all topics together exceed their limit.
const TRIM_SCAN_TOPICS: usize = 64;
/// Maximum number of topics checked for expired events at a time.
const EXPIRY_SCAN_TOPICS: usize = 256;

type Events<'txn> = Table<'txn, (u32, u64), &'static [u8]>;

/// Predicate that returns `true` if an event is kept. Its arguments are the number of events from this one
/// on, their bytes, and the time of the event in milliseconds since 1970.
type IsKept<'a> = &'a dyn Fn(u64, u64, u64) -> bool;

/// Removes the events of a topic that retention no longer keeps, at most [`MAX_REMOVED`]. Returns `true` if
/// it removed any.
pub(super) fn trim_topic(
    events: &mut Events<'_>,
    topic: &mut Topic,
    retention: &Retention,
    now_ms: u64,
) -> Result<bool, StoreError> {
    let oldest_ms = expiry_ms(now_ms, retention.age);
    let is_kept = |left: u64, bytes: u64, ms: u64| {
        let is_over_limit = left > retention.events as u64 || bytes > retention.bytes as u64;
        ms >= oldest_ms && !(is_over_limit && left > 1)
    };
    // An oldest event whose time is not known counts as expired, if there is a maximum age.
    let ms = topic.oldest_ms.unwrap_or(if retention.age.is_some() { 0 } else { u64::MAX });
    if topic.events == 0 || is_kept(topic.events, topic.bytes, ms) {
        return Ok(false);
    }
    drop_oldest(events, topic, &is_kept)
}

/// Removes the oldest events of some topics in turn until all topics together are within their limit. Returns
/// the ids of the topics changed.
pub(super) fn trim_all(
    events: &mut Events<'_>,
    topics: &mut Topics,
    retention: &Retention,
) -> Result<Vec<u32>, StoreError> {
    let mut changed = Vec::new();
    for _ in 0..TRIM_SCAN_TOPICS {
        let excess = topics.total_bytes.saturating_sub(retention.total_bytes as u64);
        let Some(topic) = topics.next_in_round().filter(|_| excess > 0) else { break };
        let (before, floor) = (topic.bytes, (topic.bytes / 2).max(topic.bytes.saturating_sub(excess)));
        if drop_oldest(events, topic, &|left, bytes, _| bytes <= floor || left <= 1)? {
            changed.push(topic.id);
        }
        let gone = before - topic.bytes;
        topics.total_bytes -= gone;
    }
    Ok(changed)
}

/// Returns some topics whose oldest event may have expired. Successive calls go round all topics.
pub(super) fn expired_topics(topics: &mut Topics, retention: &Retention, now_ms: u64) -> BTreeSet<u32> {
    let Some(age) = retention.age else { return BTreeSet::new() };
    let oldest_ms = expiry_ms(now_ms, Some(age));
    let mut found = BTreeSet::new();
    for _ in 0..EXPIRY_SCAN_TOPICS.min(topics.len()) {
        let Some(topic) = topics.next_in_round() else { break };
        if topic.events > 0 && topic.oldest_ms.is_none_or(|ms| ms < oldest_ms) {
            found.insert(topic.id);
        }
    }
    found
}

/// Removes events from the oldest on until `is_kept` returns `true`, at most [`MAX_REMOVED`]. Returns `true`
/// if it removed any.
fn drop_oldest(events: &mut Events<'_>, topic: &mut Topic, is_kept: IsKept<'_>) -> Result<bool, StoreError> {
    const OPERATION: Operation = Operation::Trim;
    let range = (topic.id, 0)..=(topic.id, u64::MAX);
    let (mut left, mut bytes, mut last, mut oldest_ms) = (topic.events, topic.bytes, None, None);
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
    topic.oldest_ms = oldest_ms;
    let Some(last) = last else { return Ok(false) };
    events.retain_in((topic.id, 0)..=(topic.id, last), |_, _| false).map_err(redb_error(OPERATION))?;
    (topic.events, topic.bytes) = (left, bytes);
    Ok(true)
}
