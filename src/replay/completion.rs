//! Completions: callbacks that receive the result of a store operation, and the future made from one.

use std::{
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};

use super::{ErrorKind, Operation, StoreError};

/// Callback that receives the result of a store operation, once.
///
/// It may run on the store's own threads or inside the call, with the store's locks held. So it must not
/// block and must not call the store. The stores of this crate catch a panic in it.
pub type Completion<T> = Box<dyn FnOnce(Result<T, StoreError>) + Send>;

/// Calls a completion and discards a panic in it, which the panic hook has already reported.
pub(super) fn complete<T>(done: Completion<T>, result: Result<T, StoreError>) {
    // The completion is consumed, so nobody can observe state that the panic left inconsistent.
    drop(catch_unwind(AssertUnwindSafe(|| done(result))));
}

/// Future result of a store operation, for any executor; [`wait`](Self::wait) blocks a thread instead.
///
/// A store that drops the completion without calling it makes the result [`ErrorKind::Closed`].
#[must_use = "the result tells whether the operation succeeded"]
pub struct StoreFuture<T>(Arc<Slot<T>>);

struct Slot<T> {
    state: Mutex<SlotState<T>>,
    filled: Condvar,
}

enum SlotState<T> {
    Pending(Option<Waker>),
    Filled(Result<T, StoreError>),
    Taken,
}

/// Creates a completion and the future that it completes.
pub fn completion<T: Send + 'static>() -> (Completion<T>, StoreFuture<T>) {
    let slot = Arc::new(Slot { state: Mutex::new(SlotState::Pending(None)), filled: Condvar::new() });
    let guard = FillOnDrop(Arc::clone(&slot));
    (Box::new(move |result| guard.0.fill(result)), StoreFuture(slot))
}

/// Fills the slot with an error when the store drops the completion uncalled.
struct FillOnDrop<T>(Arc<Slot<T>>);

impl<T> Drop for FillOnDrop<T> {
    fn drop(&mut self) {
        self.0.fill(Err(dropped()));
    }
}

fn dropped() -> StoreError {
    StoreError::new(ErrorKind::Closed, Operation::Close, "the store dropped the request without a result")
}

impl<T> Slot<T> {
    fn state(&self) -> MutexGuard<'_, SlotState<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stores the result, unless the slot has been filled before.
    fn fill(&self, result: Result<T, StoreError>) {
        let mut state = self.state();
        let SlotState::Pending(waker) = &mut *state else { return };
        let waker = waker.take();
        *state = SlotState::Filled(result);
        drop(state);
        self.filled.notify_one();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T> StoreFuture<T> {
    /// Blocks this thread until the result is there. Not for shards.
    ///
    /// # Errors
    ///
    /// The error of the store operation.
    pub fn wait(self) -> Result<T, StoreError> {
        let pending = |state: &mut SlotState<T>| matches!(state, SlotState::Pending(_));
        let state = self.0.filled.wait_while(self.0.state(), pending).unwrap_or_else(PoisonError::into_inner);
        take(state).unwrap_or_else(|| Err(dropped()))
    }

    /// Blocks this thread until the result is there or `timeout` has passed. Returns `None` on timeout.
    pub(super) fn wait_timeout(self, timeout: Duration) -> Option<Result<T, StoreError>> {
        let pending = |state: &mut SlotState<T>| matches!(state, SlotState::Pending(_));
        let waited = self.0.filled.wait_timeout_while(self.0.state(), timeout, pending);
        take(waited.unwrap_or_else(PoisonError::into_inner).0)
    }
}

/// Takes the result out of the slot. Returns `None` if there is none yet or a poll has taken it.
fn take<T>(mut state: MutexGuard<'_, SlotState<T>>) -> Option<Result<T, StoreError>> {
    match std::mem::replace(&mut *state, SlotState::Taken) {
        SlotState::Filled(result) => Some(result),
        SlotState::Pending(_) | SlotState::Taken => None,
    }
}

/// # Cancel safety
///
/// Dropping the future does not cancel the operation; its result is discarded.
impl<T> Future for StoreFuture<T> {
    type Output = Result<T, StoreError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.0.state();
        match std::mem::replace(&mut *state, SlotState::Taken) {
            SlotState::Filled(result) => Poll::Ready(result),
            SlotState::Taken => Poll::Ready(Err(dropped())),
            SlotState::Pending(_) => {
                *state = SlotState::Pending(Some(cx.waker().clone()));
                Poll::Pending
            }
        }
    }
}
