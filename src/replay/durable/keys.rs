//! Idempotency keys in the file.

use redb::{ReadableTable, WriteTransaction};

use super::{
    errors::redb_error,
    logs::Log,
    tables::{KEY_ORDER, KEYS},
};
use crate::replay::{Append, ErrorKind, Operation, StoreError, clock::expiry_ms, fingerprint::fingerprint};

const OPERATION: Operation = Operation::Append;

/// Returns the number of the first event with the key of this one, if the log knows the key.
///
/// # Errors
///
/// [`ErrorKind::KeyReused`], or the file cannot be read.
pub(super) fn find_repeat(
    txn: &WriteTransaction,
    log: &Log,
    append: &Append,
    now_ms: u64,
) -> Result<Option<u64>, StoreError> {
    let Some(key) = append.attributes().key.as_ref().filter(|_| log.row.keys > 0) else { return Ok(None) };
    let keys = txn.open_table(KEYS).map_err(redb_error(OPERATION))?;
    let first = keys.get((log.row.id, &**key)).map_err(redb_error(OPERATION))?;
    let oldest_ms = expiry_ms(now_ms, Some(log.retention.key_age));
    match first.map(|first| first.value()) {
        Some((_, _, ms)) if ms < oldest_ms => Ok(None),
        Some((seq, known, _)) if known == fingerprint(append) => Ok(Some(seq)),
        Some(_) => {
            let message = "the idempotency key belongs to an event with other content";
            Err(StoreError::new(ErrorKind::KeyReused, OPERATION, message))
        }
        None => Ok(None),
    }
}

/// Adds the key of a new event. Removes the oldest keys above the limit, and those that have expired, at most
/// two.
pub(super) fn add(
    txn: &WriteTransaction,
    log: &mut Log,
    append: &Append,
    seq: u64,
    now_ms: u64,
) -> Result<(), StoreError> {
    let Some(key) = append.attributes().key.as_ref().filter(|_| log.retention.keys > 0) else {
        return Ok(());
    };
    let mut keys = txn.open_table(KEYS).map_err(redb_error(OPERATION))?;
    let mut order = txn.open_table(KEY_ORDER).map_err(redb_error(OPERATION))?;
    let id = log.row.id;
    let first = (seq, fingerprint(append), now_ms);
    let expired = keys.insert((id, &**key), first).map_err(redb_error(OPERATION))?;
    match expired.map(|expired| expired.value()) {
        Some((seq, ..)) => drop(order.remove((id, seq)).map_err(redb_error(OPERATION))?),
        None => log.row.keys += 1,
    }
    order.insert((id, seq), &**key).map_err(redb_error(OPERATION))?;
    let oldest_ms = expiry_ms(now_ms, Some(log.retention.key_age));
    // Two, so that expired keys do not stay when as many are added.
    for _ in 0..2 {
        let oldest = order.range((id, 0)..=(id, u64::MAX)).map_err(redb_error(OPERATION))?.next();
        let oldest = oldest.transpose().map_err(redb_error(OPERATION))?;
        let oldest = oldest.map(|(place, key)| (place.value().1, key.value().to_vec()));
        let Some((seq, oldest)) = oldest else { break };
        let first = keys.get((id, &*oldest)).map_err(redb_error(OPERATION))?.map(|first| first.value());
        let is_expired = first.is_none_or(|(_, _, ms)| ms < oldest_ms);
        if !is_expired && log.row.keys <= log.retention.keys as u64 {
            break;
        }
        keys.remove((id, &*oldest)).map_err(redb_error(OPERATION))?;
        order.remove((id, seq)).map_err(redb_error(OPERATION))?;
        log.row.keys -= 1;
    }
    Ok(())
}
