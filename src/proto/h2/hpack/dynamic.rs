//! The dynamic table (RFC 7541 §2.3.2): a queue of entries over one buffer of bytes.
//!
//! Bytes of new entries are appended to the buffer, those of evicted ones are dead at its front. Once more of it is
//! dead than alive the living move to the front: each byte moves once for each byte that died, so the cost of an
//! entry is constant on average, and the buffer has at most twice the bytes of the table.

use std::collections::VecDeque;

use super::{ENTRY_OVERHEAD_BYTES, Name};

/// Dead bytes in front that are not worth a move.
const DEAD_BYTES_MIN: usize = 512;

/// A field in the table, with what is known of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field<'a> {
    /// The name, and the value directly behind it.
    pub(super) bytes: &'a [u8],
    pub(super) name_len: usize,
    pub(super) kind: Name,
    /// The value is one that a field may have.
    pub(super) is_valid: bool,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    /// Offset of the name from the first byte that was ever in the buffer; wraps.
    start: u32,
    name_len: u16,
    value_len: u16,
    kind: Name,
    is_valid: bool,
}

impl Entry {
    fn len(self) -> usize {
        usize::from(self.name_len) + usize::from(self.value_len)
    }
}

/// The fields that a peer's encoder may refer to.
#[derive(Debug)]
pub(super) struct Table {
    /// Oldest first.
    entries: VecDeque<Entry>,
    bytes: Vec<u8>,
    /// What `start` of an entry at the front of `bytes` is.
    base: u32,
    /// Size by RFC 7541 §4.1.
    size: usize,
    /// Most size that the encoder has chosen.
    capacity: usize,
}

impl Table {
    pub(super) fn new(capacity: usize) -> Self {
        Self { entries: VecDeque::new(), bytes: Vec::new(), base: 0, size: 0, capacity }
    }

    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Changes the most size; entries that no longer fit are evicted.
    pub(super) fn set_capacity(&mut self, capacity: usize) {
        self.capacity = capacity;
        self.evict_to(capacity);
    }

    /// Returns the field of an index; the newest has 0.
    pub(super) fn get(&self, index: usize) -> Option<Field<'_>> {
        let place = self.entries.len().checked_sub(index.checked_add(1)?)?;
        let entry = *self.entries.get(place)?;
        let start = entry.start.wrapping_sub(self.base) as usize;
        let bytes = self.bytes.get(start..start + entry.len())?;
        let Entry { name_len, kind, is_valid, .. } = entry;
        Some(Field { bytes, name_len: usize::from(name_len), kind, is_valid })
    }

    /// Adds a field. One that is larger than the table leaves it empty (RFC 7541 §4.4).
    pub(super) fn insert(&mut self, name: &[u8], value: &[u8], kind: Name, is_valid: bool) {
        let size = name.len() + value.len() + ENTRY_OVERHEAD_BYTES;
        if size > self.capacity {
            return self.evict_to(0);
        }
        self.evict_to(self.capacity - size);
        let start = self.base.wrapping_add(self.bytes.len() as u32);
        self.bytes.extend_from_slice(name);
        self.bytes.extend_from_slice(value);
        // The limit of a table is far below what 16 bits count.
        let (name_len, value_len) = (name.len() as u16, value.len() as u16);
        self.entries.push_back(Entry { start, name_len, value_len, kind, is_valid });
        self.size += size;
    }

    fn evict_to(&mut self, size: usize) {
        if self.size <= size {
            return;
        }
        while self.size > size
            && let Some(entry) = self.entries.pop_front()
        {
            self.size -= entry.len() + ENTRY_OVERHEAD_BYTES;
        }
        let dead = match self.entries.front() {
            Some(entry) => entry.start.wrapping_sub(self.base) as usize,
            None => self.bytes.len(),
        };
        if dead >= DEAD_BYTES_MIN.max(self.bytes.len() - dead) || dead == self.bytes.len() {
            self.bytes.drain(..dead);
            self.base = self.base.wrapping_add(dead as u32);
        }
    }

    /// Bytes of memory that the table holds.
    pub(super) fn held_bytes(&self) -> usize {
        self.bytes.capacity() + self.entries.capacity() * size_of::<Entry>()
    }
}
