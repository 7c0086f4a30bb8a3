//! The protocol that wakes a shard: no lost wake-up, and no system call while the shard is awake.
//!
//! A sender pushes to a queue, raises the queue's [`Flag`] and calls [`Doorbell::ring`], which ends with a
//! write to the eventfd if the shard sleeps. The shard calls [`Doorbell::prepare_sleep`], waits, and calls
//! [`Doorbell::set_awake`].
//!
//! Both sides pass a fence between their write and their read: the sender raises a flag and then reads
//! "asleep", the shard sets "asleep" and then reads the flags. One of the two fences comes first. Either the
//! shard sees the flag, or the sender sees that the shard sleeps.
//!
//! `tests/doorbell_model.rs` compiles this file with loom's atomics, so it imports only `sync`.

use crate::sync::{AtomicBool, Ordering, fence};

/// Ends the wait of a sleeping shard.
pub(crate) trait Notify {
    /// Makes the current or the next wait of the shard return.
    fn notify(&self);
}

/// Doorbell of a shard: wakes the shard for new work if it sleeps.
#[derive(Debug)]
pub(crate) struct Doorbell<N> {
    asleep: AtomicBool,
    notifier: N,
}

impl<N: Notify> Doorbell<N> {
    /// Creates the doorbell of a shard that is awake.
    pub(crate) fn new(notifier: N) -> Self {
        Self { asleep: AtomicBool::new(false), notifier }
    }

    /// Wakes the shard if it sleeps. The caller has queued the work and raised the flag of the queue.
    pub(crate) fn ring(&self) {
        fence(Ordering::SeqCst);
        // The plain load comes first: while the shard is awake, which is nearly always, the senders share the
        // cache line instead of taking it from each other.
        if self.asleep.load(Ordering::Relaxed) && self.asleep.swap(false, Ordering::Relaxed) {
            self.notifier.notify();
        }
    }

    /// Marks the shard as asleep and returns `true`. If there is work, leaves it awake and returns `false`:
    /// it must not wait.
    pub(crate) fn prepare_sleep(&self, has_work: impl FnOnce() -> bool) -> bool {
        // A store would be enough. But loom lets a store pass between the two halves of a sender's swap and
        // then reports a lost wake-up.
        self.asleep.swap(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if has_work() {
            self.set_awake();
            return false;
        }
        true
    }

    /// Marks the shard as awake.
    pub(crate) fn set_awake(&self) {
        self.asleep.store(false, Ordering::Relaxed);
    }

    /// Returns the notifier, which ends a wait of the shard.
    pub(crate) fn notifier(&self) -> &N {
        &self.notifier
    }
}

/// Flag of a queue that may hold something. Reading it takes no lock.
#[derive(Debug)]
pub(crate) struct Flag(AtomicBool);

impl Flag {
    /// Creates a flag that is down.
    pub(crate) fn new() -> Self {
        Self(AtomicBool::new(false))
    }

    /// Raises the flag: the queue may hold something. Called after the push.
    pub(crate) fn raise(&self) {
        // A read-modify-write even if the flag is up already: it orders this push before the `lower` that
        // follows.
        self.0.swap(true, Ordering::AcqRel);
    }

    /// Returns `true` if the flag is up.
    pub(crate) fn is_raised(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Lowers the flag. Returns `true` if it was up. Called before the queue is emptied, so that no push is
    /// missed.
    pub(crate) fn lower(&self) -> bool {
        self.is_raised() && self.0.swap(false, Ordering::AcqRel)
    }
}
