//! The dynamic table (RFC 7541 §2.3.2): a queue of entries over one buffer of bytes.
//!
//! New entries and their bytes are appended, evicted ones are dead at the front. Once more bytes are dead
//! than alive the living move to the front: each byte moves once for each byte that died, so the cost of an
//! entry is constant on average, and the buffer has at most twice the bytes of the table.

use super::ENTRY_OVERHEAD_BYTES;
use crate::proto::h2::field::{Name, Value};

/// Number of dead bytes in front up to which a move is not worth it.
const DEAD_BYTES_MIN: usize = 512;

/// A field in the table, with the verdict on it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field<'a> {
    /// The name, and the value directly behind it.
    pub(super) bytes: &'a [u8],
    pub(super) name_len: usize,
    pub(super) kind: Name,
    pub(super) verdict: Value,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    /// Offset of the name in the buffer.
    start: u32,
    name_len: u16,
    value_len: u16,
    kind: Name,
    verdict: Value,
}

impl Entry {
    fn len(self) -> usize {
        usize::from(self.name_len) + usize::from(self.value_len)
    }
}

/// Fields that a peer's encoder may refer to.
#[derive(Debug)]
pub(super) struct Table {
    /// Oldest first; those in front are dead.
    entries: Vec<Entry>,
    /// Dead entries.
    dead: usize,
    bytes: Vec<u8>,
    /// Size by RFC 7541 §4.1.
    size: usize,
    /// Largest size, as the encoder has chosen it.
    capacity: usize,
}

impl Table {
    pub(super) fn new(capacity: usize) -> Self {
        Self { entries: Vec::new(), dead: 0, bytes: Vec::new(), size: 0, capacity }
    }

    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Changes the largest size. Entries that no longer fit are evicted, oldest first.
    pub(super) fn set_capacity(&mut self, capacity: usize) {
        self.capacity = capacity;
        self.evict_to(capacity);
    }

    /// Returns the field of an index, which counts from the newest, 0; `None` beyond the oldest.
    #[inline]
    pub(super) fn get(&self, index: usize) -> Option<Field<'_>> {
        if index >= self.entries.len() - self.dead {
            return None;
        }
        let entry = self.entries[self.entries.len() - 1 - index];
        let start = entry.start as usize;
        let bytes = self.bytes.get(start..start + entry.len())?;
        let Entry { name_len, kind, verdict, .. } = entry;
        Some(Field { bytes, name_len: usize::from(name_len), kind, verdict })
    }

    /// Adds a field, and evicts the oldest as needed. A field that is larger than the table leaves it empty
    /// (RFC 7541 §4.4).
    pub(super) fn insert(&mut self, name: &[u8], value: &[u8], kind: Name, verdict: Value) {
        let size = name.len() + value.len() + ENTRY_OVERHEAD_BYTES;
        if size > self.capacity {
            return self.evict_to(0);
        }
        self.evict_to(self.capacity - size);
        let start = self.bytes.len() as u32;
        self.bytes.extend_from_slice(name);
        self.bytes.extend_from_slice(value);
        // The limit of a table is far below what 16 bits count.
        let (name_len, value_len) = (name.len() as u16, value.len() as u16);
        self.entries.push(Entry { start, name_len, value_len, kind, verdict });
        self.size += size;
    }

    fn evict_to(&mut self, size: usize) {
        if self.size <= size {
            return;
        }
        while self.size > size {
            self.size -= self.entries[self.dead].len() + ENTRY_OVERHEAD_BYTES;
            self.dead += 1;
        }
        let dead = self.entries.get(self.dead).map_or(self.bytes.len(), |entry| entry.start as usize);
        if dead == self.bytes.len() || dead >= DEAD_BYTES_MIN.max(self.bytes.len() - dead) {
            self.bytes.drain(..dead);
            self.entries.drain(..self.dead);
            self.dead = 0;
            self.entries.iter_mut().for_each(|entry| entry.start -= dead as u32);
        }
    }

    /// Returns the size of the memory that the table holds, in bytes.
    pub(super) fn held_bytes(&self) -> usize {
        self.bytes.capacity() + self.entries.capacity() * size_of::<Entry>()
    }
}
