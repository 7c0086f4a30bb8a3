//! Removing what retention no longer keeps.

use std::collections::BTreeSet;

use redb::{ReadableTable, Table};

use super::{
    database::failed,
    tables::Record,
    topics::{Topic, Topics},
};
use crate::replay::{Operation, Retention, StoreError, clock::oldest_kept_ms};

/// Events that one commit removes from one topic at most; the rest goes with the next ones.
const MOST_AT_ONCE: usize = 4096;
/// Topics that one commit takes from because all together are too large.
const SWEEP_REACH: usize = 64;
/// Topics looked at in one round for events that have become too old.
const ROUND: usize = 256;

type Events<'txn> = Table<'txn, (u32, u64), &'static [u8]>;

/// Decides about an event: told how many are left with it, their bytes, and its time.
type IsKept<'a> = &'a dyn Fn(u64, u64, u64) -> bool;

/// Removes what the retention of a topic no longer keeps. Says whether anything went.
pub(super) fn trim(
    events: &mut Events<'_>,
    topic: &mut Topic,
    retention: &Retention,
    now_ms: u64,
) -> Result<bool, StoreError> {
    let oldest_ms = oldest_kept_ms(now_ms, retention.age);
    let is_kept = |left: u64, bytes: u64, ms: u64| {
        let many = left > retention.events as u64 || bytes > retention.bytes as u64;
        ms >= oldest_ms && !(many && left > 1)
    };
    // An oldest that nobody has looked at yet counts as too old only where there is an age.
    let ms = topic.oldest_ms.unwrap_or(if retention.age.is_some() { 0 } else { u64::MAX });
    if topic.events == 0 || is_kept(topic.events, topic.bytes, ms) {
        return Ok(false);
    }
    drop_oldest(events, topic, &is_kept)
}

/// Takes the oldest events of some topics in turn until all together are small enough. Returns the topics.
pub(super) fn sweep(
    events: &mut Events<'_>,
    topics: &mut Topics,
    retention: &Retention,
) -> Result<Vec<u32>, StoreError> {
    let mut touched = Vec::new();
    for _ in 0..SWEEP_REACH {
        let excess = topics.total_bytes.saturating_sub(retention.total_bytes as u64);
        let Some(topic) = topics.next_in_turn().filter(|_| excess > 0) else { break };
        let (before, floor) = (topic.bytes, (topic.bytes / 2).max(topic.bytes.saturating_sub(excess)));
        if drop_oldest(events, topic, &|left, bytes, _| bytes <= floor || left <= 1)? {
            touched.push(topic.id);
        }
        let gone = before - topic.bytes;
        topics.total_bytes -= gone;
    }
    Ok(touched)
}

/// Lists some topics whose oldest event may be too old, going round.
pub(super) fn aged(topics: &mut Topics, retention: &Retention, now_ms: u64) -> BTreeSet<u32> {
    let Some(age) = retention.age else { return BTreeSet::new() };
    let oldest_ms = oldest_kept_ms(now_ms, Some(age));
    let mut found = BTreeSet::new();
    for _ in 0..ROUND.min(topics.len()) {
        let Some(topic) = topics.next_in_turn() else { break };
        if topic.events > 0 && topic.oldest_ms.is_none_or(|ms| ms < oldest_ms) {
            found.insert(topic.id);
        }
    }
    found
}

/// Removes events from the oldest on until one is kept. Says whether anything went.
fn drop_oldest(events: &mut Events<'_>, topic: &mut Topic, is_kept: IsKept<'_>) -> Result<bool, StoreError> {
    const DOING: Operation = Operation::Trim;
    let range = (topic.id, 0)..=(topic.id, u64::MAX);
    let (mut left, mut bytes, mut last, mut oldest_ms) = (topic.events, topic.bytes, None, None);
    for (count, held) in events.range(range).map_err(failed(DOING))?.enumerate() {
        let (key, record) = held.map_err(failed(DOING))?;
        let record = Record::parse(record.value())?;
        oldest_ms = Some(record.time_ms);
        if count == MOST_AT_ONCE || is_kept(left, bytes, record.time_ms) {
            break;
        }
        (left, bytes) = (left.saturating_sub(1), bytes.saturating_sub(record.size_bytes()));
        last = Some(key.value().1);
        oldest_ms = None;
    }
    topic.oldest_ms = oldest_ms;
    let Some(last) = last else { return Ok(false) };
    events.retain_in((topic.id, 0)..=(topic.id, last), |_, _| false).map_err(failed(DOING))?;
    (topic.events, topic.bytes) = (left, bytes);
    Ok(true)
}
