//! A completion as a future, or as something to wait for on a thread.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
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
        let mut state = self.0.state();
        loop {
            match std::mem::replace(&mut *state, State::Taken) {
                State::Arrived(outcome) => return outcome,
                // Polled to its end before: as good as dropped.
                State::Taken => return Err(dropped()),
                waiting @ State::Waiting(_) => *state = waiting,
            }
            state = self.0.arrived.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
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
