//! A bounded queue between threads that never waits to take something in.

use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use crate::replay::contain::contain;

/// Called when there is room again.
type Ready = Box<dyn FnOnce() + Send>;

/// Calls what may not end the store's thread; a panic has been told by the panic hook.
fn call(ready: Ready) {
    drop(contain(ready));
}

/// How many may wait for room. Further ones are called at once and try again: bounded work instead of unbounded memory.
const WAITING: usize = 1024;

pub(super) struct Queue<T> {
    state: Mutex<State<T>>,
    filled: Condvar,
    most_items: usize,
    most_bytes: usize,
}

struct State<T> {
    items: VecDeque<(T, usize)>,
    bytes: usize,
    is_closed: bool,
    /// Threads that wait in `take`.
    takers: usize,
    ready: Vec<Ready>,
}

/// Why an item was not taken in; it comes back.
pub(super) enum Rejected<T> {
    Full(T),
    Closed(T),
}

/// What a wait for items came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Taken {
    Items,
    Deadline,
    /// Closed, and nothing is left.
    Closed,
}

impl<T> Queue<T> {
    pub(super) fn new(most_items: usize, most_bytes: usize) -> Self {
        let (items, bytes, ready) = Default::default();
        let state = State { items, bytes, is_closed: false, takers: 0, ready };
        Self { state: Mutex::new(state), filled: Condvar::new(), most_items: most_items.max(1), most_bytes }
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has_room(&self, state: &State<T>, bytes: usize) -> bool {
        // An item larger than the bound still passes, alone.
        state.items.is_empty()
            || (state.items.len() < self.most_items && state.bytes.saturating_add(bytes) <= self.most_bytes)
    }

    pub(super) fn push(&self, item: T, bytes: usize) -> Result<(), Rejected<T>> {
        let mut state = self.state();
        if state.is_closed {
            return Err(Rejected::Closed(item));
        }
        if !self.has_room(&state, bytes) {
            return Err(Rejected::Full(item));
        }
        state.items.push_back((item, bytes));
        state.bytes += bytes;
        let wake = state.takers > 0;
        drop(state);
        if wake {
            self.filled.notify_one();
        }
        Ok(())
    }

    /// Calls `ready` when items have been taken next, or at once if there is none or the queue is closed. Whether there is
    /// room for what its caller has, only `push` can tell.
    pub(super) fn when_ready(&self, ready: Ready) {
        let mut state = self.state();
        if state.is_closed || state.items.is_empty() || state.ready.len() >= WAITING {
            drop(state);
            return call(ready);
        }
        state.ready.push(ready);
    }

    /// Takes items within the bounds, at least one, waiting for the first until the deadline.
    pub(super) fn take(
        &self,
        into: &mut Vec<T>,
        items: usize,
        bytes: usize,
        deadline: Option<Instant>,
    ) -> Taken {
        let mut state = self.state();
        while state.items.is_empty() {
            if state.is_closed {
                return Taken::Closed;
            }
            state.takers += 1;
            state = match deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())) {
                Some(left) if left.is_zero() => {
                    state.takers -= 1;
                    return Taken::Deadline;
                }
                Some(left) => self.filled.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0,
                None => self.filled.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
            state.takers -= 1;
        }
        let mut taken = 0;
        while let Some((_, size)) = state.items.front() {
            if taken > 0 && (into.len() >= items || taken + size > bytes) {
                break;
            }
            let Some((item, size)) = state.items.pop_front() else { break };
            state.bytes -= size;
            taken += size.max(1);
            into.push(item);
        }
        let ready = std::mem::take(&mut state.ready);
        drop(state);
        ready.into_iter().for_each(call);
        Taken::Items
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state().is_closed
    }

    /// Takes nothing in any more; what is in can still be taken.
    pub(super) fn close(&self) {
        let mut state = self.state();
        state.is_closed = true;
        let ready = std::mem::take(&mut state.ready);
        drop(state);
        self.filled.notify_all();
        ready.into_iter().for_each(call);
    }
}
