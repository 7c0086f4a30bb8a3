//! The exit of one actor, and the callbacks that wait for it.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::exit::ActorExit;

/// Callback that gets the exit of an actor, once. It runs on the thread where the actor exits, or on the
/// thread that registers it if the actor has exited already. It must not panic and must not block.
pub(crate) type Watcher = Box<dyn FnOnce(&ActorExit) + Send>;

/// Exit of one actor, and its watchers. It lives as long as the actor or one of its addresses.
#[derive(Default)]
pub(crate) struct ExitNotifier(Mutex<ExitState>);

#[derive(Default)]
struct ExitState {
    exit: Option<ActorExit>,
    /// Watchers by the number that [`ExitNotifier::watch`] returned.
    watchers: BTreeMap<u64, Watcher>,
    last_number: u64,
}

impl ExitNotifier {
    /// Calls `watcher` at the actor's exit, or at once if the actor has exited. Returns a number for
    /// [`unwatch`](Self::unwatch).
    pub(crate) fn watch(&self, watcher: Watcher) -> u64 {
        let mut state = self.lock();
        state.last_number += 1;
        let number = state.last_number;
        match state.exit.clone() {
            None => {
                state.watchers.insert(number, watcher);
            }
            Some(exit) => {
                drop(state);
                watcher(&exit);
            }
        }
        number
    }

    /// Removes a watcher. Has no effect on one that was called.
    pub(crate) fn unwatch(&self, number: u64) {
        // Dropping the watcher may call into this notifier again, so the lock is released first.
        let watcher = self.lock().watchers.remove(&number);
        drop(watcher);
    }

    /// Records the exit and calls all watchers. Called once.
    pub(crate) fn publish(&self, exit: &ActorExit) {
        let watchers = {
            let mut state = self.lock();
            state.exit = Some(exit.clone());
            std::mem::take(&mut state.watchers)
        };
        for watcher in watchers.into_values() {
            watcher(exit);
        }
    }

    /// Returns the exit, or `None` if the actor has not exited.
    pub(crate) fn exit(&self) -> Option<ActorExit> {
        self.lock().exit.clone()
    }

    fn lock(&self) -> MutexGuard<'_, ExitState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
