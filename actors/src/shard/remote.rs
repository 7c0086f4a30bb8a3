//! What other threads hold of a shard: its doorbell, its commands, its counters.

use std::{
    convert::Infallible,
    fmt, io,
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering},
    },
};

use super::{key::Lock, stats::ShardStats};
use crate::{
    error::TellError,
    mailbox::Mailbox,
    os::EventFd,
    stop::Phase,
    wake::{Flag, Line},
};

/// Something to be done on a shard's thread by the shard's loop.
pub(crate) type Call = Box<dyn FnOnce() + Send>;

/// Calls that wait for a shard at most.
const CALLS: usize = 1024;

/// The shared side of one shard.
pub(crate) struct Remote {
    pub(crate) index: usize,
    pub(crate) line: Arc<Line>,
    /// Up when the driver's inbox may hold a message.
    pub(crate) inbox: Flag,
    /// Up when a call waits or the phase rose.
    pub(crate) commands: Flag,
    calls: Mailbox<Call, Infallible>,
    /// What the lanes of its actors are made with.
    pub(crate) lock: Lock,
    phase: AtomicU8,
    actors: AtomicUsize,
    pub(crate) stats: ShardStats,
}

impl Remote {
    pub(crate) fn new(index: usize, lock: Lock) -> io::Result<Arc<Self>> {
        Ok(Arc::new(Self {
            index,
            line: Line::new(EventFd::new()?),
            inbox: Flag::new(),
            commands: Flag::new(),
            calls: Mailbox::new(CALLS, Arc::new(AtomicU64::new(0))),
            lock,
            phase: AtomicU8::new(Phase::Running as u8),
            actors: AtomicUsize::new(0),
            stats: ShardStats::default(),
        }))
    }

    /// Has the shard's loop run `call`. It is dropped unrun if the shard ends first.
    pub(crate) fn run(&self, call: Call) -> Result<(), TellError<Call>> {
        self.calls.try_push(call)?;
        self.command();
        Ok(())
    }

    pub(crate) fn next_call(&self) -> Option<Call> {
        self.calls.pop()
    }

    /// Makes the shard's loop look at its commands.
    pub(crate) fn command(&self) {
        self.commands.raise();
        self.line.bell.ring();
    }

    /// Raises the phase, never lowers it.
    pub(crate) fn raise(&self, phase: Phase) {
        self.phase.fetch_max(phase as u8, Ordering::SeqCst);
        self.command();
    }

    pub(crate) fn phase(&self) -> Phase {
        Phase::of(self.phase.load(Ordering::SeqCst))
    }

    /// Notes that an actor comes to live here, until what is returned is dropped.
    pub(crate) fn settle(self: &Arc<Self>) -> Settled {
        self.actors.fetch_add(1, Ordering::SeqCst);
        Settled(Arc::clone(self))
    }

    /// Returns how many actors live here or are on their way.
    pub(crate) fn actors(&self) -> usize {
        self.actors.load(Ordering::Relaxed)
    }

    pub(crate) fn has_no_actors(&self) -> bool {
        self.actors.load(Ordering::SeqCst) == 0
    }

    /// Says whether the shard takes calls, and its stop has not gone further than `latest`.
    pub(crate) fn is_open(&self, latest: Phase) -> bool {
        self.calls.is_open() && self.phase() <= latest
    }

    /// Says whether a queue of this shard may hold something.
    pub(crate) fn has_work(&self) -> bool {
        self.inbox.is_up() || self.line.is_up() || self.commands.is_up()
    }

    /// Refuses calls and wakes from here on: the shard has ended.
    pub(crate) fn close(&self) {
        self.calls.close();
        self.calls.abandon();
        self.line.close();
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

/// An actor's place on a shard; dropped when the actor has ended or will never come.
#[derive(Debug)]
pub(crate) struct Settled(Arc<Remote>);

impl Settled {
    pub(crate) fn shard(&self) -> &Arc<Remote> {
        &self.0
    }
}

impl Drop for Settled {
    fn drop(&mut self) {
        if self.0.actors.fetch_sub(1, Ordering::SeqCst) == 1 && self.0.phase() != Phase::Running {
            // A stopping shard waits for its last actor.
            self.0.command();
        }
    }
}
