//! Futures that wait for an instant with the timers of one shard.

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
use crate::time;

/// Future that ends at an instant, kept by the timers of its shard. Created by
/// [`Local::sleep`](crate::Local::sleep).
///
/// # Cancel safety
///
/// Dropping it removes the timer.
#[must_use = "a future does nothing unless it is awaited"]
pub struct Sleep {
    timers: Rc<RefCell<Timers>>,
    deadline: Instant,
    key: Option<TimerKey>,
}

impl Sleep {
    pub(crate) fn new(timers: Rc<RefCell<Timers>>, deadline: Instant) -> Self {
        Self { timers, deadline, key: None }
    }

    /// Returns the instant at which the future ends.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        if time::now() >= this.deadline {
            return Poll::Ready(());
        }
        match this.key {
            Some(key) if this.timers.borrow_mut().set_waker(key, cx.waker()) => {}
            _ => this.key = Some(this.timers.borrow_mut().insert(this.deadline, cx.waker().clone())),
        }
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            // Dropping the waker may call into the timers again, so the borrow ends first.
            let waker = self.timers.borrow_mut().remove(key);
            drop(waker);
        }
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sleep").field("deadline", &self.deadline).finish_non_exhaustive()
    }
}
