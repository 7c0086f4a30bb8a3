//! Outlets: direct delivery of an event to the stream that sends it, past the subscriber's queue.
//!
//! Normally a subscriber with an empty queue gets its next event in two steps: the event is pushed to the
//! queue with a wake, and then taken out. Both steps touch memory of that subscriber. With a thousand
//! subscribers little of it is still in the cache. An outlet saves both steps for a stream of the driver that
//! only waits for the next event.
//!
//! The stream *opens* its outlet when it has nothing else to send. The relay *puts* the next event there, and
//! the driver gets the token of the stream's connection. The stream *takes* the event and sends it.
//!
//! ```text
//!           open              put              shut
//!   Shut ─────────► Open ───────────► Full ───────────► Last
//!    ▲              │  ▲               │                 │
//!    │     shut     │  └───── take ────┘                 │
//!    ├──────────────┘                                    │
//!    └───────────────────────── take ────────────────────┘
//! ```
//!
//! The relay shuts an outlet with each event that goes through the queue, and the stream does if it has no
//! room for another event. So an outlet is an addition to the queue and never a second one: it holds at most
//! one event.
//!
//! # Invariant
//!
//! The events of a subscriber leave in the order in which they were published, whichever way they take:
//!
//! - While an outlet is [`Open`](OutletState::Open) or [`Full`](OutletState::Full), the queue is empty.
//!   Only a stream that has just emptied its queue opens the outlet, and the relay, which alone fills the
//!   queue, shuts it with each event that it queues. An outlet is shut when it is connected, as its
//!   subscription may have queued events before.
//! - The event in an outlet is older than all that are queued: once there are any, the outlet is
//!   [`Last`](OutletState::Last) and accepts no other. The stream takes that event before it polls the queue.
//!
//! An event reaches nobody who has left or was removed: the relay looks into the queues instead of the
//! outlets while a message of a subscriber that leaves is on its way. The event in an outlet is dropped with
//! it. A key names its outlet for ever, and only on its own shard: a subscription refuses the key of another
//! one.
//!
//! Everything here happens on one thread, and a stream opens its outlet in the same call that emptied the
//! queue, so nothing comes in between. The outlets are a table rather than a part of each connection, so that
//! putting an event into many of them touches few cache lines.

use std::{any::Any, cell::RefCell, fmt, num::NonZeroU32, rc::Rc, sync::Arc};

/// An event in an outlet, of any type.
pub type OutletEvent = Arc<dyn Any + Send + Sync>;

/// Key of an outlet on its shard. It may travel in messages. The key of a dropped outlet matches no other
/// outlet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutletKey {
    slot: u32,
    generation: NonZeroU32,
}

/// State of an outlet: see the [module](self).
enum OutletState {
    /// Events go through the queue.
    Shut,
    /// The next event goes through the outlet.
    Open,
    /// The outlet holds an event, and the queue is empty.
    Full(OutletEvent),
    /// The outlet holds an event. Later ones are queued, or there is no room for them.
    Last(OutletEvent),
}

impl OutletState {
    fn open(&mut self) {
        if matches!(self, Self::Shut) {
            *self = Self::Open;
        }
    }

    fn put(&mut self, event: impl FnOnce() -> OutletEvent) -> bool {
        let is_open = matches!(self, Self::Open);
        if is_open {
            *self = Self::Full(event());
        }
        is_open
    }

    fn take(&mut self) -> Option<OutletEvent> {
        match std::mem::replace(self, Self::Shut) {
            Self::Shut => None,
            Self::Open => {
                *self = Self::Open;
                None
            }
            Self::Full(event) => {
                *self = Self::Open;
                Some(event)
            }
            Self::Last(event) => Some(event),
        }
    }

    fn shut(&mut self) {
        *self = match std::mem::replace(self, Self::Shut) {
            Self::Shut | Self::Open => Self::Shut,
            Self::Full(event) | Self::Last(event) => Self::Last(event),
        };
    }
}

struct Slot {
    generation: NonZeroU32,
    label: u32,
    token: u64,
    state: OutletState,
}

#[derive(Default)]
struct Table {
    slots: Vec<Slot>,
    free: Vec<u32>,
    /// Tokens and labels of outlets that were filled, for the driver. Bounded, because an outlet that holds
    /// an event is not open.
    filled: Vec<(u64, u32)>,
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
    /// Creates an outlet, shut. The driver gets `token` and `label` when it is filled.
    pub(crate) fn add(self: &Rc<Self>, token: u64, label: u32) -> Outlet {
        let table = &mut *self.0.borrow_mut();
        let slot = table.free.pop().unwrap_or_else(|| {
            table.slots.push(Slot { generation: NonZeroU32::MIN, label, token, state: OutletState::Shut });
            (table.slots.len() - 1) as u32
        });
        let entry = &mut table.slots[slot as usize];
        (entry.token, entry.label) = (token, label);
        Outlet { outlets: Rc::clone(self), key: OutletKey { slot, generation: entry.generation } }
    }

    /// Puts the result of `event` into an outlet that is open. Returns `false` if it is not.
    pub(crate) fn put(&self, key: OutletKey, event: impl FnOnce() -> OutletEvent) -> bool {
        let table = &mut *self.0.borrow_mut();
        let Some(slot) = table.find(key) else { return false };
        let is_put = slot.state.put(event);
        if is_put {
            let filled = (slot.token, slot.label);
            table.filled.push(filled);
        }
        is_put
    }

    /// Shuts an outlet, because an event goes through the queue. An event in the outlet stays.
    pub(crate) fn shut(&self, key: OutletKey) {
        if let Some(slot) = self.0.borrow_mut().find(key) {
            slot.state.shut();
        }
    }

    /// Swaps the tokens and labels of filled outlets with `batch`, which must be empty. Neither allocates
    /// again that way.
    pub(crate) fn filled(&self, batch: &mut Vec<(u64, u32)>) {
        std::mem::swap(&mut self.0.borrow_mut().filled, batch);
    }
}

/// Outlet of a subscriber, in the hands of its stream. It works on the shard that created it only.
///
/// Dropping it removes the outlet and drops an event in it.
pub struct Outlet {
    outlets: Rc<Outlets>,
    key: OutletKey,
}

impl Outlet {
    /// Returns the key with which others put events into this outlet.
    pub fn key(&self) -> OutletKey {
        self.key
    }

    /// Opens the outlet, unless it holds an event. Call it directly after a poll that has emptied the
    /// subscription's queue:
    /// [`Subscription::rests`](crate::fanout::Subscription::rests) returns `true`, or the poll `Pending`.
    pub fn open(&self) {
        self.with(OutletState::open);
    }

    /// Takes the event out, or returns `None` if the outlet holds none. Call it before each poll of the
    /// subscription. An outlet that held an event is open again, unless it was shut meanwhile.
    pub fn take(&self) -> Option<OutletEvent> {
        self.with(OutletState::take)
    }

    /// Shuts the outlet. An event in it stays. Call it when there is no room for another event.
    pub fn shut(&self) {
        self.with(OutletState::shut);
    }

    fn with<R>(&self, f: impl FnOnce(&mut OutletState) -> R) -> R {
        // The slot belongs to the stream until it drops the outlet.
        f(&mut self.outlets.0.borrow_mut().slots[self.key.slot as usize].state)
    }
}

impl Drop for Outlet {
    fn drop(&mut self) {
        let mut table = self.outlets.0.borrow_mut();
        let slot = &mut table.slots[self.key.slot as usize];
        slot.generation = slot.generation.checked_add(1).unwrap_or(NonZeroU32::MIN);
        let state = std::mem::replace(&mut slot.state, OutletState::Shut);
        table.free.push(self.key.slot);
        // Dropping the event may run user code, so the borrow of the table ends first.
        drop(table);
        drop(state);
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

    fn event(number: u64) -> impl FnOnce() -> OutletEvent {
        move || Arc::new(number)
    }

    fn number(event: Option<OutletEvent>) -> Option<u64> {
        event.map(|event| *event.downcast_ref().unwrap())
    }

    fn filled(outlets: &Outlets) -> Vec<(u64, u32)> {
        let mut batch = Vec::new();
        outlets.filled(&mut batch);
        batch
    }

    #[test]
    fn an_open_outlet_accepts_one_event_and_is_open_again_when_that_is_taken() {
        let outlets = Rc::new(Outlets::default());
        let outlet = outlets.add(70, 3);
        assert!(!outlets.put(outlet.key(), event(1)), "the outlet is not open yet");
        outlet.open();
        assert!(outlets.put(outlet.key(), event(2)));
        assert!(!outlets.put(outlet.key(), event(3)));
        outlet.open();
        assert!(!outlets.put(outlet.key(), event(4)), "the outlet holds an event");
        assert_eq!((filled(&outlets), number(outlet.take())), (vec![(70, 3)], Some(2)));
        assert_eq!(number(outlet.take()), None);
        assert!(outlets.put(outlet.key(), event(5)), "the outlet is open again");
        assert_eq!((filled(&outlets), number(outlet.take())), (vec![(70, 3)], Some(5)));
    }

    #[test]
    fn an_outlet_that_was_shut_keeps_its_event_and_stays_shut_until_it_is_opened() {
        let outlets = Rc::new(Outlets::default());
        let outlet = outlets.add(1, 0);
        outlet.open();
        outlets.shut(outlet.key());
        assert!(!outlets.put(outlet.key(), event(1)));
        outlet.open();
        assert!(outlets.put(outlet.key(), event(2)));
        outlets.shut(outlet.key());
        outlet.open();
        outlet.shut();
        assert_eq!(number(outlet.take()), Some(2), "the event that the outlet held came first");
        assert!(!outlets.put(outlet.key(), event(3)), "later events are queued");
        outlet.open();
        assert!(outlets.put(outlet.key(), event(4)));
    }

    #[test]
    fn a_stale_key_reaches_no_outlet() {
        let outlets = Rc::new(Outlets::default());
        let first = outlets.add(1, 0);
        let key = first.key();
        first.open();
        let held: OutletEvent = Arc::new(1_u64);
        assert!(outlets.put(key, || held.clone()));
        drop(first);
        assert_eq!(Arc::strong_count(&held), 1, "the event was dropped with its outlet");
        let second = outlets.add(2, 9);
        second.open();
        assert_eq!(second.key().slot, key.slot);
        assert!(!outlets.put(key, event(2)));
        outlets.shut(key);
        assert!(outlets.put(second.key(), event(3)));
        assert_eq!(filled(&outlets), [(1, 0), (2, 9)], "the driver checks its tokens");
    }
}
