//! The open streams of a connection: a slab, and an index by identifier.
//!
//! A closed stream has no entry. The identifiers of new streams only rise, so a stream without an entry is
//! closed unless its identifier is above all received ones. A [`Key`] holds the slot and the identifier, so
//! the key of an earlier stream in the slot finds no stream.

use super::{
    Priority,
    state::{Sending, StreamState},
    window::{ReceiveWindow, SendWindow},
};

/// No slot.
pub(super) const NONE: u32 = u32::MAX;

/// Key of a stream that is, or was, open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    pub(super) slot: u32,
    pub(super) id: u32,
}

impl Key {
    /// Makes a key, for tests of code that only passes keys on.
    #[cfg(test)]
    pub fn of(slot: u32, id: u32) -> Self {
        Self { slot, id }
    }

    /// Returns the stream's slot: a small number that no other open stream of the connection has.
    pub fn slot(self) -> usize {
        self.slot as usize
    }

    /// Returns the stream's identifier, which no other stream of the connection ever has.
    pub fn id(self) -> u32 {
        self.id
    }
}

/// An open stream.
#[derive(Debug)]
pub(super) struct Stream {
    /// 0: the slot is free.
    pub(super) id: u32,
    pub(super) state: StreamState,
    pub(super) sending: Sending,
    pub(super) priority: Priority,
    /// The stream was served by the schedule before.
    pub(super) had_turn: bool,
    pub(super) send_window: SendWindow,
    pub(super) receive_window: ReceiveWindow,
    /// Bytes that count as held in the stream's window and were released in the connection's.
    pub(super) held_alone: u32,
    /// Bytes by which the stream's receive window has grown.
    pub(super) grown: u32,
    /// Bytes of the declared length that have not come.
    pub(super) expected: Option<u64>,
    /// Neighbours in a list of the schedule; of a free slot, `next` is the next free one.
    pub(super) next: u32,
    pub(super) previous: u32,
}

/// All open streams.
#[derive(Debug)]
pub(super) struct Streams {
    slots: Vec<Stream>,
    /// First free slot.
    free: u32,
    len: usize,
    index: Index,
}

impl Default for Streams {
    fn default() -> Self {
        Self { slots: Vec::new(), free: NONE, len: 0, index: Index::default() }
    }
}

impl Streams {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn insert(&mut self, stream: Stream) -> Key {
        let id = stream.id;
        let slot = match self.slots.get_mut(self.free as usize) {
            Some(vacant) => {
                let slot = std::mem::replace(&mut self.free, vacant.next);
                *vacant = stream;
                slot
            }
            None => {
                self.slots.push(stream);
                self.slots.len() as u32 - 1
            }
        };
        self.len += 1;
        self.index.insert(id, slot, self.len);
        Key { slot, id }
    }

    pub(super) fn remove(&mut self, key: Key) {
        if self.get(key).is_some() {
            let stream = &mut self.slots[key.slot()];
            stream.id = 0;
            stream.next = self.free;
            self.free = key.slot;
            self.len -= 1;
            self.index.remove(key.id);
        }
    }

    /// Returns the key of the open stream with this identifier.
    #[inline]
    pub(super) fn find(&self, id: u32) -> Option<Key> {
        self.index.find(id).map(|slot| Key { slot, id })
    }

    #[inline]
    pub(super) fn get(&self, key: Key) -> Option<&Stream> {
        self.slots.get(key.slot()).filter(|stream| stream.id == key.id)
    }

    #[inline]
    pub(super) fn get_mut(&mut self, key: Key) -> Option<&mut Stream> {
        self.slots.get_mut(key.slot()).filter(|stream| stream.id == key.id)
    }

    /// Returns the stream in a slot that is in use.
    pub(super) fn at(&mut self, slot: u32) -> &mut Stream {
        &mut self.slots[slot as usize]
    }

    /// Returns the key of the stream in a slot that is in use.
    pub(super) fn key_at(&self, slot: u32) -> Key {
        Key { slot, id: self.slots[slot as usize].id }
    }

    /// Returns the key of every stream, in the order of slots.
    pub(super) fn keys(&self) -> impl Iterator<Item = Key> {
        let open = self.slots.iter().enumerate().filter(|(_, stream)| stream.id != 0);
        open.map(|(slot, stream)| Key { slot: slot as u32, id: stream.id })
    }

    /// Returns the size of the memory that is held for streams, in bytes.
    pub(super) fn held_bytes(&self) -> usize {
        self.slots.capacity() * size_of::<Stream>() + self.index.cells.capacity() * size_of::<Cell>()
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Cell {
    /// 0: the cell is free.
    id: u32,
    slot: u32,
}

/// Slots by identifier: open addressing with linear probing. Identifiers that follow each other have cells
/// that do, so a look-up hardly ever takes a second step.
#[derive(Debug, Default)]
struct Index {
    /// Empty, or a power of two of cells, at least twice as many as streams.
    cells: Vec<Cell>,
}

impl Index {
    const CELLS_MIN: usize = 8;

    fn home(&self, id: u32) -> usize {
        (id >> 1) as usize & (self.cells.len() - 1)
    }

    fn after(&self, place: usize) -> usize {
        (place + 1) & (self.cells.len() - 1)
    }

    #[inline]
    fn place(&self, id: u32) -> Option<usize> {
        if self.cells.is_empty() || id == 0 {
            return None;
        }
        let mut place = self.home(id);
        loop {
            match self.cells[place].id {
                0 => return None,
                found if found == id => return Some(place),
                _ => place = self.after(place),
            }
        }
    }

    #[inline]
    fn find(&self, id: u32) -> Option<u32> {
        self.place(id).map(|place| self.cells[place].slot)
    }

    /// Adds an identifier. `len` is the number of identifiers with it.
    fn insert(&mut self, id: u32, slot: u32, len: usize) {
        if self.cells.len() < len * 2 {
            self.grow(len);
        }
        self.put(Cell { id, slot });
    }

    fn put(&mut self, cell: Cell) {
        let mut place = self.home(cell.id);
        while self.cells[place].id != 0 {
            place = self.after(place);
        }
        self.cells[place] = cell;
    }

    #[cold]
    fn grow(&mut self, len: usize) {
        let size = (len * 2).next_power_of_two().max(Self::CELLS_MIN);
        let old = std::mem::replace(&mut self.cells, vec![Cell::default(); size]);
        old.into_iter().filter(|cell| cell.id != 0).for_each(|cell| self.put(cell));
    }

    /// Removes an identifier. Those behind it that it pushed away from their homes move up.
    fn remove(&mut self, id: u32) {
        let Some(mut hole) = self.place(id) else { return };
        let mut place = self.after(hole);
        let mask = self.cells.len() - 1;
        while self.cells[place].id != 0 {
            let home = self.home(self.cells[place].id);
            if (place.wrapping_sub(home) & mask) >= (place.wrapping_sub(hole) & mask) {
                self.cells[hole] = self.cells[place];
                hole = place;
            }
            place = self.after(place);
        }
        self.cells[hole] = Cell::default();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn stream(id: u32) -> Stream {
        Stream {
            id,
            state: StreamState::Open,
            sending: Sending::Idle,
            priority: Priority::UNNAMED,
            had_turn: false,
            send_window: SendWindow::new(0),
            receive_window: ReceiveWindow::new(0),
            held_alone: 0,
            grown: 0,
            expected: None,
            next: NONE,
            previous: NONE,
        }
    }

    proptest! {
        #[test]
        fn streams_are_found_while_they_are_open_and_their_keys_find_no_other(
            steps in prop::collection::vec((any::<bool>(), 1..9_u32, any::<prop::sample::Index>()), 0..400)
        ) {
            let (mut streams, mut open) = (Streams::default(), BTreeMap::new());
            let (mut closed, mut last) = (Vec::new(), 1);
            for (opens, distance, which) in steps {
                if opens || open.is_empty() {
                    last += distance * 2;
                    open.insert(last, streams.insert(stream(last)));
                } else {
                    let id = *which.get(&open.keys().copied().collect::<Vec<_>>());
                    let key = open.remove(&id).unwrap();
                    streams.remove(key);
                    streams.remove(key);
                    closed.push(key);
                }
                prop_assert_eq!(streams.len(), open.len());
                for (id, key) in &open {
                    prop_assert_eq!(streams.find(*id), Some(*key));
                    prop_assert_eq!(streams.get(*key).map(|stream| stream.id), Some(*id));
                }
                for key in &closed {
                    prop_assert!(streams.find(key.id).is_none() && streams.get(*key).is_none());
                }
                let mut keys: Vec<u32> = streams.keys().map(|key| key.id).collect();
                keys.sort_unstable();
                prop_assert_eq!(keys, open.keys().copied().collect::<Vec<_>>());
            }
        }
    }
}
