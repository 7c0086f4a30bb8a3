//! A deadline that works wherever its future is awaited.
//!
//! On a shard: that shard's timers. In a tokio runtime: tokio's. Anywhere else: the timers of a shard named by the
//! caller, which wakes the waiting task across threads.

use std::{
    future::Future,
    mem,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, Wake, Waker},
    time::Instant,
};

use tokio::{runtime::Handle, time::Sleep};

use super::{local::Local, remote::Remote, timers::TimerKey};

/// Ends at an instant. Unlike a shard's [`Sleep`](crate::Sleep) it is `Send`: which clock serves it is decided when it
/// is polled.
///
/// On a shard that shard's timers serve it, in a tokio runtime tokio's, anywhere else those of a shard of the system it
/// came from.
///
/// # Panics
///
/// Polled in a tokio runtime whose timers are not enabled.
///
/// # Cancel safety
///
/// Dropping it takes its timer away.
pub struct Deadline {
    at: Instant,
    /// Serves when neither a shard nor tokio is at hand.
    shard: Arc<Remote>,
    clock: Clock,
}

enum Clock {
    Unset,
    /// A timer of the shard with this index, valid on its thread only.
    Local(usize, TimerKey),
    Tokio(Pin<Box<Sleep>>),
    Remote(Arc<Alarm>),
}

impl Local {
    /// Returns a future that ends at `at`, wherever it is polled. On this shard it costs what a sleep does.
    pub fn deadline(&self, at: Instant) -> Deadline {
        Deadline::new(at, Arc::clone(self.remote()))
    }
}

impl Deadline {
    pub(crate) fn new(at: Instant, shard: Arc<Remote>) -> Self {
        Self { at, shard, clock: Clock::Unset }
    }

    fn start(&mut self, waker: &Waker) {
        self.clock = if let Some(local) = Local::current() {
            let key = local.timers().insert(self.at, waker.clone());
            Clock::Local(local.shard(), key)
        } else if Handle::try_current().is_ok() {
            Clock::Tokio(Box::pin(tokio::time::sleep_until(self.at.into())))
        } else {
            match Alarm::set(self.at, waker, &self.shard) {
                Some(alarm) => Clock::Remote(alarm),
                // The shard takes no calls at the moment: come back and try again.
                None => return waker.wake_by_ref(),
            }
        };
    }
}

impl std::fmt::Debug for Deadline {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Deadline").field("at", &self.at).finish_non_exhaustive()
    }
}

impl Future for Deadline {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if Instant::now() >= self.at {
            return Poll::Ready(());
        }
        let known = match &mut self.clock {
            Clock::Tokio(_) => true,
            Clock::Remote(alarm) => {
                alarm.rearm(cx.waker());
                true
            }
            Clock::Local(shard, key) => {
                let (shard, key) = (*shard, *key);
                Local::current()
                    .is_some_and(|local| local.shard() == shard && local.timers().rearm(key, cx.waker()))
            }
            Clock::Unset => false,
        };
        if !known {
            self.start(cx.waker());
        }
        match &mut self.clock {
            Clock::Tokio(sleep) => sleep.as_mut().poll(cx),
            _ => Poll::Pending,
        }
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        match mem::replace(&mut self.clock, Clock::Unset) {
            Clock::Local(shard, key) => {
                let local = Local::current().filter(|local| local.shard() == shard);
                // The borrow ends before the waker is dropped: its drop may come back to the timers.
                let waker = local.and_then(|local| local.timers().remove(key));
                drop(waker);
            }
            Clock::Remote(alarm) => alarm.unset(&self.shard),
            Clock::Tokio(_) | Clock::Unset => {}
        }
    }
}

/// A timer on another thread's shard that wakes a task here.
#[derive(Debug)]
struct Alarm(Mutex<State>);

#[derive(Debug)]
struct State {
    waiter: Option<Waker>,
    key: Option<TimerKey>,
}

impl Alarm {
    /// Asks `shard` to keep the timer. `None`: it takes no calls.
    fn set(at: Instant, waiter: &Waker, shard: &Remote) -> Option<Arc<Self>> {
        let alarm = Arc::new(Self(Mutex::new(State { waiter: Some(waiter.clone()), key: None })));
        let ours = Arc::clone(&alarm);
        let keep = move || {
            let Some(local) = Local::current() else { return };
            let mut state = ours.0.lock().unwrap_or_else(PoisonError::into_inner);
            if state.waiter.is_some() {
                state.key = Some(local.timers().insert(at, Waker::from(Arc::clone(&ours))));
            }
        };
        shard.run(Box::new(keep)).ok()?;
        Some(alarm)
    }

    fn rearm(&self, waiter: &Waker) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).waiter = Some(waiter.clone());
    }

    /// Takes the timer off the shard. If the shard takes no calls, the timer fires into the void.
    fn unset(self: Arc<Self>, shard: &Remote) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.waiter = None;
        let key = state.key;
        drop(state);
        let remove =
            move || drop(key.zip(Local::current()).and_then(|(key, local)| local.timers().remove(key)));
        if key.is_some() {
            // Refused: see above.
            let _ = shard.run(Box::new(remove));
        }
    }
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        let waiter = self.0.lock().unwrap_or_else(PoisonError::into_inner).waiter.take();
        if let Some(waiter) = waiter {
            waiter.wake();
        }
    }
}
