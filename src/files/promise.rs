//! A value that one thread provides once and several futures wait for.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, Waker},
};

/// The place of a value that is not there yet. Clones share the place.
#[derive(Debug)]
pub(super) struct Promise<T>(Arc<Mutex<State<T>>>);

#[derive(Debug)]
struct State<T> {
    value: Option<T>,
    /// Wakers of the waiting futures. A dropped future leaves its place empty.
    waiting: Vec<Option<Waker>>,
}

impl<T> Clone for Promise<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: Clone> Promise<T> {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(State { value: None, waiting: Vec::new() })))
    }

    /// Provides the value and wakes all waiting futures. Only the first value counts.
    pub(super) fn keep(&self, value: T) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.value.get_or_insert(value);
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        waiting.into_iter().flatten().for_each(Waker::wake);
    }

    /// Returns a future of a copy of the value.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future has no effect on the value or on other futures.
    pub(super) fn wait(&self) -> Wait<T> {
        Wait { promise: self.clone(), place: None }
    }
}

/// Future of the value of a [`Promise`].
#[derive(Debug)]
pub(super) struct Wait<T> {
    promise: Promise<T>,
    /// Index of the future's waker, once it has one.
    place: Option<usize>,
}

impl<T: Clone> Future for Wait<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let this = &mut *self;
        let mut state = this.promise.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = &state.value {
            return Poll::Ready(value.clone());
        }
        let waker = Some(cx.waker().clone());
        match this.place.and_then(|place| state.waiting.get_mut(place)) {
            Some(place) => *place = waker,
            None => {
                this.place = Some(state.waiting.len());
                state.waiting.push(waker);
            }
        }
        Poll::Pending
    }
}

impl<T> Drop for Wait<T> {
    fn drop(&mut self) {
        let Some(place) = self.place else { return };
        let mut state = self.promise.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(waker) = state.waiting.get_mut(place) {
            *waker = None;
        }
        while let Some(None) = state.waiting.last() {
            state.waiting.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use super::*;

    #[test]
    fn all_waiting_futures_get_the_first_value() {
        let promise = Promise::new();
        let mut cx = Context::from_waker(Waker::noop());
        let (mut one, mut two) = (pin!(promise.wait()), pin!(promise.wait()));
        assert!(one.as_mut().poll(&mut cx).is_pending());
        assert!(two.as_mut().poll(&mut cx).is_pending());
        promise.keep(1);
        promise.keep(2);
        assert_eq!(one.as_mut().poll(&mut cx), Poll::Ready(1));
        assert_eq!(two.as_mut().poll(&mut cx), Poll::Ready(1));
    }

    #[test]
    fn dropped_futures_leave_no_waker() {
        let promise = Promise::<()>::new();
        let mut cx = Context::from_waker(Waker::noop());
        for _ in 0..3 {
            let mut first = Box::pin(promise.wait());
            let mut second = Box::pin(promise.wait());
            assert!(first.as_mut().poll(&mut cx).is_pending() && second.as_mut().poll(&mut cx).is_pending());
            drop(first);
            assert!(second.as_mut().poll(&mut cx).is_pending());
            assert_eq!(promise.0.lock().unwrap().waiting.len(), 2);
        }
        assert!(promise.0.lock().unwrap().waiting.is_empty());
    }
}
