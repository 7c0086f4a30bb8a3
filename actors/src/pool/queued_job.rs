//! A job's way through its lane: it waits, runs, and can be cancelled from anywhere.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering},
    time::Instant,
};

use tokio::task::AbortHandle;

use super::{
    counters::Tally,
    job::{Kind, Refusal},
};

/// Refers to a job in a pool. Dropping it lets the job be.
#[derive(Clone)]
pub struct JobHandle(pub(super) Arc<dyn Cancel>);

impl JobHandle {
    /// Cancels the job, from any thread, at the cost of a short lock.
    ///
    /// A job not yet started is refused on the spot and its place in the queue is free. A running async job is
    /// dropped at its next await; a running blocking job runs on. A job that is over stays so.
    pub fn cancel(&self) {
        self.0.cancel();
    }
}

impl fmt::Debug for JobHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JobHandle")
    }
}

pub(super) trait Cancel: Send + Sync {
    fn cancel(&self);
}

/// A job's way through its lane.
pub(super) struct Ticket<J: ?Sized + Kind> {
    tally: Arc<Tally>,
    pub(super) start_by: Option<Instant>,
    stage: Mutex<Stage<J>>,
}

enum Stage<J: ?Sized> {
    Waiting(Box<J>),
    /// Taken by a worker.
    Started,
    /// Can be stopped by this.
    Running(AbortHandle),
    /// Cancelled while it was started.
    Cancelled,
    Over,
}

impl<J: ?Sized + Kind> Ticket<J> {
    pub(super) fn new(tally: Arc<Tally>, job: Box<J>, start_by: Option<Instant>) -> Arc<Self> {
        Arc::new(Self { tally, start_by, stage: Mutex::new(Stage::Waiting(job)) })
    }

    pub(super) fn is_waiting(&self) -> bool {
        matches!(*self.stage(), Stage::Waiting(_))
    }

    /// Takes the job out, unless that was done before.
    pub(super) fn take(&self) -> Option<Box<J>> {
        let mut stage = self.stage();
        match std::mem::replace(&mut *stage, Stage::Started) {
            Stage::Waiting(job) => Some(job),
            other => {
                *stage = other;
                None
            }
        }
    }

    /// Counts the job, taken out before, as one that runs.
    pub(super) fn run(self: &Arc<Self>) -> Running<J> {
        self.tally.queued.fetch_sub(1, Ordering::Relaxed);
        self.tally.running.fetch_add(1, Ordering::Relaxed);
        Running { ticket: Arc::clone(self), outcome: None }
    }

    /// Notes what stops the job, and stops it at once if that was asked meanwhile.
    pub(super) fn running(&self, abort: AbortHandle) {
        let mut stage = self.stage();
        match *stage {
            Stage::Started => *stage = Stage::Running(abort),
            Stage::Cancelled => abort.abort(),
            Stage::Waiting(_) | Stage::Running(_) | Stage::Over => {}
        }
    }

    fn over(&self) {
        *self.stage() = Stage::Over;
    }

    fn stage(&self) -> MutexGuard<'_, Stage<J>> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<J: ?Sized + Kind> Cancel for Ticket<J> {
    fn cancel(&self) {
        let mut stage = self.stage();
        match std::mem::replace(&mut *stage, Stage::Cancelled) {
            Stage::Waiting(job) => {
                drop(stage);
                self.tally.refuse(job, Refusal::Cancelled);
            }
            Stage::Running(abort) => {
                drop(stage);
                abort.abort();
            }
            Stage::Started | Stage::Cancelled => {}
            Stage::Over => *stage = Stage::Over,
        }
    }
}

/// A job that runs. Dropped without an outcome it was cancelled.
pub(super) struct Running<J: ?Sized + Kind> {
    ticket: Arc<Ticket<J>>,
    outcome: Option<Outcome>,
}

enum Outcome {
    Done,
    Panicked,
}

impl<J: ?Sized + Kind> Running<J> {
    /// Notes how the job ended: `Err` for a panic.
    pub(super) fn end<E>(mut self, outcome: Result<(), E>) {
        self.outcome = Some(if outcome.is_ok() { Outcome::Done } else { Outcome::Panicked });
    }
}

impl<J: ?Sized + Kind> Drop for Running<J> {
    fn drop(&mut self) {
        self.ticket.over();
        let tally = &self.ticket.tally;
        let counter = match self.outcome {
            Some(Outcome::Done) => &tally.done,
            Some(Outcome::Panicked) => &tally.panicked,
            None => &tally.cancelled,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        tally.running.fetch_sub(1, Ordering::Relaxed);
    }
}
