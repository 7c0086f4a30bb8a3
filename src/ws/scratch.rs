//! What one shard lends to all of its sockets.

use std::cell::RefCell;

use crate::proto::ws::Scratch;

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Lends the thread's memory; `f` must not ask for it again.
pub(super) fn with_scratch<R>(f: impl FnOnce(&mut Scratch) -> R) -> R {
    SCRATCH.with_borrow_mut(f)
}

/// Gives memory to the next message, unless the thread ends.
pub(crate) fn recycle(memory: Vec<u8>) {
    let _ = SCRATCH.try_with(|scratch| scratch.borrow_mut().recycle(memory));
}
