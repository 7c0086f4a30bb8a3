//! Jobs: what a pool runs, or refuses to.

use std::{fmt, future::Future, pin::Pin};

/// What an async job becomes on its worker. It need not be `Send`: it never leaves the worker.
pub type JobFuture = Pin<Box<dyn Future<Output = ()>>>;

/// A job for the async lane: many of them share a worker, so it must not block.
///
/// Exactly one of its methods is called, once; unless it is cancelled just as it starts: then it is dropped.
pub trait Job: Send + 'static {
    /// Starts the job on its worker, inside a tokio runtime.
    fn run(self: Box<Self>) -> JobFuture;

    /// Is called instead of [`run`](Self::run), on any thread: must be quick.
    fn refuse(self: Box<Self>, reason: Refusal);
}

/// A job for the blocking lane: has a thread to itself.
///
/// Exactly one of its methods is called, once.
pub trait BlockingJob: Send + 'static {
    /// Does the job; may block.
    fn run(self: Box<Self>);

    /// Is called instead of [`run`](Self::run), on any thread: must be quick.
    fn refuse(self: Box<Self>, reason: Refusal);
}

/// Why a job is not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// The lane's queue is full.
    Full,
    /// It was not started by its time.
    Expired,
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
    pub reason: Refusal,
}

impl<J: ?Sized> fmt::Debug for Rejected<J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rejected").field("reason", &self.reason).finish_non_exhaustive()
    }
}

/// The kind of job a lane runs.
pub(super) trait Kind: Send + 'static {
    fn refuse(self: Box<Self>, reason: Refusal);
}

impl Kind for dyn Job {
    fn refuse(self: Box<Self>, reason: Refusal) {
        Job::refuse(self, reason);
    }
}

impl Kind for dyn BlockingJob {
    fn refuse(self: Box<Self>, reason: Refusal) {
        BlockingJob::refuse(self, reason);
    }
}
