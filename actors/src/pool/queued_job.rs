//! A job in its lane: it waits, runs, and can be cancelled from any thread.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering},
    time::Instant,
};

use tokio::task::AbortHandle;

use super::{
    counters::LaneCounters,
    job::{Refusable, Refusal},
};

/// Handle to a job in a pool. Dropping the handle has no effect on the job.
#[derive(Clone)]
pub struct JobHandle(pub(super) Arc<dyn Cancel>);

impl JobHandle {
    /// Cancels the job. May be called from any thread, and takes a lock for a short time.
    ///
    /// A waiting job is refused by this call, and its place in the queue becomes free. A running async job is
    /// dropped at its next await. A running blocking job runs on. A finished job is not affected.
    pub fn cancel(&self) {
        self.0.cancel(Refusal::Cancelled);
    }

    /// Cancels the job like [`cancel`](Self::cancel), because nobody waits for it any longer. A waiting job
    /// is refused as [`Refusal::Expired`].
    pub fn expire(&self) {
        self.0.cancel(Refusal::Expired);
    }
}

impl fmt::Debug for JobHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JobHandle")
    }
}

/// A job of either lane, as far as it can be cancelled.
pub(super) trait Cancel: Send + Sync {
    /// Cancels the job. A waiting job is refused for this reason.
    fn cancel(&self, reason: Refusal);
}

/// Job in a lane, shared by the queue, its worker and its handles.
pub(super) struct QueuedJob<J: ?Sized + Refusable> {
    counters: Arc<LaneCounters>,
    pub(super) start_by: Option<Instant>,
    stage: Mutex<Stage<J>>,
}

/// Stage of a job.
///
/// - An async job goes from `Waiting` to `Taken`, `Running` and `Finished`.
/// - A blocking job goes from `Waiting` to `Taken` and `Finished`.
/// - Each stage but `Finished` may be followed by `Cancelled`. If the job had started, `Finished` follows.
enum Stage<J: ?Sized> {
    Waiting(Box<J>),
    /// A worker has taken the job. It cannot be aborted yet.
    Taken,
    /// The job runs, and this handle aborts it.
    Running(AbortHandle),
    /// The job was cancelled. A worker that has just taken it aborts it when it starts.
    Cancelled,
    Finished,
}

impl<J: ?Sized + Refusable> QueuedJob<J> {
    pub(super) fn new(counters: Arc<LaneCounters>, job: Box<J>, start_by: Option<Instant>) -> Arc<Self> {
        Arc::new(Self { counters, start_by, stage: Mutex::new(Stage::Waiting(job)) })
    }

    /// Returns `true` if the job has not been taken or cancelled.
    pub(super) fn is_waiting(&self) -> bool {
        matches!(*self.stage(), Stage::Waiting(_))
    }

    /// Takes the job. Returns `None` if it was taken or cancelled before.
    pub(super) fn take(&self) -> Option<Box<J>> {
        let mut stage = self.stage();
        match std::mem::replace(&mut *stage, Stage::Taken) {
            Stage::Waiting(job) => Some(job),
            other => {
                *stage = other;
                None
            }
        }
    }

    /// Counts the job as running, until the guard is dropped. The caller has taken the job.
    pub(super) fn begin(self: &Arc<Self>) -> RunGuard<J> {
        self.counters.queued.fetch_sub(1, Ordering::Relaxed);
        self.counters.running.fetch_add(1, Ordering::Relaxed);
        RunGuard { job: Arc::clone(self), outcome: None }
    }

    /// Sets the handle that aborts the running job. Aborts it now if it was cancelled meanwhile.
    pub(super) fn set_abort_handle(&self, abort: AbortHandle) {
        let mut stage = self.stage();
        match *stage {
            Stage::Taken => *stage = Stage::Running(abort),
            Stage::Cancelled => abort.abort(),
            Stage::Waiting(_) | Stage::Running(_) | Stage::Finished => {}
        }
    }

    fn stage(&self) -> MutexGuard<'_, Stage<J>> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<J: ?Sized + Refusable> Cancel for QueuedJob<J> {
    fn cancel(&self, reason: Refusal) {
        let mut stage = self.stage();
        match std::mem::replace(&mut *stage, Stage::Cancelled) {
            Stage::Waiting(job) => {
                drop(stage);
                self.counters.refuse(job, reason);
            }
            Stage::Running(abort) => {
                drop(stage);
                abort.abort();
            }
            Stage::Taken | Stage::Cancelled => {}
            Stage::Finished => *stage = Stage::Finished,
        }
    }
}

/// Counts a running job. Dropped without an outcome, it counts the job as cancelled.
pub(super) struct RunGuard<J: ?Sized + Refusable> {
    job: Arc<QueuedJob<J>>,
    outcome: Option<RunOutcome>,
}

enum RunOutcome {
    Done,
    Panicked,
}

impl<J: ?Sized + Refusable> RunGuard<J> {
    /// Records the outcome of the job. `Err` stands for a panic.
    pub(super) fn finish<E>(mut self, outcome: Result<(), E>) {
        self.outcome = Some(if outcome.is_ok() { RunOutcome::Done } else { RunOutcome::Panicked });
    }
}

impl<J: ?Sized + Refusable> Drop for RunGuard<J> {
    fn drop(&mut self) {
        *self.job.stage() = Stage::Finished;
        let counters = &self.job.counters;
        let counter = match self.outcome {
            Some(RunOutcome::Done) => &counters.done,
            Some(RunOutcome::Panicked) => &counters.panicked,
            None => &counters.cancelled,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        counters.running.fetch_sub(1, Ordering::Relaxed);
    }
}
