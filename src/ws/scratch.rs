//! Memory that all sockets of a shard share.

use std::cell::RefCell;

use crate::proto::ws::Scratch;

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Calls `f` with the thread's scratch memory.
///
/// # Panics
///
/// Panics if `f` calls this function again.
pub(super) fn with_scratch<R>(f: impl FnOnce(&mut Scratch) -> R) -> R {
    SCRATCH.with_borrow_mut(f)
}

/// Keeps the memory of a buffer for a later message, if the thread's scratch memory has room for it.
pub(crate) fn recycle(buffer: Vec<u8>) {
    let _ = SCRATCH.try_with(|scratch| scratch.borrow_mut().recycle(buffer));
}
