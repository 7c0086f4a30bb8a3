//! The protocol that wakes a shard: no lost wake-up, no system call while the shard is awake.
//!
//! Sender: push; raise the queue's [`Flag`]; [`Doorbell::ring`] (fence, then write the bell if the shard sleeps).
//! Shard: [`Doorbell::doze`] (say "asleep", fence, look at every flag again), wait, [`Doorbell::rise`].
//! Of the two fences one comes first: either the shard sees the flag, or the sender sees the sleeper.
//!
//! `tests/doorbell_model.rs` compiles this file over loom's atomics, so it names nothing else of the crate.

use crate::sync::{AtomicBool, Ordering, fence};

/// Ends the wait of a sleeping shard.
pub(crate) trait Bell {
    /// Makes the shard's current or next wait return.
    fn strike(&self);
}

/// Tells a shard that there is work, and whether it must be woken for it.
#[derive(Debug)]
pub(crate) struct Doorbell<B> {
    asleep: AtomicBool,
    bell: B,
}

impl<B: Bell> Doorbell<B> {
    pub(crate) fn new(bell: B) -> Self {
        Self { asleep: AtomicBool::new(false), bell }
    }

    /// Wakes the shard if it sleeps. Called after the work was queued and its flag raised.
    pub(crate) fn ring(&self) {
        fence(Ordering::SeqCst);
        // The load keeps the line shared between senders while the shard is awake, which is nearly always.
        if self.asleep.load(Ordering::Relaxed) && self.asleep.swap(false, Ordering::Relaxed) {
            self.bell.strike();
        }
    }

    /// Says that the shard is about to wait. False: there is work, so it must not.
    pub(crate) fn doze(&self, has_work: impl FnOnce() -> bool) -> bool {
        // A swap, where a store would do: loom does not keep a store from slipping between the two halves of a
        // sender's swap, and reports a wake-up lost that way.
        self.asleep.swap(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if has_work() {
            self.rise();
            return false;
        }
        true
    }

    /// Says that the shard is awake again.
    pub(crate) fn rise(&self) {
        self.asleep.store(false, Ordering::Relaxed);
    }

    pub(crate) fn bell(&self) -> &B {
        &self.bell
    }
}

/// Says that a queue may hold something, without taking the queue's lock.
#[derive(Debug)]
pub(crate) struct Flag(AtomicBool);

impl Flag {
    pub(crate) fn new() -> Self {
        Self(AtomicBool::new(false))
    }

    /// Raises the flag. Called after the push.
    pub(crate) fn raise(&self) {
        // A read-modify-write even when it is up: it orders this push before the lowering that takes it.
        self.0.swap(true, Ordering::AcqRel);
    }

    /// Says whether the flag is up.
    pub(crate) fn is_up(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Lowers the flag and says whether it was up. The queue is emptied after it, so that no push is missed.
    pub(crate) fn lower(&self) -> bool {
        self.is_up() && self.0.swap(false, Ordering::AcqRel)
    }
}
