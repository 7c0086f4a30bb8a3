//! Subscribers who have left and whose relay does not know it. Imports nothing.

use std::sync::atomic::{
    AtomicBool, AtomicUsize,
    Ordering::{Acquire, Relaxed, Release},
};

/// Subscribers of one shard who have left and whose relay does not know it.
#[derive(Default)]
pub(super) struct Absent {
    /// Messages of those who left that the relay has not taken.
    told: AtomicUsize,
    /// Somebody left whom the full mailbox could not tell of.
    untold: AtomicBool,
}

impl Absent {
    /// Notes that the relay will be told of one, before it is.
    pub(super) fn tell(&self) {
        self.told.fetch_add(1, Release);
    }

    /// Notes that its mailbox was full.
    pub(super) fn could_not_tell(&self) {
        self.untold.store(true, Release);
        self.hear();
    }

    /// Notes that the relay was told.
    pub(super) fn hear(&self) {
        self.told.fetch_sub(1, Release);
    }

    /// Says whether the relay should look for those it could not be told of.
    pub(super) fn take_untold(&self) -> bool {
        self.untold.load(Relaxed) && self.untold.swap(false, Acquire)
    }

    /// Says whether nobody has left whom the relay takes for present.
    pub(super) fn is_nobody(&self) -> bool {
        self.told.load(Acquire) == 0 && !self.untold.load(Acquire)
    }
}
