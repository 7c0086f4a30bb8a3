//! The tables in the file, and the encoding of an event.

use bytes::Bytes;
use redb::TableDefinition;

use crate::replay::{
    EVENT_OVERHEAD_BYTES, ErrorKind, Event, Operation, Position, StoreError, clock::system_time,
};

/// Settings of the store by name: [`FORMAT`], [`EPOCH`], [`FLOOR`], [`NEXT_ID`].
pub(super) const META: TableDefinition<&str, u64> = TableDefinition::new("meta");
/// Key of the file format's version.
pub(super) const FORMAT: &str = "format";
/// Key of the store's epoch.
pub(super) const EPOCH: &str = "epoch";
/// Key of the largest number that an evicted log assigned. New logs start above it.
pub(super) const FLOOR: &str = "floor";
/// Key of the next new log's id.
pub(super) const NEXT_ID: &str = "next id";

/// File format that this version writes, and the only one it reads.
pub(super) const FORMAT_VERSION: u64 = 1;

/// Rows of logs by name.
pub(super) const LOGS: TableDefinition<&[u8], Row> = TableDefinition::new("topics");
/// Row of a log: id, next number, end of the lease, number of events, bytes of the events, time of the
/// newest event in milliseconds since 1970.
pub(super) type Row = (u32, u64, u64, u64, u64, u64);

/// Encoded events by log id and number.
pub(super) const EVENTS: TableDefinition<(u32, u64), &[u8]> = TableDefinition::new("events");

/// Length of an encoded event's header: flags (1), time in milliseconds (8), length of the name (2).
const HEADER_BYTES: usize = 11;
const HAS_NAME: u8 = 1;

/// Returns the length of an encoded event.
pub(super) fn encoded_bytes(name: Option<&Bytes>, data: &Bytes) -> usize {
    HEADER_BYTES + name.map_or(0, Bytes::len) + data.len()
}

/// Encodes an event into a buffer of length [`encoded_bytes`].
pub(super) fn encode(out: &mut [u8], time_ms: u64, name: Option<&Bytes>, data: &Bytes) {
    let name_bytes = name.map_or(&[][..], |name| name);
    let (header, rest) = out.split_at_mut(HEADER_BYTES);
    header[0] = if name.is_some() { HAS_NAME } else { 0 };
    header[1..9].copy_from_slice(&time_ms.to_le_bytes());
    // The store's limits keep names below 64 KiB.
    header[9..].copy_from_slice(&u16::try_from(name_bytes.len()).unwrap_or(u16::MAX).to_le_bytes());
    rest[..name_bytes.len()].copy_from_slice(name_bytes);
    rest[name_bytes.len()..].copy_from_slice(data);
}

/// Encoded event, borrowed from the database.
pub(super) struct Record<'a> {
    pub(super) time_ms: u64,
    name_bytes: Option<usize>,
    body: &'a [u8],
}

impl<'a> Record<'a> {
    /// Parses the header.
    ///
    /// # Errors
    ///
    /// The bytes are not an encoded event.
    pub(super) fn parse(record: &'a [u8]) -> Result<Self, StoreError> {
        let (header, body) = record.split_at_checked(HEADER_BYTES).ok_or_else(damaged)?;
        let time_ms = header[1..9].try_into().map(u64::from_le_bytes).map_err(|_| damaged())?;
        let name_bytes = usize::from(u16::from_le_bytes([header[9], header[10]]));
        let name_bytes = match header[0] {
            HAS_NAME if name_bytes <= body.len() => Some(name_bytes),
            0 if name_bytes == 0 => None,
            _ => return Err(damaged()),
        };
        Ok(Self { time_ms, name_bytes, body })
    }

    /// Returns the bytes that the event counts, like [`Event::size_bytes`].
    pub(super) fn size_bytes(&self) -> u64 {
        (self.body.len() + EVENT_OVERHEAD_BYTES) as u64
    }

    /// Copies the event out of the database. Name and data share one buffer.
    pub(super) fn event(&self, position: Position) -> Event {
        let mut body = Bytes::copy_from_slice(self.body);
        let name = self.name_bytes.map(|len| body.split_to(len));
        Event::new(position, name, body, system_time(self.time_ms))
    }
}

fn damaged() -> StoreError {
    StoreError::new(
        ErrorKind::Damaged,
        Operation::Read,
        "the file is damaged: it has an invalid event; move it away to begin a new history",
    )
}
