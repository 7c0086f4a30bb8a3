//! Outlets: a shard's short way from whoever hands out events to the driver that sends them.
//!
//! A subscriber with nothing waiting is given its next event in two steps: into its queue, with a wake, and out of it again.
//! Both touch memory of its own, and with a thousand subscribers little of that is still in the cache. Where the
//! subscriber is a connection of the driver's that only waits for the next event, an outlet saves both: the event is put
//! there, the driver is told the token and takes it out.
//!
//! ```text
//!            ready              open            put             take
//!  bypassed ──────► clean, shut ────► open ─────────► holding ────────► clean, shut
//!     ▲                                │ bypass (the event went another way: what follows must not overtake it)
//!     └────────────────────────────────┴──── from every state; what is held stays
//! ```
//!
//! Everything here happens on one thread. It is a table and not a part of the connection: whoever puts touches a line of
//! it for several subscribers.

use std::{any::Any, cell::RefCell, fmt, num::NonZeroU32, rc::Rc, sync::Arc};

/// What is put into an outlet: an event, of whatever type.
pub type Parcel = Arc<dyn Any + Send + Sync>;

/// Names an outlet of one shard, there and for messages to there. Of the past it names nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutletKey {
    slot: u32,
    generation: NonZeroU32,
}

struct Slot {
    generation: NonZeroU32,
    open: bool,
    /// An event went another way since the owner last said that nothing waits there.
    bypassed: bool,
    token: u64,
    parcel: Option<Parcel>,
}

#[derive(Default)]
struct Table {
    slots: Vec<Slot>,
    free: Vec<u32>,
    /// Tokens of outlets that something was put into, for the driver. Bounded: an outlet that holds something is not open.
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
    /// Makes an outlet, shut and bypassed, whose driver is told this token.
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

    /// Puts what `parcel` makes into an outlet if it is open; it is then shut.
    pub(crate) fn put(&self, key: OutletKey, parcel: impl FnOnce() -> Parcel) -> bool {
        let table = &mut *self.0.borrow_mut();
        let Some(slot) = table.find(key).filter(|slot| slot.open) else { return false };
        slot.open = false;
        slot.parcel = Some(parcel());
        let token = slot.token;
        table.filled.push(token);
        true
    }

    /// Notes that an event goes another way.
    pub(crate) fn bypass(&self, key: OutletKey) {
        if let Some(slot) = self.0.borrow_mut().find(key) {
            (slot.open, slot.bypassed) = (false, true);
        }
    }

    /// Exchanges the tokens to be told for the empty `batch`, so that neither is allocated anew.
    pub(crate) fn filled(&self, batch: &mut Vec<u64>) {
        std::mem::swap(&mut self.0.borrow_mut().filled, batch);
    }
}

/// An outlet, for its owner; gone when dropped. It belongs to the shard it was made on.
pub struct Outlet {
    outlets: Rc<Outlets>,
    key: OutletKey,
}

impl Outlet {
    /// Returns what names it.
    pub fn key(&self) -> OutletKey {
        self.key
    }

    /// Takes what was put into it. It stays shut.
    pub fn take(&self) -> Option<Parcel> {
        self.with(|slot| slot.parcel.take())
    }

    /// Notes that no event waits that went another way.
    pub fn ready(&self) {
        self.with(|slot| slot.bypassed = false);
    }

    /// Opens it for one event, unless it is holding one or events went another way since it was last said to be
    /// [`ready`](Self::ready). Says whether it is open.
    pub fn open(&self) -> bool {
        self.with(|slot| {
            slot.open = !slot.bypassed && slot.parcel.is_none();
            slot.open
        })
    }

    fn with<R>(&self, f: impl FnOnce(&mut Slot) -> R) -> R {
        // The slot is the owner's until it is dropped.
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
        // What it carries may be a user's.
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

    fn told(outlets: &Outlets) -> Vec<u64> {
        let mut batch = Vec::new();
        outlets.filled(&mut batch);
        batch
    }

    #[test]
    fn an_open_outlet_takes_one_event_and_tells_its_token() {
        let outlets = Rc::new(Outlets::default());
        let outlet = outlets.add(70);
        outlet.ready();
        assert!(!outlets.put(outlet.key(), parcel(1)), "not before it is opened");
        outlet.open();
        assert!(outlets.put(outlet.key(), parcel(2)));
        assert!(!outlets.put(outlet.key(), parcel(3)));
        outlet.open();
        assert!(!outlets.put(outlet.key(), parcel(4)), "it holds one");
        assert_eq!(told(&outlets), [70]);
        assert_eq!(number(outlet.take()), Some(2));
        assert!(!outlets.put(outlet.key(), parcel(5)), "it has to be opened again");
        outlet.open();
        assert!(outlets.put(outlet.key(), parcel(6)));
        assert_eq!((told(&outlets), number(outlet.take()), number(outlet.take())), (vec![70], Some(6), None));
    }

    #[test]
    fn what_was_bypassed_opens_only_when_its_owner_says_that_nothing_waits_elsewhere() {
        let outlets = Rc::new(Outlets::default());
        let outlet = outlets.add(1);
        outlet.open();
        assert!(!outlets.put(outlet.key(), parcel(1)), "a new one is not ready");
        outlet.ready();
        outlet.open();
        assert!(outlets.put(outlet.key(), parcel(2)));
        outlets.bypass(outlet.key());
        assert_eq!(number(outlet.take()), Some(2), "what it held came before");
        outlet.open();
        assert!(!outlets.put(outlet.key(), parcel(3)));
        outlet.ready();
        outlet.open();
        assert!(outlets.put(outlet.key(), parcel(4)));
    }

    #[test]
    fn a_key_of_the_past_reaches_nobody() {
        let outlets = Rc::new(Outlets::default());
        let first = outlets.add(1);
        let key = first.key();
        first.ready();
        first.open();
        let held: Parcel = Arc::new(1_u64);
        assert!(outlets.put(key, || held.clone()));
        drop(first);
        assert_eq!(Arc::strong_count(&held), 1, "it went with its outlet");
        let second = outlets.add(2);
        second.ready();
        second.open();
        assert_eq!(second.key().slot, key.slot);
        assert!(!outlets.put(key, parcel(2)));
        outlets.bypass(key);
        assert!(outlets.put(second.key(), parcel(3)));
        assert_eq!(told(&outlets), [1, 2], "the driver checks its tokens");
    }
}
