//! Slots that are used again and again, each use under its own generation.

use super::ConnId;

/// A growing table of values named by [`ConnId`].
pub(super) struct Slots<T> {
    slots: Vec<Slot<T>>,
    /// Free slots, the one freed last on top: its memory is warm.
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

    /// Returns the name the next inserted value gets.
    pub(super) fn next_id(&self) -> ConnId {
        match self.free.last() {
            Some(&slot) => ConnId { slot, generation: self.slots[slot as usize].generation },
            None => ConnId { slot: self.slots.len() as u32, generation: 0 },
        }
    }

    /// Puts a value into the next slot.
    pub(super) fn insert(&mut self, value: T) -> ConnId {
        let id = self.next_id();
        match self.free.pop() {
            Some(slot) => self.slots[slot as usize].value = Some(value),
            None => self.slots.push(Slot { generation: 0, value: Some(value) }),
        }
        id
    }

    /// Returns the value named by `id`; `None` for a name of the past.
    pub(super) fn find(&mut self, id: ConnId) -> Option<&mut T> {
        let slot = self.slots.get_mut(id.slot as usize)?;
        if slot.generation == id.generation { slot.value.as_mut() } else { None }
    }

    /// Takes the value named by `id` out; its name is never used again (until 2³² uses of the slot later).
    pub(super) fn remove(&mut self, id: ConnId) -> Option<T> {
        let slot = self.slots.get_mut(id.slot as usize).filter(|slot| slot.generation == id.generation)?;
        let value = slot.value.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(id.slot);
        Some(value)
    }

    /// Returns how many values there are.
    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Returns the number of slots ever used.
    pub(super) fn capacity(&self) -> u32 {
        self.slots.len() as u32
    }

    /// Returns the name of the value in a slot.
    pub(super) fn at(&self, slot: u32) -> Option<ConnId> {
        let used = self.slots.get(slot as usize)?;
        used.value.as_ref().map(|_| ConnId { slot, generation: used.generation })
    }

    /// Returns every value.
    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.slots.iter_mut().filter_map(|slot| slot.value.as_mut())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_the_past_finds_nothing() {
        let mut slots = Slots::new();
        let first = slots.insert("first");
        assert_eq!(slots.remove(first), Some("first"));
        let promised = slots.next_id();
        let second = slots.insert("second");
        assert_eq!(second, promised);
        assert_eq!(second.slot, first.slot);
        assert_ne!(second, first);
        assert_eq!(slots.find(first), None);
        assert_eq!(slots.remove(first), None);
        assert_eq!(slots.find(second), Some(&mut "second"));
        assert_eq!(slots.len(), 1);
        assert_eq!(slots.at(second.slot), Some(second));
    }
}
