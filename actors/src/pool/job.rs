//! Jobs, and the reasons why a pool refuses them.

use std::{any::Any, fmt, future::Future, pin::Pin};

/// Future of a running async job. It need not be `Send`, because it never leaves its worker.
pub type JobFuture = Pin<Box<dyn Future<Output = ()>>>;

/// Job for the async lane. It must not block, because many jobs share a worker.
///
/// Exactly one of the methods is called, once. The exception is a job that is cancelled, or dropped by the
/// stop of the pool, just as it starts: neither is called.
pub trait Job: Any + Send {
    /// Starts the job. Called on a worker, inside a tokio runtime.
    fn run(self: Box<Self>) -> JobFuture;

    /// Called instead of [`run`](Self::run) if the job is refused. It must be quick, and may be called on any
    /// thread.
    fn refuse(self: Box<Self>, reason: Refusal);
}

/// Job for the blocking lane, with a thread to itself.
///
/// Exactly one of the methods is called, once.
pub trait BlockingJob: Any + Send {
    /// Runs the job. It may block.
    fn run(self: Box<Self>);

    /// Called instead of [`run`](Self::run) if the job is refused. It must be quick, and may be called on any
    /// thread.
    fn refuse(self: Box<Self>, reason: Refusal);
}

/// Reason why a job does not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// The queue of the lane is full.
    Full,
    /// The job did not start in time, or [`JobHandle::expire`](super::JobHandle::expire) was called.
    Expired,
    /// The pool is stopping or has stopped.
    Stopped,
    /// The handle of the job cancelled it.
    Cancelled,
}

/// Job that a pool did not accept. None of its methods has been called.
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

/// A job of either lane, as far as it can be refused.
pub(super) trait Refusable: Send + 'static {
    fn refuse(self: Box<Self>, reason: Refusal);
}

impl Refusable for dyn Job {
    fn refuse(self: Box<Self>, reason: Refusal) {
        Job::refuse(self, reason);
    }
}

impl Refusable for dyn BlockingJob {
    fn refuse(self: Box<Self>, reason: Refusal) {
        BlockingJob::refuse(self, reason);
    }
}
