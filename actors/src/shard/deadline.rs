//! A deadline that works wherever its future is polled.
//!
//! On a shard it uses the timers of that shard, and in a tokio runtime those of tokio. On any other thread it
//! uses the timers of a shard that the caller names. That shard wakes the waiting task across threads.

use std::{
    fmt,
    future::Future,
    mem,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Wake, Waker},
    time::{Duration, Instant},
};

use tokio::{runtime::Handle, time::Sleep};

use super::{local::Local, remote::Remote, timers::TimerKey};
use crate::time;

/// Future that ends at an instant, wherever it is polled.
///
/// Unlike [`Sleep`](crate::Sleep) it is `Send`. It chooses its timer when it is polled: on a shard a timer of
/// that shard, in a tokio runtime a timer of tokio, on any other thread a timer of a shard of the system that
/// created it. In the last case it ends late while that shard is busy.
///
/// # Panics
///
/// Polling it panics in a tokio runtime whose timers are not enabled, and one that [`sleep`] created panics
/// on a thread that has neither a shard nor a tokio runtime.
///
/// # Cancel safety
///
/// Dropping it removes its timer.
pub struct Deadline {
    deadline: Instant,
    /// Shard whose timers serve on a thread with neither a shard nor a tokio runtime. `None`: polling there
    /// panics.
    fallback: Option<Arc<Remote>>,
    timer: Timer,
}

/// Timer that serves a [`Deadline`].
enum Timer {
    /// No timer: the future was not polled, or the last shard accepted no calls.
    Unset,
    /// A timer of the shard with this index. The key is valid on the thread of that shard only.
    Shard(usize, TimerKey),
    Tokio(Pin<Box<Sleep>>),
    Remote(Arc<RemoteTimer>),
}

impl Local {
    /// Returns a future that ends at `deadline`, wherever it is polled. On this shard it costs as much as a
    /// sleep.
    pub fn deadline(&self, deadline: Instant) -> Deadline {
        Deadline::new(deadline, Some(Arc::clone(self.remote())))
    }
}

/// Returns a future that ends `duration` after this call. It is `Send` and works on a shard and in a tokio
/// runtime.
///
/// # Panics
///
/// See [`Deadline`].
pub fn sleep(duration: Duration) -> Deadline {
    sleep_until(time::instant_after(time::now(), duration))
}

/// Returns a future that ends at `deadline`. See [`sleep`].
pub fn sleep_until(deadline: Instant) -> Deadline {
    Deadline::new(deadline, None)
}

impl Deadline {
    pub(crate) fn new(deadline: Instant, fallback: Option<Arc<Remote>>) -> Self {
        Self { deadline, fallback, timer: Timer::Unset }
    }

    /// Returns the instant at which the future ends.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Starts a timer of this thread's shard, else of its tokio runtime, else of the fallback shard. Wakes
    /// the task to try again if that shard accepts no calls.
    fn start(&mut self, waker: &Waker) {
        self.timer = if let Some(local) = Local::current() {
            let key = local.timers().insert(self.deadline, waker.clone());
            Timer::Shard(local.shard(), key)
        } else if Handle::try_current().is_ok() {
            Timer::Tokio(Box::pin(tokio::time::sleep_until(self.deadline.into())))
        } else {
            let fallback = self.fallback.as_ref();
            let fallback =
                fallback.expect("a sleep was polled on a thread without a shard or a tokio runtime");
            match RemoteTimer::start(self.deadline, waker, fallback) {
                Some(timer) => Timer::Remote(timer),
                // The shard accepts no calls now, so the task polls again at once.
                None => return waker.wake_by_ref(),
            }
        };
    }
}

impl fmt::Debug for Deadline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deadline").field("deadline", &self.deadline).finish_non_exhaustive()
    }
}

impl Future for Deadline {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if time::now() >= self.deadline {
            return Poll::Ready(());
        }
        let is_running = match &mut self.timer {
            Timer::Tokio(_) => true,
            Timer::Remote(timer) => {
                timer.set_waiter(cx.waker());
                true
            }
            Timer::Shard(shard, key) => {
                let (shard, key) = (*shard, *key);
                Local::current()
                    .is_some_and(|local| local.shard() == shard && local.timers().set_waker(key, cx.waker()))
            }
            Timer::Unset => false,
        };
        if !is_running {
            self.start(cx.waker());
        }
        match &mut self.timer {
            Timer::Tokio(sleep) => sleep.as_mut().poll(cx),
            _ => Poll::Pending,
        }
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        match mem::replace(&mut self.timer, Timer::Unset) {
            Timer::Shard(shard, key) => {
                let local = Local::current().filter(|local| local.shard() == shard);
                // Dropping the waker may call into the timers again, so the borrow ends first.
                let waker = local.and_then(|local| local.timers().remove(key));
                drop(waker);
            }
            Timer::Remote(timer) => {
                if let Some(fallback) = &self.fallback {
                    timer.cancel(fallback);
                }
            }
            Timer::Tokio(_) | Timer::Unset => {}
        }
    }
}

/// Timer on the shard of another thread. It wakes a task on this thread.
#[derive(Debug)]
struct RemoteTimer(Mutex<RemoteTimerState>);

#[derive(Debug)]
struct RemoteTimerState {
    /// Waker of the waiting task. `None` once the timer has fired or was cancelled.
    waiter: Option<Waker>,
    /// Key on the other shard, once that shard has started the timer.
    key: Option<TimerKey>,
}

impl RemoteTimer {
    /// Starts a timer on `shard`. Returns `None` if the shard accepts no calls.
    fn start(deadline: Instant, waiter: &Waker, shard: &Remote) -> Option<Arc<Self>> {
        let state = RemoteTimerState { waiter: Some(waiter.clone()), key: None };
        let timer = Arc::new(Self(Mutex::new(state)));
        let shared = Arc::clone(&timer);
        let insert = move || {
            let Some(local) = Local::current() else { return };
            let mut state = shared.lock();
            if state.waiter.is_some() {
                state.key = Some(local.timers().insert(deadline, Waker::from(Arc::clone(&shared))));
            }
        };
        shard.post_call(Box::new(insert)).ok()?;
        Some(timer)
    }

    fn set_waiter(&self, waiter: &Waker) {
        self.lock().waiter = Some(waiter.clone());
    }

    /// Removes the timer from the shard. If the shard accepts no calls, the timer fires later and wakes
    /// nobody.
    fn cancel(self: Arc<Self>, shard: &Remote) {
        let mut state = self.lock();
        state.waiter = None;
        let key = state.key;
        drop(state);
        let remove =
            move || drop(key.zip(Local::current()).and_then(|(key, local)| local.timers().remove(key)));
        if key.is_some() {
            // A refused call has no consequence: the timer has no waiter any more.
            let _ = shard.post_call(Box::new(remove));
        }
    }

    fn lock(&self) -> MutexGuard<'_, RemoteTimerState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for RemoteTimer {
    fn wake(self: Arc<Self>) {
        let waiter = self.lock().waiter.take();
        if let Some(waiter) = waiter {
            waiter.wake();
        }
    }
}
