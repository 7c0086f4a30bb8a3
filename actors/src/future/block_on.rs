//! Blocking a thread on a future.

use std::{
    future::Future,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
    time::Instant,
};

/// Blocks this thread until `future` is ready and returns its output.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    let unpark = Unpark::new();
    let waker = Waker::from(Arc::clone(&unpark));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        while !unpark.take() {
            thread::park();
        }
    }
}

/// Blocks this thread until `future` is ready and returns its output, or `None` if `deadline` comes first.
pub(crate) fn block_on_until<F: Future>(future: F, deadline: Instant) -> Option<F::Output> {
    let unpark = Unpark::new();
    let waker = Waker::from(Arc::clone(&unpark));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return Some(output);
        }
        while !unpark.take() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            thread::park_timeout(left);
        }
    }
}

/// Waker that unparks a thread.
///
/// Code that the thread runs may park too, and consume an unpark. So the flag decides, not the unpark.
struct Unpark {
    thread: Thread,
    woken: AtomicBool,
}

impl Unpark {
    /// Creates a waker of this thread.
    fn new() -> Arc<Self> {
        Arc::new(Self { thread: thread::current(), woken: AtomicBool::new(false) })
    }

    /// Returns `true` if there was a wake since the last call.
    fn take(&self) -> bool {
        self.woken.swap(false, Ordering::Acquire)
    }
}

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.woken.swap(true, Ordering::Release) && self.thread.id() != thread::current().id() {
            self.thread.unpark();
        }
    }
}
