//! Bounded queue between threads. Pushing never blocks; taking may.

use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use crate::replay::panic::catch_panic;

/// Callback that runs when the queue has room again.
type Ready = Box<dyn FnOnce() + Send>;

/// Calls a callback. A panic must not end the store's thread; the panic hook has already reported it.
fn call(ready: Ready) {
    drop(catch_panic(ready));
}

/// Maximum number of callbacks that wait for room. Further ones run at once and their callers retry, so that
/// the memory for callbacks is bounded.
const MAX_CALLBACKS: usize = 1024;

pub(super) struct Queue<T> {
    state: Mutex<QueueState<T>>,
    not_empty: Condvar,
    max_items: usize,
    max_bytes: usize,
}

struct QueueState<T> {
    /// Items with their sizes in bytes.
    items: VecDeque<(T, usize)>,
    bytes: usize,
    is_closed: bool,
    /// Number of threads blocked in `take`.
    waiting_takers: usize,
    ready: Vec<Ready>,
}

/// Error of a push. It returns the item.
pub(super) enum PushError<T> {
    Full(T),
    Closed(T),
}

/// Result of a take.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum TakeResult {
    /// At least one item was taken.
    Items,
    /// The deadline passed while the queue was empty.
    TimedOut,
    /// The queue is closed and empty.
    Closed,
}

impl<T> Queue<T> {
    pub(super) fn new(max_items: usize, max_bytes: usize) -> Self {
        let (items, bytes, ready) = Default::default();
        let state = QueueState { items, bytes, is_closed: false, waiting_takers: 0, ready };
        Self { state: Mutex::new(state), not_empty: Condvar::new(), max_items: max_items.max(1), max_bytes }
    }

    fn state(&self) -> MutexGuard<'_, QueueState<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has_room(&self, state: &QueueState<T>, bytes: usize) -> bool {
        // An item above the byte limit is accepted when the queue is empty.
        state.items.is_empty()
            || (state.items.len() < self.max_items && state.bytes.saturating_add(bytes) <= self.max_bytes)
    }

    /// Appends an item of the given size.
    ///
    /// # Errors
    ///
    /// The queue is full or closed.
    pub(super) fn push(&self, item: T, bytes: usize) -> Result<(), PushError<T>> {
        let mut state = self.state();
        if state.is_closed {
            return Err(PushError::Closed(item));
        }
        if !self.has_room(&state, bytes) {
            return Err(PushError::Full(item));
        }
        state.items.push_back((item, bytes));
        state.bytes += bytes;
        let wake = state.waiting_takers > 0;
        drop(state);
        if wake {
            self.not_empty.notify_one();
        }
        Ok(())
    }

    /// Calls `ready` after the next take or when the queue closes, or at once if the queue is empty or closed
    /// or [`MAX_CALLBACKS`] wait. The item of the caller may still not fit then.
    pub(super) fn when_ready(&self, ready: Ready) {
        let mut state = self.state();
        if state.is_closed || state.items.is_empty() || state.ready.len() >= MAX_CALLBACKS {
            drop(state);
            return call(ready);
        }
        state.ready.push(ready);
    }

    /// Moves items to the end of `into`, which must be empty: at most `items` of at most `bytes` bytes
    /// together, but at least one.
    /// Blocks until the queue has an item or is closed, or the deadline, if given, passes.
    pub(super) fn take(
        &self,
        into: &mut Vec<T>,
        items: usize,
        bytes: usize,
        deadline: Option<Instant>,
    ) -> TakeResult {
        let mut state = self.state();
        while state.items.is_empty() {
            if state.is_closed {
                return TakeResult::Closed;
            }
            state.waiting_takers += 1;
            state = match deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())) {
                Some(left) if left.is_zero() => {
                    state.waiting_takers -= 1;
                    return TakeResult::TimedOut;
                }
                Some(left) => {
                    self.not_empty.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.not_empty.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
            state.waiting_takers -= 1;
        }
        let mut taken_bytes = 0;
        while let Some((_, size)) = state.items.front() {
            if taken_bytes > 0 && (into.len() >= items || taken_bytes + size > bytes) {
                break;
            }
            let Some((item, size)) = state.items.pop_front() else { break };
            state.bytes -= size;
            taken_bytes += size.max(1);
            into.push(item);
        }
        let ready = std::mem::take(&mut state.ready);
        drop(state);
        ready.into_iter().for_each(call);
        TakeResult::Items
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state().is_closed
    }

    /// Rejects further items. Items already in the queue can still be taken.
    pub(super) fn close(&self) {
        let mut state = self.state();
        state.is_closed = true;
        let ready = std::mem::take(&mut state.ready);
        drop(state);
        self.not_empty.notify_all();
        ready.into_iter().for_each(call);
    }
}
