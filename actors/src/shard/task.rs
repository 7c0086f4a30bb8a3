//! The futures a shard hosts: user actors, and handlers that did not finish at once.
//!
//! Each is a task of the shard's executor, but polled with a waker of ours. So wakes from other threads ring the
//! shard's doorbell, and the executor is only ever asked to run a task from its own thread.

use std::{
    cell::RefCell,
    future::{Future, poll_fn},
    mem,
    pin::pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use super::remote::Remote;
use crate::{
    future::{contained, panic_message, race},
    wake::{GuestKey, Target, Wakeable},
};

#[derive(Debug)]
struct Slot {
    generation: u32,
    guest: Option<Guest>,
}

#[derive(Debug)]
struct Guest {
    wakeable: Arc<Wakeable>,
    /// The executor's waker for the task; known from its first poll on. Touched on the shard's thread only.
    host: Option<Waker>,
    /// Whether the executor was asked to run the task and has not done so.
    due: bool,
}

/// The table of a shard's guests.
#[derive(Debug, Default)]
pub(crate) struct Guests {
    slots: Vec<Slot>,
    free: Vec<u32>,
    living: usize,
    due: usize,
}

impl Guests {
    pub(crate) fn living(&self) -> usize {
        self.living
    }

    /// Returns how many guests the executor shall run before the shard may wait.
    pub(crate) fn due(&self) -> usize {
        self.due
    }

    /// Makes room for a guest that the executor is about to run for the first time.
    pub(crate) fn insert(&mut self, wakeable: Arc<Wakeable>) -> GuestKey {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot { generation: 0, guest: None });
            (self.slots.len() - 1) as u32
        });
        let entry = &mut self.slots[slot as usize];
        let key = GuestKey { slot, generation: entry.generation };
        wakeable.attach(key);
        entry.guest = Some(Guest { wakeable, host: None, due: true });
        self.living += 1;
        self.due += 1;
        key
    }

    /// Marks a guest to be run and returns the executor's waker for it, unless it is marked or gone.
    pub(crate) fn call(&mut self, key: GuestKey) -> Option<Waker> {
        let guest = self.guest(key)?;
        if guest.due {
            return None;
        }
        let host = guest.host.clone()?;
        guest.due = true;
        self.due += 1;
        Some(host)
    }

    /// Notes that the executor runs a guest, with this waker.
    fn enter(&mut self, key: GuestKey, host: &Waker) {
        let Some(guest) = self.guest(key) else { return };
        let was_due = mem::take(&mut guest.due);
        match &mut guest.host {
            Some(known) => known.clone_from(host),
            none => *none = Some(host.clone()),
        }
        self.due -= usize::from(was_due);
    }

    /// Frees the slot of a guest that has ended and returns how many live.
    fn remove(&mut self, key: GuestKey) -> usize {
        if self.guest(key).is_none() {
            return self.living;
        }
        let entry = &mut self.slots[key.slot as usize];
        let was_due = entry.guest.take().is_some_and(|guest| guest.due);
        entry.generation = entry.generation.wrapping_add(1);
        self.free.push(key.slot);
        self.living -= 1;
        self.due -= usize::from(was_due);
        self.living
    }

    /// Returns every living guest.
    pub(crate) fn all(&self) -> Vec<Arc<Wakeable>> {
        self.slots
            .iter()
            .filter_map(|slot| slot.guest.as_ref())
            .map(|guest| Arc::clone(&guest.wakeable))
            .collect()
    }

    fn guest(&mut self, key: GuestKey) -> Option<&mut Guest> {
        let slot = self.slots.get_mut(key.slot as usize)?;
        if slot.generation != key.generation {
            return None;
        }
        slot.guest.as_mut()
    }
}

/// Refers to a future spawned on a shard. Dropping it lets the future run on.
#[derive(Clone, Debug)]
pub struct TaskHandle {
    pub(crate) wakeable: Arc<Wakeable>,
}

impl TaskHandle {
    /// Drops the future at its shard's next turn, unless it ends before. May be called from any thread.
    pub fn cancel(&self) {
        debug_assert_eq!(self.wakeable.target(), Target::Guest);
        self.wakeable.cancel();
    }
}

/// The task an executor runs for one guest.
pub(crate) async fn host(
    guests: Rc<RefCell<Guests>>,
    shard: Arc<Remote>,
    wakeable: Arc<Wakeable>,
    key: GuestKey,
    future: impl Future<Output = ()>,
) {
    let waker = Waker::from(Arc::clone(&wakeable));
    let cancelled = poll_fn(|_| if wakeable.is_cancelled() { Poll::Ready(()) } else { Poll::Pending });
    let mut task = pin!(contained(race(cancelled, future)));
    let outcome = poll_fn(|cx| {
        guests.borrow_mut().enter(key, cx.waker());
        wakeable.clear();
        task.as_mut().poll(&mut Context::from_waker(&waker))
    })
    .await;
    let living = guests.borrow_mut().remove(key);
    shard.stats.set_tasks(living);
    if let Err(payload) = outcome {
        shard.stats.count_task_panic();
        tracing::error!(
            shard = shard.index,
            panic = panic_message(payload.as_ref()),
            "a hosted future panicked"
        );
    }
}
