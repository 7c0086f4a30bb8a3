//! Who waits for a socket: the connection's own future, or one elsewhere on the shard that was given a half of it.

use std::task::{Context, Waker};

/// At most one waiting future.
#[derive(Debug, Default)]
pub(super) struct Waiter {
    /// Kept from one wait to the next: as a rule it is the same.
    waker: Option<Waker>,
    waits: bool,
}

impl Waiter {
    /// Notes that a future waits.
    pub(super) fn wait(&mut self, cx: &Context<'_>) {
        self.waits = true;
        match &mut self.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
    }

    pub(super) fn waits(&self) -> bool {
        self.waits
    }

    /// Wakes the future that waits. True if that is the one `own` wakes: its connection polls it by itself.
    pub(super) fn wake(&mut self, own: &Waker) -> bool {
        if !std::mem::take(&mut self.waits) {
            return false;
        }
        match &self.waker {
            Some(waker) if waker.will_wake(own) => true,
            Some(waker) => {
                waker.wake_by_ref();
                false
            }
            None => false,
        }
    }
}
