//! Waiting for an instant on a shard's own timers.

use std::{
    cell::RefCell,
    fmt,
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Instant,
};

use super::timers::{TimerKey, Timers};

/// Ends at an instant, by its shard's timers. Made by [`Local::sleep`](crate::Local::sleep).
///
/// # Cancel safety
///
/// Dropping it removes the timer.
#[must_use = "a future does nothing unless it is awaited"]
pub struct Sleep {
    timers: Rc<RefCell<Timers>>,
    at: Instant,
    key: Option<TimerKey>,
}

impl Sleep {
    pub(crate) fn new(timers: Rc<RefCell<Timers>>, at: Instant) -> Self {
        Self { timers, at, key: None }
    }

    /// Returns the instant at which it ends.
    pub fn deadline(&self) -> Instant {
        self.at
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        if Instant::now() >= this.at {
            return Poll::Ready(());
        }
        match this.key {
            Some(key) if this.timers.borrow_mut().rearm(key, cx.waker()) => {}
            _ => this.key = Some(this.timers.borrow_mut().insert(this.at, cx.waker().clone())),
        }
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            // The borrow ends before the waker is dropped: its drop may come back here.
            let waker = self.timers.borrow_mut().remove(key);
            drop(waker);
        }
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sleep").field("at", &self.at).finish_non_exhaustive()
    }
}
