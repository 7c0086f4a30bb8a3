//! The handle to a running pool: submits jobs, counts them, stops the pool.

use std::{
    fmt,
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use super::{
    call::{Call, JobOutput},
    counters::LaneStats,
    job::{BlockingJob, Job, Rejected},
    lane::Lane,
    queued_job::JobHandle,
};
use crate::{stop::Undelivered, time::instant_after};

/// Time that the threads get to end when the timeout of a stop has expired.
const ABORT_GRACE: Duration = Duration::from_millis(500);

/// Counters of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct PoolStats {
    /// Counters of the async lane.
    pub jobs: LaneStats,
    /// Counters of the blocking lane.
    pub blocking: LaneStats,
}

/// Report of a pool's stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct PoolReport {
    /// Counters of the pool at the end of the stop.
    pub stats: PoolStats,
    /// Threads that had not ended half a second after the timeout, because a job blocks them. They are left
    /// behind.
    pub threads_stuck: usize,
    /// `true` if the timeout expired. Waiting jobs were refused then, and running async jobs dropped.
    pub aborted: bool,
}

/// Handle to a pool of threads that run jobs. Clones are handles to the same pool.
///
/// Dropping the last one stops the pool without waiting: waiting jobs are refused, running async jobs
/// dropped.
#[derive(Clone)]
pub struct Pool(Arc<Lanes>);

struct Lanes {
    jobs: Arc<Lane<dyn Job>>,
    blocking: Arc<Lane<dyn BlockingJob>>,
}

impl Pool {
    pub(super) fn new(jobs: Arc<Lane<dyn Job>>, blocking: Arc<Lane<dyn BlockingJob>>) -> Self {
        Self(Arc::new(Lanes { jobs, blocking }))
    }

    /// Submits an async job. It is refused if it has not started by `start_by`, if given. Does not wait for
    /// room in the queue.
    ///
    /// # Errors
    ///
    /// The queue is full, or the pool is stopping or has stopped. The error returns the job.
    pub fn submit(
        &self,
        job: Box<dyn Job>,
        start_by: Option<Instant>,
    ) -> Result<JobHandle, Rejected<dyn Job>> {
        self.0.jobs.submit(job, start_by).map(|job| JobHandle(job))
    }

    /// Submits a blocking job. It is refused if it has not started by `start_by`, if given. Does not wait for
    /// room in the queue.
    ///
    /// # Errors
    ///
    /// The queue is full, or the pool is stopping or has stopped. The error returns the job.
    pub fn submit_blocking(
        &self,
        job: Box<dyn BlockingJob>,
        start_by: Option<Instant>,
    ) -> Result<JobHandle, Rejected<dyn BlockingJob>> {
        self.0.blocking.submit(job, start_by).map(|job| JobHandle(job))
    }

    /// Calls an async function on a worker. Its future need not be `Send`.
    ///
    /// The function is submitted by this call, not by the first poll of the result. The result is an error if
    /// the queue is full, the pool stops, or the function panics. Dropping the result cancels the function.
    pub fn run<F, Fut, T>(&self, function: F) -> JobOutput<T>
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = T> + 'static,
        T: Send + 'static,
    {
        let (sender, answer) = oneshot::channel();
        let submitted = self.submit(Box::new(Call { function, answer: sender }), None);
        JobOutput { answer, job: submitted.map_err(|Rejected { job, reason }| job.refuse(reason)).ok() }
    }

    /// Calls a function that may block, on a thread of the blocking lane that runs nothing else meanwhile.
    ///
    /// The function is submitted by this call, not by the first poll of the result. The result is an error if
    /// the queue is full, the pool stops, or the function panics. Dropping the result cancels the function
    /// unless it runs already.
    pub fn run_blocking<F, T>(&self, function: F) -> JobOutput<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let (sender, answer) = oneshot::channel();
        let submitted = self.submit_blocking(Box::new(Call { function, answer: sender }), None);
        JobOutput { answer, job: submitted.map_err(|Rejected { job, reason }| job.refuse(reason)).ok() }
    }

    /// Returns the current counters of both lanes.
    pub fn stats(&self) -> PoolStats {
        PoolStats { jobs: self.0.jobs.counters.stats(), blocking: self.0.blocking.counters.stats() }
    }

    /// Stops the pool, waits for its threads to end, and returns a report.
    ///
    /// New jobs are refused. `undelivered` decides whether waiting jobs are run or refused. Running jobs may
    /// finish. When `timeout` expires, waiting jobs are refused and running async jobs are dropped. A
    /// blocking job that still runs half a second later is left behind with its thread.
    ///
    /// This blocks the calling thread, which must be neither a shard's nor a worker's.
    pub fn stop(&self, undelivered: Undelivered, timeout: Duration) -> PoolReport {
        let deadline = instant_after(Instant::now(), timeout);
        self.0.close();
        if undelivered == Undelivered::Discard {
            self.0.refuse_all();
        }
        let mut threads_stuck = self.0.wait(deadline);
        let aborted = threads_stuck > 0;
        if aborted {
            self.0.refuse_all();
            self.0.jobs.abort_workers();
            threads_stuck = self.0.wait(Instant::now() + ABORT_GRACE);
        }
        PoolReport { stats: self.stats(), threads_stuck, aborted }
    }
}

impl Lanes {
    fn close(&self) {
        self.jobs.queue.close();
        self.blocking.queue.close();
    }

    fn refuse_all(&self) {
        self.jobs.refuse_all();
        self.blocking.refuse_all();
    }

    /// Blocks until all threads have ended, or until `deadline`. Returns the number of threads that still
    /// run.
    fn wait(&self, deadline: Instant) -> usize {
        self.jobs.wait(deadline) + self.blocking.wait(deadline)
    }
}

impl Drop for Lanes {
    fn drop(&mut self) {
        self.close();
        self.refuse_all();
        self.jobs.abort_workers();
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("stats", &self.stats()).finish()
    }
}
