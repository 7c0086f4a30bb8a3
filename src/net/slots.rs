//! A table of slots that are reused, and the ids that distinguish the uses of a slot.

/// Identifier of one connection of a shard: its slot and a count of the slot's earlier uses.
///
/// A late completion or reply for an earlier connection of the slot carries an older generation and is
/// ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnId {
    /// Index of the slot.
    pub slot: u32,
    /// Number of times the slot was freed before this connection used it.
    pub generation: u32,
}

impl ConnId {
    /// Packs the id into a waker token.
    pub fn token(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.slot)
    }

    /// Unpacks a waker token.
    pub fn from_token(token: u64) -> Self {
        Self { slot: (token & 0xffff_ffff) as u32, generation: (token >> 32) as u32 }
    }
}

/// A growing table of values, each addressed by a [`ConnId`].
pub(super) struct Slots<T> {
    slots: Vec<Slot<T>>,
    /// Free slots. The last one freed is reused first, because its memory is most likely in the cache.
    free: Vec<u32>,
}

struct Slot<T> {
    generation: u32,
    value: Option<T>,
}

impl<T> Slots<T> {
    pub(super) fn new() -> Self {
        Self { slots: Vec::new(), free: Vec::new() }
    }

    /// Returns the id that the next inserted value gets.
    pub(super) fn next_id(&self) -> ConnId {
        match self.free.last() {
            Some(&slot) => ConnId { slot, generation: self.slots[slot as usize].generation },
            None => ConnId { slot: self.slots.len() as u32, generation: 0 },
        }
    }

    /// Inserts a value and returns its id.
    pub(super) fn insert(&mut self, value: T) -> ConnId {
        let id = self.next_id();
        match self.free.pop() {
            Some(slot) => self.slots[slot as usize].value = Some(value),
            None => self.slots.push(Slot { generation: 0, value: Some(value) }),
        }
        id
    }

    /// Returns the value with this id, or `None` if it was removed.
    pub(super) fn get_mut(&mut self, id: ConnId) -> Option<&mut T> {
        let slot = self.slots.get_mut(id.slot as usize)?;
        if slot.generation == id.generation { slot.value.as_mut() } else { None }
    }

    /// Removes and returns the value with this id. The id is not used again before 2³² uses of the slot.
    pub(super) fn remove(&mut self, id: ConnId) -> Option<T> {
        let slot = self.slots.get_mut(id.slot as usize).filter(|slot| slot.generation == id.generation)?;
        let value = slot.value.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(id.slot);
        Some(value)
    }

    /// Returns the number of values.
    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Returns the number of slots, used and free.
    pub(super) fn capacity(&self) -> u32 {
        self.slots.len() as u32
    }

    /// Returns the id of the value in a slot, or `None` if the slot is free.
    pub(super) fn id_at(&self, slot: u32) -> Option<ConnId> {
        let used = self.slots.get(slot as usize)?;
        used.value.as_ref().map(|_| ConnId { slot, generation: used.generation })
    }

    /// Iterates over all values and their ids.
    pub(super) fn iter(&self) -> impl Iterator<Item = (ConnId, &T)> {
        self.slots.iter().enumerate().filter_map(|(slot, used)| {
            let id = ConnId { slot: slot as u32, generation: used.generation };
            used.value.as_ref().map(|value| (id, value))
        })
    }

    /// Iterates over all values.
    #[cfg(any(feature = "io-uring", feature = "epoll"))]
    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.slots.iter_mut().filter_map(|slot| slot.value.as_mut())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_of_a_removed_value_finds_nothing() {
        let mut slots = Slots::new();
        let first = slots.insert("first");
        assert_eq!(slots.remove(first), Some("first"));
        let promised = slots.next_id();
        let second = slots.insert("second");
        assert_eq!(second, promised);
        assert_eq!(second.slot, first.slot);
        assert_ne!(second, first);
        assert_eq!(slots.get_mut(first), None);
        assert_eq!(slots.remove(first), None);
        assert_eq!(slots.get_mut(second), Some(&mut "second"));
        assert_eq!(slots.len(), 1);
        assert_eq!(slots.id_at(second.slot), Some(second));
        assert_eq!(slots.iter().collect::<Vec<_>>(), [(second, &"second")]);
    }
}
