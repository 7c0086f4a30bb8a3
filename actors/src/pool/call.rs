//! Functions as jobs: the pool calls the function and sends its result back.

use std::{
    future::Future,
    panic::resume_unwind,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::sync::oneshot;

use super::{
    job::{BlockingJob, Job, JobFuture, Refusal},
    queued_job::JobHandle,
};
use crate::{
    error::PoolError,
    future::{PanicPayload, catch_panic, catch_panic_async},
};

type Answer<T> = oneshot::Sender<Result<T, PoolError>>;

/// Job that calls a function.
pub(super) struct Call<F, T> {
    pub(super) function: F,
    pub(super) answer: Answer<T>,
}

impl<F, Fut, T> Job for Call<F, T>
where
    F: FnOnce() -> Fut + Send + 'static,
    Fut: Future<Output = T> + 'static,
    T: Send + 'static,
{
    fn run(self: Box<Self>) -> JobFuture {
        let Self { function, answer } = *self;
        Box::pin(async move { send_outcome(answer, catch_panic_async(async { function().await }).await) })
    }

    fn refuse(self: Box<Self>, reason: Refusal) {
        drop(self.answer.send(Err(reason.into())));
    }
}

impl<F, T> BlockingJob for Call<F, T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    fn run(self: Box<Self>) {
        let Self { function, answer } = *self;
        send_outcome(answer, catch_panic(function));
    }

    fn refuse(self: Box<Self>, reason: Refusal) {
        drop(self.answer.send(Err(reason.into())));
    }
}

/// Sends the outcome of a call. A panic is raised again, so that the lane counts it.
fn send_outcome<T>(answer: Answer<T>, outcome: Result<T, PanicPayload>) {
    match outcome {
        Ok(value) => drop(answer.send(Ok(value))),
        Err(payload) => {
            drop(answer.send(Err(PoolError::Panicked)));
            resume_unwind(payload)
        }
    }
}

impl From<Refusal> for PoolError {
    fn from(reason: Refusal) -> Self {
        if reason == Refusal::Full { Self::Full } else { Self::Stopped }
    }
}

/// Future of the result of a function on a pool.
///
/// # Cancel safety
///
/// Dropping it cancels the job, as [`JobHandle::cancel`] does.
#[must_use = "dropping it cancels the job"]
#[derive(Debug)]
pub struct JobOutput<T> {
    pub(super) answer: oneshot::Receiver<Result<T, PoolError>>,
    /// `None` once the result is known, or if the job was refused.
    pub(super) job: Option<JobHandle>,
}

impl<T> Future for JobOutput<T> {
    type Output = Result<T, PoolError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = Pin::new(&mut self.answer).poll(cx);
        // The sender is dropped unused if the stop of the pool dropped the running job.
        let result = answer.map(|answer| answer.unwrap_or(Err(PoolError::Stopped)));
        if result.is_ready() {
            self.job = None;
        }
        result
    }
}

impl<T> Drop for JobOutput<T> {
    fn drop(&mut self) {
        if let Some(job) = &self.job {
            job.cancel();
        }
    }
}
