//! Who wants to know when an actor ends, and how it ended.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::exit::ActorExit;

/// Called once with how the actor ended, on whatever thread it ended on. Must not panic, must not block.
pub(crate) type Watcher = Box<dyn FnOnce(&ActorExit) + Send>;

/// Kept by an actor's addresses; survives the actor.
#[derive(Default)]
pub(crate) struct Obituary(Mutex<State>);

#[derive(Default)]
struct State {
    ended: Option<ActorExit>,
    watchers: BTreeMap<u64, Watcher>,
    serial: u64,
}

impl Obituary {
    /// Has `watcher` called at the actor's end, or at once if it has ended. The number takes it back.
    pub(crate) fn watch(&self, watcher: Watcher) -> u64 {
        let mut state = self.state();
        state.serial += 1;
        let serial = state.serial;
        match state.ended.clone() {
            None => {
                state.watchers.insert(serial, watcher);
            }
            Some(ended) => {
                drop(state);
                watcher(&ended);
            }
        }
        serial
    }

    pub(crate) fn unwatch(&self, serial: u64) {
        // Dropped outside of the lock: what it holds may come back here.
        let watcher = self.state().watchers.remove(&serial);
        drop(watcher);
    }

    /// Tells everyone. Called once.
    pub(crate) fn publish(&self, ended: &ActorExit) {
        let watchers = {
            let mut state = self.state();
            state.ended = Some(ended.clone());
            std::mem::take(&mut state.watchers)
        };
        for watcher in watchers.into_values() {
            watcher(ended);
        }
    }

    pub(crate) fn ended(&self) -> Option<ActorExit> {
        self.state().ended.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
