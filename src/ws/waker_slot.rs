//! The waker of a task that waits for a socket.

use std::task::{Context, Waker};

/// Waker of at most one waiting task. A later registration replaces an earlier one.
#[derive(Debug, Default)]
pub(super) struct WakerSlot {
    /// Kept after a wake, because the same task usually waits again.
    waker: Option<Waker>,
    is_waiting: bool,
}

impl WakerSlot {
    /// Registers the current task.
    pub(super) fn register(&mut self, cx: &Context<'_>) {
        self.is_waiting = true;
        match &mut self.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
    }

    pub(super) fn is_waiting(&self) -> bool {
        self.is_waiting
    }

    /// Wakes the waiting task, unless it is the handler itself.
    ///
    /// Returns `true` if the handler was waiting: the connection then polls it without a wake.
    pub(super) fn wake(&mut self, handler: &Waker) -> bool {
        if !std::mem::take(&mut self.is_waiting) {
            return false;
        }
        match &self.waker {
            Some(waker) if waker.will_wake(handler) => true,
            Some(waker) => {
                waker.wake_by_ref();
                false
            }
            None => false,
        }
    }
}
