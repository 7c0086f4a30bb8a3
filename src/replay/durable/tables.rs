//! What is in the file: three tables, and how an event is written.

use bytes::Bytes;
use redb::TableDefinition;

use crate::replay::{
    EVENT_OVERHEAD_BYTES, ErrorKind, Event, Operation, Position, StoreError, clock::time_of,
};

/// Numbers by name: [`FORMAT`], [`EPOCH`], [`FLOOR`], [`NEXT_ID`].
pub(super) const META: TableDefinition<&str, u64> = TableDefinition::new("meta");
/// Which form of tables this is.
pub(super) const FORMAT: &str = "format";
/// The store's epoch.
pub(super) const EPOCH: &str = "epoch";
/// The largest number a forgotten topic gave out. New topics begin above it.
pub(super) const FLOOR: &str = "floor";
/// The number the next new topic gets.
pub(super) const NEXT_ID: &str = "next id";

/// The form written here, and the only one read.
pub(super) const FORMAT_HERE: u64 = 1;

/// Topics by name.
pub(super) const TOPICS: TableDefinition<&[u8], Row> = TableDefinition::new("topics");
/// A topic: its id, the next number, the number up to which they are leased, events held, their bytes, the newest's time.
pub(super) type Row = (u32, u64, u64, u64, u64, u64);

/// Events by topic and number.
pub(super) const EVENTS: TableDefinition<(u32, u64), &[u8]> = TableDefinition::new("events");

/// Flags (1), time in milliseconds (8), length of the name (2).
const HEAD_BYTES: usize = 11;
const HAS_NAME: u8 = 1;

/// Returns how long an event is when written.
pub(super) fn encoded_bytes(name: Option<&Bytes>, data: &Bytes) -> usize {
    HEAD_BYTES + name.map_or(0, Bytes::len) + data.len()
}

/// Writes an event into a place of [`encoded_bytes`].
pub(super) fn encode(out: &mut [u8], time_ms: u64, name: Option<&Bytes>, data: &Bytes) {
    let text = name.map_or(&[][..], |name| name);
    let (head, rest) = out.split_at_mut(HEAD_BYTES);
    head[0] = if name.is_some() { HAS_NAME } else { 0 };
    head[1..9].copy_from_slice(&time_ms.to_le_bytes());
    // The limits keep names below 64 KiB.
    head[9..].copy_from_slice(&u16::try_from(text.len()).unwrap_or(u16::MAX).to_le_bytes());
    rest[..text.len()].copy_from_slice(text);
    rest[text.len()..].copy_from_slice(data);
}

/// An event as it is written, not yet copied.
pub(super) struct Record<'a> {
    pub(super) time_ms: u64,
    name_bytes: Option<usize>,
    body: &'a [u8],
}

impl<'a> Record<'a> {
    /// Reads what is before the name and the data.
    pub(super) fn parse(record: &'a [u8]) -> Result<Self, StoreError> {
        let (head, body) = record.split_at_checked(HEAD_BYTES).ok_or_else(damaged)?;
        let time_ms = head[1..9].try_into().map(u64::from_le_bytes).map_err(|_| damaged())?;
        let name_bytes = usize::from(u16::from_le_bytes([head[9], head[10]]));
        let name_bytes = match head[0] {
            HAS_NAME if name_bytes <= body.len() => Some(name_bytes),
            0 if name_bytes == 0 => None,
            _ => return Err(damaged()),
        };
        Ok(Self { time_ms, name_bytes, body })
    }

    /// Returns what the event counts, as [`Event::size_bytes`] does.
    pub(super) fn size_bytes(&self) -> u64 {
        (self.body.len() + EVENT_OVERHEAD_BYTES) as u64
    }

    /// Copies the event out, name and data in one piece.
    pub(super) fn event(&self, position: Position) -> Event {
        let mut body = Bytes::copy_from_slice(self.body);
        let name = self.name_bytes.map(|len| body.split_to(len));
        Event::new(position, name, body, time_of(self.time_ms))
    }
}

fn damaged() -> StoreError {
    StoreError::new(ErrorKind::Damaged, Operation::Read, "an event in the file is not one")
}
