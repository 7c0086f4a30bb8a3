//! A completion as a future, or as something to wait for on a thread.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};

use super::{Completion, ErrorKind, Operation, StoreError};

/// The answer of a store that is still to come: a future for any executor, or [`wait`](Self::wait).
///
/// A store that drops its completion uncalled makes it [`ErrorKind::Closed`].
#[must_use = "the answer says whether it went well"]
pub struct Answer<T>(Arc<Slot<T>>);

struct Slot<T> {
    state: Mutex<State<T>>,
    arrived: Condvar,
}

enum State<T> {
    Waiting(Option<Waker>),
    Arrived(Result<T, StoreError>),
    Taken,
}

/// Makes a completion and what it completes.
pub fn pair<T: Send + 'static>() -> (Completion<T>, Answer<T>) {
    let slot = Arc::new(Slot { state: Mutex::new(State::Waiting(None)), arrived: Condvar::new() });
    let promise = Promise(Arc::clone(&slot));
    (Box::new(move |outcome| promise.0.put(outcome)), Answer(slot))
}

/// Answers even when the store forgets to.
struct Promise<T>(Arc<Slot<T>>);

impl<T> Drop for Promise<T> {
    fn drop(&mut self) {
        self.0.put(Err(dropped()));
    }
}

fn dropped() -> StoreError {
    StoreError::new(ErrorKind::Closed, Operation::Close, "the store ended without an answer")
}

impl<T> Slot<T> {
    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts the answer, unless there was one.
    fn put(&self, outcome: Result<T, StoreError>) {
        let mut state = self.state();
        let State::Waiting(waker) = &mut *state else { return };
        let waker = waker.take();
        *state = State::Arrived(outcome);
        drop(state);
        self.arrived.notify_one();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T> Answer<T> {
    /// Waits on this thread. Not for shards.
    ///
    /// # Errors
    ///
    /// What the store told.
    pub fn wait(self) -> Result<T, StoreError> {
        let waiting = |state: &mut State<T>| matches!(state, State::Waiting(_));
        let state =
            self.0.arrived.wait_while(self.0.state(), waiting).unwrap_or_else(PoisonError::into_inner);
        taken(state).unwrap_or_else(|| Err(dropped()))
    }

    /// Waits on this thread for so long at most; `None` when there is no answer by then.
    pub(super) fn wait_at_most(self, time: Duration) -> Option<Result<T, StoreError>> {
        let waiting = |state: &mut State<T>| matches!(state, State::Waiting(_));
        let waited = self.0.arrived.wait_timeout_while(self.0.state(), time, waiting);
        taken(waited.unwrap_or_else(PoisonError::into_inner).0)
    }
}

/// Takes the answer, if it is there and was not taken by a poll before.
fn taken<T>(mut state: MutexGuard<'_, State<T>>) -> Option<Result<T, StoreError>> {
    match std::mem::replace(&mut *state, State::Taken) {
        State::Arrived(outcome) => Some(outcome),
        State::Waiting(_) | State::Taken => None,
    }
}

/// # Cancel safety
///
/// The store goes on; its answer is dropped.
impl<T> Future for Answer<T> {
    type Output = Result<T, StoreError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.0.state();
        match std::mem::replace(&mut *state, State::Taken) {
            State::Arrived(outcome) => Poll::Ready(outcome),
            State::Taken => Poll::Ready(Err(dropped())),
            State::Waiting(_) => {
                *state = State::Waiting(Some(cx.waker().clone()));
                Poll::Pending
            }
        }
    }
}
