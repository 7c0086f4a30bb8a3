//! The stored form of an event, with a checksum.
//!
//! ```text
//!  format 2 ─ flags ─ checksum ─ time ─ texts: labels, tags, key, id, name ─ data
//!      1        1        4        8      count (1), then length (2) and bytes each
//! ```
//!
//! Numbers are little-endian. Key, id and name are present if their flag is set, and have no count. The
//! checksum is the CRC-32 of the log's id, the event's number and everything but the checksum itself.

use bytes::Bytes;

use crate::replay::{Append, Attributes, EVENT_OVERHEAD_BYTES, Event, Labels, Position, clock::system_time};

/// First byte of a record.
const FORMAT: u8 = 2;
/// Position of the checksum.
const CHECKSUM: std::ops::Range<usize> = 2..6;
const HEADER_BYTES: usize = 14;
/// Length of a text's length.
const LENGTH_BYTES: usize = 2;

const HAS_KEY: u8 = 1;
const HAS_ID: u8 = 2;
const HAS_NAME: u8 = 4;
const IS_PRIVATE: u8 = 8;
/// The name of the log is the only label, which is not stored then.
const OWN_LABEL: u8 = 16;

/// Parts of an event to store.
pub(super) struct NewRecord<'a> {
    labels: &'a [Bytes],
    attributes: &'a Attributes,
    name: Option<&'a Bytes>,
    data: &'a Bytes,
    flags: u8,
}

impl<'a> NewRecord<'a> {
    pub(super) fn of_append(append: &'a Append) -> Self {
        let is_own = append.labels.len() == 1 && append.labels[0] == append.log;
        let labels = if is_own { &[] } else { append.labels.as_slice() };
        Self::new(is_own, labels, append.attributes(), append.name.as_ref(), &append.data)
    }

    /// Creates a record of an event whose only label is the name of its log.
    pub(super) fn with_own_label(
        attributes: &'a Attributes,
        name: Option<&'a Bytes>,
        data: &'a Bytes,
    ) -> Self {
        Self::new(true, &[], attributes, name, data)
    }

    fn new(
        is_own: bool,
        labels: &'a [Bytes],
        attributes: &'a Attributes,
        name: Option<&'a Bytes>,
        data: &'a Bytes,
    ) -> Self {
        let flag = |is_set, flag| if is_set { flag } else { 0 };
        let flags = flag(attributes.key.is_some(), HAS_KEY)
            | flag(attributes.id.is_some(), HAS_ID)
            | flag(name.is_some(), HAS_NAME)
            | flag(attributes.private, IS_PRIVATE)
            | flag(is_own, OWN_LABEL);
        Self { labels, attributes, name, data, flags }
    }

    /// Returns the texts that have no count, in order.
    fn single_texts(&self) -> impl Iterator<Item = &Bytes> {
        [self.attributes.key.as_ref(), self.attributes.id.as_ref(), self.name].into_iter().flatten()
    }

    /// Returns the length of the record.
    pub(super) fn encoded_bytes(&self) -> usize {
        let texts = self.labels.iter().chain(self.attributes.tags.iter()).chain(self.single_texts());
        let texts: usize = texts.map(|text| LENGTH_BYTES + text.len()).sum();
        HEADER_BYTES + 2 + texts + self.data.len()
    }

    /// Encodes the record into a buffer of length [`encoded_bytes`](Self::encoded_bytes).
    pub(super) fn encode(&self, out: &mut [u8], key: (u64, u64), time_ms: u64) {
        (out[0], out[1]) = (FORMAT, self.flags);
        out[CHECKSUM.end..HEADER_BYTES].copy_from_slice(&time_ms.to_le_bytes());
        let mut rest = &mut out[HEADER_BYTES..];
        for list in [self.labels, &self.attributes.tags] {
            // The store's limits keep the counts below 256.
            put(&mut rest, &[u8::try_from(list.len()).unwrap_or(u8::MAX)]);
            list.iter().for_each(|text| put_text(&mut rest, text));
        }
        self.single_texts().for_each(|text| put_text(&mut rest, text));
        put(&mut rest, self.data);
        let checksum = checksum(out, key);
        out[CHECKSUM].copy_from_slice(&checksum.to_le_bytes());
    }
}

fn put(rest: &mut &mut [u8], bytes: &[u8]) {
    let (head, tail) = std::mem::take(rest).split_at_mut(bytes.len());
    head.copy_from_slice(bytes);
    *rest = tail;
}

fn put_text(rest: &mut &mut [u8], text: &Bytes) {
    // The store's limits keep texts below 64 KiB.
    put(rest, &u16::try_from(text.len()).unwrap_or(u16::MAX).to_le_bytes());
    put(rest, text);
}

fn checksum(record: &[u8], (log, seq): (u64, u64)) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&log.to_le_bytes());
    hasher.update(&seq.to_le_bytes());
    hasher.update(&record[..CHECKSUM.start]);
    hasher.update(&record[CHECKSUM.end..]);
    hasher.finalize()
}

/// Stored event, read from the database.
pub(super) struct Record {
    pub(super) time_ms: u64,
    pub(super) labels: Labels,
    pub(super) attributes: Attributes,
    name: Option<Bytes>,
    data: Bytes,
}

impl Record {
    /// Copies the event out of the database. All its parts share one buffer. Returns `None` if the record is
    /// damaged.
    pub(super) fn parse(record: &[u8], key: (u64, u64), log: &Bytes) -> Option<Self> {
        let stored = record.get(CHECKSUM)?.try_into().map(u32::from_le_bytes).ok()?;
        if record.len() < HEADER_BYTES || record[0] != FORMAT || stored != checksum(record, key) {
            return None;
        }
        let flags = record[1];
        let time_ms = record[CHECKSUM.end..HEADER_BYTES].try_into().map(u64::from_le_bytes).ok()?;
        let mut rest = Bytes::copy_from_slice(&record[HEADER_BYTES..]);
        let labels = take_list(&mut rest)?;
        let tags = take_list(&mut rest)?;
        let mut single = |flag| match flags & flag {
            0 => Some(None),
            _ => take_text(&mut rest).map(Some),
        };
        let (key, id, name) = (single(HAS_KEY)?, single(HAS_ID)?, single(HAS_NAME)?);
        let labels = if flags & OWN_LABEL == 0 { labels } else { log.clone().into() };
        let attributes = Attributes { tags, key, id, private: flags & IS_PRIVATE != 0 };
        Some(Self { time_ms, labels, attributes, name, data: rest })
    }

    /// Returns the time and the counted bytes of a record that has no tags and, as its only label, the name
    /// of its log. Returns `None` for another one, or if the record is too short. It ignores the checksum.
    pub(super) fn measure(record: &[u8]) -> Option<(u64, u64)> {
        let flags = *record.get(1)?;
        let lists = record.get(HEADER_BYTES..HEADER_BYTES + 2)?;
        if flags & OWN_LABEL == 0 || lists != [0, 0] {
            return None;
        }
        let time_ms = record[CHECKSUM.end..HEADER_BYTES].try_into().map(u64::from_le_bytes).ok()?;
        let texts = (flags & (HAS_KEY | HAS_ID | HAS_NAME)).count_ones() as usize;
        let lengths = HEADER_BYTES + 2 + LENGTH_BYTES * texts;
        Some((time_ms, (record.len().saturating_sub(lengths) + EVENT_OVERHEAD_BYTES) as u64))
    }

    /// Returns the bytes that the event counts, like [`Event::size_bytes`].
    pub(super) fn size_bytes(&self) -> u64 {
        let name = self.name.as_ref();
        crate::replay::event::size_bytes(name, &self.data, &self.labels, Some(&self.attributes)) as u64
    }

    pub(super) fn event(self, position: Position) -> Event {
        let event = Event::new(position, self.name, self.data, system_time(self.time_ms));
        event.with_labels(self.labels).with_attributes(self.attributes)
    }
}

/// Returns the bytes that a damaged record counts.
pub(super) fn damaged_size_bytes(record: &[u8]) -> u64 {
    (record.len().saturating_sub(HEADER_BYTES + 2) + EVENT_OVERHEAD_BYTES) as u64
}

fn take_text(rest: &mut Bytes) -> Option<Bytes> {
    let len = rest.get(..LENGTH_BYTES)?.try_into().map(u16::from_le_bytes).ok()?;
    let end = LENGTH_BYTES + usize::from(len);
    if rest.len() < end {
        return None;
    }
    Some(rest.split_to(end).split_off(LENGTH_BYTES))
}

fn take_list(rest: &mut Bytes) -> Option<Labels> {
    if rest.is_empty() {
        return None;
    }
    let count = rest.split_to(1)[0];
    if count == 0 {
        return Some(Labels::new());
    }
    (0..count).map(|_| take_text(rest)).collect::<Option<Vec<_>>>().map(Labels::from_iter)
}
