//! The tables in the file, and the row of a log.

use redb::{TableDefinition, WriteTransaction};

use super::errors::redb_error;
use crate::replay::{ErrorKind, Operation, StoreError};

/// Settings of the store by name: [`FORMAT`], [`EPOCH`] and others.
pub(super) const META: TableDefinition<&str, u64> = TableDefinition::new("meta");
/// Key of the file format's version.
pub(super) const FORMAT: &str = "format";
/// Key of the store's epoch.
pub(super) const EPOCH: &str = "epoch";
/// Key of the largest number that a forgotten log assigned. New logs start above it.
pub(super) const FLOOR: &str = "floor";
/// Key of the next new log's id.
pub(super) const NEXT_ID: &str = "next id";
/// Key of the largest number that any log had assigned when the topics were grouped anew. Every log continues
/// above it.
pub(super) const RAISED: &str = "raised";
/// Key of the fingerprint of the grouping of topics into logs.
pub(super) const GROUPING: &str = "grouping";

/// File format that this version writes.
pub(super) const FORMAT_VERSION: u64 = 2;

/// Encoded [`Row`]s of logs by name.
pub(super) const LOGS: TableDefinition<&[u8], &[u8]> = TableDefinition::new("logs");
/// Encoded events by log id and number.
pub(super) const EVENTS: TableDefinition<EventKey, &[u8]> = TableDefinition::new("records");
/// Largest number of a removed event, by log id and label.
pub(super) const LABELS: TableDefinition<(u64, &[u8]), u64> = TableDefinition::new("labels");
/// First uses of idempotency keys, by log id and key: number of the event, its fingerprint, and the time in
/// milliseconds since 1970.
pub(super) const KEYS: TableDefinition<(u64, &[u8]), (u64, u64, u64)> = TableDefinition::new("keys");
/// Idempotency keys by log id and number of the event.
pub(super) const KEY_ORDER: TableDefinition<EventKey, &[u8]> = TableDefinition::new("key order");
/// Ids that publishers chose: log id, id, number of the event.
pub(super) const IDS: TableDefinition<(u64, &[u8], u64), ()> = TableDefinition::new("ids");
/// Ids of forgotten logs whose events are still in the file.
pub(super) const GARBAGE: TableDefinition<u64, ()> = TableDefinition::new("garbage");

/// Creates the tables of format 2 that are missing.
pub(super) fn create_new_tables(txn: &WriteTransaction) -> Result<(), StoreError> {
    txn.open_table(LOGS).map_err(redb_error(Operation::Open))?;
    txn.open_table(EVENTS).map_err(redb_error(Operation::Open))?;
    txn.open_table(LABELS).map_err(redb_error(Operation::Open))?;
    txn.open_table(KEYS).map_err(redb_error(Operation::Open))?;
    txn.open_table(KEY_ORDER).map_err(redb_error(Operation::Open))?;
    txn.open_table(IDS).map_err(redb_error(Operation::Open))?;
    txn.open_table(GARBAGE).map_err(redb_error(Operation::Open))?;
    Ok(())
}

/// Id of a log and number of an event.
pub(super) type EventKey = (u64, u64);

/// Stored state of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) id: u64,
    /// Number after which the log was created.
    pub(super) start: u64,
    /// Number of the next event.
    pub(super) next: u64,
    /// End of the lease: numbers below it may have been acknowledged without a sync. There is no lease unless
    /// it is above `next`.
    pub(super) lease_end: u64,
    /// Number of events, and their bytes.
    pub(super) events: u64,
    pub(super) bytes: u64,
    /// Number of those that are spared: kept for a label although they are not recent.
    pub(super) spared_events: u64,
    pub(super) spared_bytes: u64,
    /// Number up to which all stored events are spared.
    pub(super) spared_to: u64,
    /// Largest number of a removed event.
    pub(super) trimmed_to: u64,
    /// Largest number of a removed event of a label that is not in [`LABELS`].
    pub(super) forgotten_to: u64,
    /// Time of the newest event in milliseconds since 1970.
    pub(super) newest_ms: u64,
    /// Number of idempotency keys.
    pub(super) keys: u64,
    /// `true` if an event had other labels than the log's name.
    pub(super) has_labels: bool,
    /// `true` if an event had an id.
    pub(super) has_ids: bool,
    /// Ranges of numbers lost in crashes, both ends included, in order.
    pub(super) lost: Vec<(u64, u64)>,
}

/// Maximum number of lost ranges of a log. Above it, the two oldest become one.
const MAX_LOST: usize = 16;
const NUMBERS: usize = 13;
const HAS_LABELS: u8 = 1;
const HAS_IDS: u8 = 2;

impl Row {
    /// Skips numbers up to and including `last`, which are lost.
    pub(super) fn skip_to(&mut self, last: u64) {
        if last < self.next {
            return;
        }
        match self.lost.last_mut() {
            Some((_, to)) if *to + 1 == self.next => *to = last,
            _ => self.lost.push((self.next, last)),
        }
        if self.lost.len() > MAX_LOST {
            let (from, _) = self.lost.remove(0);
            self.lost[0].0 = from;
        }
        self.next = last + 1;
    }

    fn numbers(&mut self) -> [&mut u64; NUMBERS] {
        [
            &mut self.id,
            &mut self.start,
            &mut self.next,
            &mut self.lease_end,
            &mut self.events,
            &mut self.bytes,
            &mut self.spared_events,
            &mut self.spared_bytes,
            &mut self.spared_to,
            &mut self.trimmed_to,
            &mut self.forgotten_to,
            &mut self.newest_ms,
            &mut self.keys,
        ]
    }

    /// Encodes the row: flags, numbers, lost ranges, and the CRC-32 of all that.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut row = self.clone();
        let flags = if row.has_labels { HAS_LABELS } else { 0 } | if row.has_ids { HAS_IDS } else { 0 };
        let mut out = Vec::with_capacity(1 + 8 * NUMBERS + 16 * row.lost.len() + 4);
        out.push(flags);
        row.numbers().iter().for_each(|number| out.extend_from_slice(&number.to_le_bytes()));
        for (from, to) in &self.lost {
            out.extend_from_slice(&from.to_le_bytes());
            out.extend_from_slice(&to.to_le_bytes());
        }
        out.extend_from_slice(&crc32fast::hash(&out).to_le_bytes());
        out
    }

    /// Decodes a row. All numbers up to `raised` count as assigned.
    ///
    /// # Errors
    ///
    /// The row is damaged.
    pub(super) fn decode(encoded: &[u8], raised: u64) -> Result<Self, StoreError> {
        let row = Self::parse(encoded).filter(|row| row.next > 0 && row.events < row.next);
        let mut row = row.ok_or_else(|| {
            let message = "the file is damaged: it has an invalid log; move it away to begin a new history";
            StoreError::new(ErrorKind::Damaged, Operation::Open, message)
        })?;
        row.skip_to(raised);
        Ok(row)
    }

    fn parse(encoded: &[u8]) -> Option<Self> {
        let (body, checksum) = encoded.split_last_chunk::<4>()?;
        if crc32fast::hash(body) != u32::from_le_bytes(*checksum) {
            return None;
        }
        let (flags, body) = body.split_first()?;
        let (numbers, rest) = body.as_chunks::<8>();
        let mut numbers = numbers.iter().map(|number| u64::from_le_bytes(*number));
        let mut row = Self::default();
        for field in row.numbers() {
            *field = numbers.next()?;
        }
        while let Some(from) = numbers.next() {
            row.lost.push((from, numbers.next()?));
        }
        (row.has_labels, row.has_ids) = (flags & HAS_LABELS != 0, flags & HAS_IDS != 0);
        rest.is_empty().then_some(row)
    }
}
