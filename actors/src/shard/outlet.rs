//! Outlets: direct delivery of an event to the driver that sends it, past the subscriber's queue.
//!
//! Normally a subscriber with an empty queue gets its next event in two steps: the event is pushed to the
//! queue with a wake, and then taken out. Both steps touch memory of that subscriber. With a thousand
//! subscribers little of it is still in the cache. An outlet saves both steps for a connection of the driver
//! that only waits for the next event: the event is put into the outlet, the driver gets the token and takes
//! the event.
//!
//! ```text
//!            ready              open            put             take
//!  bypassed ──────► clean, shut ────► open ─────────► holding ────────► clean, shut
//!     ▲                                │
//!     └──────────── bypass ────────────┘  from every state; a held event stays
//! ```
//!
//! An event that goes through the queue *bypasses* the outlet and shuts it, so that no later event overtakes
//! it.
//!
//! Everything here happens on one thread. The outlets are a table rather than a part of each connection, so
//! that putting an event into many of them touches few cache lines.

use std::{any::Any, cell::RefCell, fmt, num::NonZeroU32, rc::Rc, sync::Arc};

/// An event in an outlet, of any type.
pub type Parcel = Arc<dyn Any + Send + Sync>;

/// Key of an outlet on its shard. It may travel in messages. The key of a dropped outlet matches no other
/// outlet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutletKey {
    slot: u32,
    generation: NonZeroU32,
}

struct Slot {
    generation: NonZeroU32,
    open: bool,
    /// Set if an event went through the queue since the last call of `ready`.
    bypassed: bool,
    token: u64,
    parcel: Option<Parcel>,
}

#[derive(Default)]
struct Table {
    slots: Vec<Slot>,
    free: Vec<u32>,
    /// Tokens of filled outlets, for the driver. Bounded, because an outlet that holds an event is not open.
    filled: Vec<u64>,
}

impl Table {
    fn find(&mut self, key: OutletKey) -> Option<&mut Slot> {
        self.slots.get_mut(key.slot as usize).filter(|slot| slot.generation == key.generation)
    }
}

/// The outlets of one shard.
#[derive(Default)]
pub(crate) struct Outlets(RefCell<Table>);

impl Outlets {
    /// Creates an outlet, shut and bypassed. The driver gets `token` when it is filled.
    pub(crate) fn add(self: &Rc<Self>, token: u64) -> Outlet {
        let table = &mut *self.0.borrow_mut();
        let slot = table.free.pop().unwrap_or_else(|| {
            let slot = Slot { generation: NonZeroU32::MIN, open: false, bypassed: true, token, parcel: None };
            table.slots.push(slot);
            (table.slots.len() - 1) as u32
        });
        let entry = &mut table.slots[slot as usize];
        entry.token = token;
        Outlet { outlets: Rc::clone(self), key: OutletKey { slot, generation: entry.generation } }
    }

    /// Puts the result of `parcel` into an outlet if the outlet is open, and shuts it. Returns `true` if it
    /// was open.
    pub(crate) fn put(&self, key: OutletKey, parcel: impl FnOnce() -> Parcel) -> bool {
        let table = &mut *self.0.borrow_mut();
        let Some(slot) = table.find(key).filter(|slot| slot.open) else { return false };
        slot.open = false;
        slot.parcel = Some(parcel());
        let token = slot.token;
        table.filled.push(token);
        true
    }

    /// Shuts an outlet, because an event goes through the queue. It stays shut until the owner calls `ready`.
    pub(crate) fn bypass(&self, key: OutletKey) {
        if let Some(slot) = self.0.borrow_mut().find(key) {
            (slot.open, slot.bypassed) = (false, true);
        }
    }

    /// Swaps the tokens of filled outlets with `batch`, which must be empty. Neither allocates again that
    /// way.
    pub(crate) fn filled(&self, batch: &mut Vec<u64>) {
        std::mem::swap(&mut self.0.borrow_mut().filled, batch);
    }
}

/// Outlet of a subscriber, in the hands of its owner. It works on the shard that created it only.
///
/// Dropping it removes the outlet and drops an event in it.
pub struct Outlet {
    outlets: Rc<Outlets>,
    key: OutletKey,
}

impl Outlet {
    /// Returns the key with which others put events into it.
    pub fn key(&self) -> OutletKey {
        self.key
    }

    /// Takes the event out. The outlet stays shut.
    pub fn take(&self) -> Option<Parcel> {
        self.with(|slot| slot.parcel.take())
    }

    /// Declares that no event waits in the queue, so the outlet may be opened again.
    pub fn ready(&self) {
        self.with(|slot| slot.bypassed = false);
    }

    /// Opens the outlet for one event. Returns `true` if it is open now.
    ///
    /// It stays shut if it holds an event, or if an event went through the queue since the last call of
    /// [`ready`](Self::ready).
    pub fn open(&self) -> bool {
        self.with(|slot| {
            slot.open = !slot.bypassed && slot.parcel.is_none();
            slot.open
        })
    }

    fn with<R>(&self, f: impl FnOnce(&mut Slot) -> R) -> R {
        // The slot belongs to the owner until the owner drops it.
        f(&mut self.outlets.0.borrow_mut().slots[self.key.slot as usize])
    }
}

impl Drop for Outlet {
    fn drop(&mut self) {
        let parcel = self.with(|slot| {
            (slot.open, slot.bypassed) = (false, true);
            slot.generation = slot.generation.checked_add(1).unwrap_or(NonZeroU32::MIN);
            slot.parcel.take()
        });
        self.outlets.0.borrow_mut().free.push(self.key.slot);
        // Dropping the event may run user code, so the borrow of the table ends first.
        drop(parcel);
    }
}

impl fmt::Debug for Outlet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outlet").field("key", &self.key).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parcel(number: u64) -> impl FnOnce() -> Parcel {
        move || Arc::new(number)
    }

    fn number(parcel: Option<Parcel>) -> Option<u64> {
        parcel.map(|parcel| *parcel.downcast_ref().unwrap())
    }

    fn filled_tokens(outlets: &Outlets) -> Vec<u64> {
        let mut batch = Vec::new();
        outlets.filled(&mut batch);
        batch
    }

    #[test]
    fn an_open_outlet_takes_one_event_and_reports_its_token() {
        let outlets = Rc::new(Outlets::default());
        let outlet = outlets.add(70);
        outlet.ready();
        assert!(!outlets.put(outlet.key(), parcel(1)), "it is not open yet");
        outlet.open();
        assert!(outlets.put(outlet.key(), parcel(2)));
        assert!(!outlets.put(outlet.key(), parcel(3)));
        outlet.open();
        assert!(!outlets.put(outlet.key(), parcel(4)), "it holds an event");
        assert_eq!(filled_tokens(&outlets), [70]);
        assert_eq!(number(outlet.take()), Some(2));
        assert!(!outlets.put(outlet.key(), parcel(5)), "it must be opened again");
        outlet.open();
        assert!(outlets.put(outlet.key(), parcel(6)));
        assert_eq!(
            (filled_tokens(&outlets), number(outlet.take()), number(outlet.take())),
            (vec![70], Some(6), None)
        );
    }

    #[test]
    fn a_bypassed_outlet_opens_only_after_ready() {
        let outlets = Rc::new(Outlets::default());
        let outlet = outlets.add(1);
        outlet.open();
        assert!(!outlets.put(outlet.key(), parcel(1)), "a new outlet is not ready");
        outlet.ready();
        outlet.open();
        assert!(outlets.put(outlet.key(), parcel(2)));
        outlets.bypass(outlet.key());
        assert_eq!(number(outlet.take()), Some(2), "the event it held came first");
        outlet.open();
        assert!(!outlets.put(outlet.key(), parcel(3)));
        outlet.ready();
        outlet.open();
        assert!(outlets.put(outlet.key(), parcel(4)));
    }

    #[test]
    fn a_stale_key_reaches_no_outlet() {
        let outlets = Rc::new(Outlets::default());
        let first = outlets.add(1);
        let key = first.key();
        first.ready();
        first.open();
        let held: Parcel = Arc::new(1_u64);
        assert!(outlets.put(key, || held.clone()));
        drop(first);
        assert_eq!(Arc::strong_count(&held), 1, "it was dropped with its outlet");
        let second = outlets.add(2);
        second.ready();
        second.open();
        assert_eq!(second.key().slot, key.slot);
        assert!(!outlets.put(key, parcel(2)));
        outlets.bypass(key);
        assert!(outlets.put(second.key(), parcel(3)));
        assert_eq!(filled_tokens(&outlets), [1, 2], "the driver checks its tokens");
    }
}
