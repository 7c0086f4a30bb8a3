//! Subscribers of one shard that have left and that the relay has not removed yet. Imports nothing of the
//! crate.

use std::sync::atomic::{
    AtomicBool, AtomicUsize,
    Ordering::{Acquire, Relaxed, Release},
};

/// Leaves that the relay of a shard has not handled.
#[derive(Default)]
pub(super) struct PendingLeaves {
    /// Leave messages in the mailbox of the relay.
    queued: AtomicUsize,
    /// Set if a leave message did not fit into the mailbox.
    unsent: AtomicBool,
}

impl PendingLeaves {
    /// Counts a leave message. Called before it is sent.
    pub(super) fn begin_send(&self) {
        self.queued.fetch_add(1, Release);
    }

    /// Records that the leave message was not sent, because the mailbox is full.
    pub(super) fn fail_send(&self) {
        self.unsent.store(true, Release);
        self.finish();
    }

    /// Records that the relay has handled a leave message.
    pub(super) fn finish(&self) {
        self.queued.fetch_sub(1, Release);
    }

    /// Returns `true` if the relay must search for subscribers whose leave messages were not sent, and clears
    /// that.
    pub(super) fn take_unsent(&self) -> bool {
        self.unsent.load(Relaxed) && self.unsent.swap(false, Acquire)
    }

    /// Returns `true` if the relay has removed all subscribers that have left.
    pub(super) fn is_empty(&self) -> bool {
        self.queued.load(Acquire) == 0 && !self.unsent.load(Acquire)
    }
}
