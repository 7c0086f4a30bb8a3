//! The side of a shard that other threads use: its doorbell, its commands, its counters.

use std::{
    convert::Infallible,
    fmt, io,
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering},
    },
};

use super::{key::ShardKeyId, stats::ShardStats};
use crate::{
    error::TellError,
    mailbox::Mailbox,
    os::EventFd,
    stop::Phase,
    wake::{Flag, ShardWakes},
};

/// Function that the event loop of a shard calls on the shard's thread.
pub(crate) type Call = Box<dyn FnOnce() + Send>;

/// Maximum number of calls that wait for a shard.
const MAX_CALLS: usize = 1024;

/// The part of a shard that all threads share.
pub(crate) struct Remote {
    pub(crate) index: usize,
    pub(crate) wakes: Arc<ShardWakes>,
    /// Raised when the inbox of the driver may hold a message.
    pub(crate) inbox_flag: Flag,
    /// Raised when a call waits or the phase has changed.
    pub(crate) command_flag: Flag,
    calls: Mailbox<Call, Infallible>,
    /// Key id for the cells of the shard's actors.
    pub(crate) key_id: ShardKeyId,
    phase: AtomicU8,
    actors: AtomicUsize,
    pub(crate) stats: ShardStats,
}

impl Remote {
    /// Creates the shared part of a shard.
    ///
    /// # Errors
    ///
    /// The kernel refuses an eventfd.
    pub(crate) fn new(index: usize, key_id: ShardKeyId) -> io::Result<Arc<Self>> {
        Ok(Arc::new(Self {
            index,
            wakes: ShardWakes::new(EventFd::new()?),
            inbox_flag: Flag::new(),
            command_flag: Flag::new(),
            calls: Mailbox::new(MAX_CALLS, Arc::new(AtomicU64::new(0))),
            key_id,
            phase: AtomicU8::new(Phase::Running as u8),
            actors: AtomicUsize::new(0),
            stats: ShardStats::default(),
        }))
    }

    /// Queues a call for the event loop. The shard drops it without calling it if the shard ends first.
    ///
    /// # Errors
    ///
    /// Too many calls wait, or the shard has ended. The error returns the call.
    pub(crate) fn post_call(&self, call: Call) -> Result<(), TellError<Call>> {
        self.calls.try_push(call)?;
        self.notify_commands();
        Ok(())
    }

    /// Takes the next call, or returns `None` if none waits.
    pub(crate) fn next_call(&self) -> Option<Call> {
        self.calls.pop()
    }

    /// Makes the event loop check its calls and its phase.
    pub(crate) fn notify_commands(&self) {
        self.command_flag.raise();
        self.wakes.doorbell.ring();
    }

    /// Raises the phase to at least `phase`.
    pub(crate) fn raise_phase(&self, phase: Phase) {
        self.phase.fetch_max(phase as u8, Ordering::SeqCst);
        self.notify_commands();
    }

    /// Returns the phase of the shard's stop.
    pub(crate) fn phase(&self) -> Phase {
        Phase::from_byte(self.phase.load(Ordering::SeqCst))
    }

    /// Counts a new actor on this shard until the registration is dropped.
    pub(crate) fn register_actor(self: &Arc<Self>) -> ActorRegistration {
        self.actors.fetch_add(1, Ordering::SeqCst);
        ActorRegistration(Arc::clone(self))
    }

    /// Returns the number of actors that live on this shard or are about to start there.
    pub(crate) fn actors(&self) -> usize {
        self.actors.load(Ordering::Relaxed)
    }

    /// Returns `true` if no actor lives on this shard or is about to start there.
    pub(crate) fn has_no_actors(&self) -> bool {
        self.actors.load(Ordering::SeqCst) == 0
    }

    /// Returns `true` if the shard accepts calls and its phase is not beyond `latest`.
    pub(crate) fn is_open(&self, latest: Phase) -> bool {
        self.calls.is_open() && self.phase() <= latest
    }

    /// Returns `true` if one of the shard's queues may hold something.
    pub(crate) fn has_work(&self) -> bool {
        self.inbox_flag.is_raised() || self.wakes.is_raised() || self.command_flag.is_raised()
    }

    /// Drops the waiting calls, and refuses calls and ignores wakes from now on. Called when the shard has
    /// ended.
    pub(crate) fn close(&self) {
        self.calls.close();
        self.calls.abandon();
        self.wakes.close();
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote")
            .field("index", &self.index)
            .field("phase", &self.phase())
            .finish_non_exhaustive()
    }
}

/// Registration of an actor on its shard. It is dropped when the actor has exited, or when it will never
/// start.
#[derive(Debug)]
pub(crate) struct ActorRegistration(Arc<Remote>);

impl ActorRegistration {
    /// Returns the shard of the actor.
    pub(crate) fn shard(&self) -> &Arc<Remote> {
        &self.0
    }
}

impl Drop for ActorRegistration {
    fn drop(&mut self) {
        if self.0.actors.fetch_sub(1, Ordering::SeqCst) == 1 && self.0.phase() != Phase::Running {
            // A stopping shard waits for its last actor.
            self.0.notify_commands();
        }
    }
}
