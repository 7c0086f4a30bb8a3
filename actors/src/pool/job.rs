//! Jobs: what a pool runs, or refuses to.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use tokio::task::AbortHandle;

use super::lane::Lane;

/// What an async job becomes on its worker. It need not be `Send`: it never leaves the worker.
pub type JobFuture = Pin<Box<dyn Future<Output = ()>>>;

/// A job for the async lane: many of them share a worker, so it must not block.
///
/// Exactly one of its methods is called, once; unless it is cancelled just as it starts: then it is dropped.
pub trait Job: Send + 'static {
    /// Starts the job on its worker, inside a tokio runtime.
    fn run(self: Box<Self>) -> JobFuture;

    /// Is called instead of [`run`](Self::run), on any thread: must be quick.
    fn refuse(self: Box<Self>, why: Refusal);
}

/// A job for the blocking lane: has a thread to itself.
///
/// Exactly one of its methods is called, once.
pub trait BlockingJob: Send + 'static {
    /// Does the job; may block.
    fn run(self: Box<Self>);

    /// Is called instead of [`run`](Self::run), on any thread: must be quick.
    fn refuse(self: Box<Self>, why: Refusal);
}

/// Why a job is not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// The lane's queue is full.
    Full,
    /// It was not started by its time.
    Late,
    /// The pool stops.
    Stopped,
    /// Its handle cancelled it.
    Cancelled,
}

/// A job that a pool did not take, and why. The job was not told.
pub struct Rejected<J: ?Sized> {
    /// The job.
    pub job: Box<J>,
    /// [`Refusal::Full`] or [`Refusal::Stopped`].
    pub why: Refusal,
}

impl<J: ?Sized> fmt::Debug for Rejected<J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rejected").field("why", &self.why).finish_non_exhaustive()
    }
}

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

/// The kind of job a lane runs.
pub(super) trait Kind: Send + 'static {
    fn refuse(self: Box<Self>, why: Refusal);
}

impl Kind for dyn Job {
    fn refuse(self: Box<Self>, why: Refusal) {
        Job::refuse(self, why);
    }
}

impl Kind for dyn BlockingJob {
    fn refuse(self: Box<Self>, why: Refusal) {
        BlockingJob::refuse(self, why);
    }
}

pub(super) trait Cancel: Send + Sync {
    fn cancel(&self);
}

/// A job's way through its lane.
pub(super) struct Ticket<J: ?Sized + Kind> {
    pub(super) lane: Arc<Lane<J>>,
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
    pub(super) fn new(lane: Arc<Lane<J>>, job: Box<J>, start_by: Option<Instant>) -> Arc<Self> {
        Arc::new(Self { lane, start_by, stage: Mutex::new(Stage::Waiting(job)) })
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

    /// Notes what stops the job, and stops it at once if that was asked meanwhile.
    pub(super) fn running(&self, abort: AbortHandle) {
        let mut stage = self.stage();
        match *stage {
            Stage::Started => *stage = Stage::Running(abort),
            Stage::Cancelled => abort.abort(),
            Stage::Waiting(_) | Stage::Running(_) | Stage::Over => {}
        }
    }

    pub(super) fn over(&self) {
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
                self.lane.refuse(job, Refusal::Cancelled);
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
