//! Functions as jobs: called on the pool, their result comes back.

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
    future::{contain, contained},
};

type Answer<T> = oneshot::Sender<Result<T, PoolError>>;

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
        Box::pin(async move { deliver(answer, contained(async { function().await }).await) })
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
        deliver(answer, contain(function));
    }

    fn refuse(self: Box<Self>, reason: Refusal) {
        drop(self.answer.send(Err(reason.into())));
    }
}

/// Sends the outcome; a panic goes on to the lane, which counts it.
fn deliver<T>(answer: Answer<T>, outcome: Result<T, crate::future::Payload>) {
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

/// The result of a function that a pool calls.
///
/// # Cancel safety
///
/// Dropping it cancels the job, as [`JobHandle::cancel`] does.
#[must_use = "dropping it cancels the job"]
#[derive(Debug)]
pub struct JobOutput<T> {
    pub(super) answer: oneshot::Receiver<Result<T, PoolError>>,
    pub(super) job: Option<JobHandle>,
}

impl<T> Future for JobOutput<T> {
    type Output = Result<T, PoolError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // Dropped unanswered: a stop dropped the job while it ran.
        let answer =
            Pin::new(&mut self.answer).poll(cx).map(|answer| answer.unwrap_or(Err(PoolError::Stopped)));
        if answer.is_ready() {
            self.job = None;
        }
        answer
    }
}

impl<T> Drop for JobOutput<T> {
    fn drop(&mut self) {
        if let Some(job) = &self.job {
            job.cancel();
        }
    }
}
