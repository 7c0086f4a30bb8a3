//! Worker actors for what a shard must not do: slow or blocking work, and code that needs tokio.
//!
//! A pool has two lanes with a bounded queue each. Async workers interleave many jobs; blocking threads run one each.
//! Neither lane ever waits for the other.

mod call;
mod counters;
mod job;
mod lane;
mod queue;
mod queued_job;

mod worker;

use std::{
    fmt,
    future::Future,
    io,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use tokio::sync::{Semaphore, oneshot};

use self::{call::Call, lane::Lane};
pub use self::{
    call::JobOutput,
    counters::LaneStats,
    job::{BlockingJob, Job, JobFuture, Refusal, Rejected},
    queued_job::JobHandle,
};
use crate::{stop::Undelivered, time::instant_after};

/// How long workers may take to drop what they run when a stop has run out of time.
const DISMISS_GRACE: Duration = Duration::from_millis(500);

/// Says how a [`Pool`] shall be.
#[derive(Clone, Debug)]
#[must_use]
pub struct PoolBuilder {
    name: String,
    workers: usize,
    in_flight: usize,
    queue: usize,
    blocking_threads: usize,
    blocking_queue: usize,
    nice: Option<i32>,
    idle: bool,
}

impl Default for PoolBuilder {
    fn default() -> Self {
        let cpus = thread::available_parallelism().map_or(1, usize::from);
        Self {
            name: "pool".to_owned(),
            workers: cpus.max(2),
            in_flight: 256,
            queue: 1024,
            blocking_threads: (4 * cpus).max(8),
            blocking_queue: 1024,
            nice: None,
            idle: false,
        }
    }
}

impl PoolBuilder {
    /// Names the pool and its threads. Default: `pool`.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Sets how many async workers there are, at least one. Default: one for each CPU, at least two.
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = workers.max(1);
        self
    }

    /// Sets how many async jobs a worker interleaves at most, at least one. Default: 256.
    pub fn in_flight(mut self, jobs: usize) -> Self {
        self.in_flight = jobs.clamp(1, Semaphore::MAX_PERMITS.min(u32::MAX as usize));
        self
    }

    /// Sets how many async jobs may wait for a worker. Default: 1024.
    pub fn queue(mut self, jobs: usize) -> Self {
        self.queue = jobs;
        self
    }

    /// Sets how many blocking jobs run at a time, at least one. Default: four for each CPU, at least eight.
    pub fn blocking_threads(mut self, threads: usize) -> Self {
        self.blocking_threads = threads.max(1);
        self
    }

    /// Sets how many blocking jobs may wait for a thread. Default: 1024.
    pub fn blocking_queue(mut self, jobs: usize) -> Self {
        self.blocking_queue = jobs;
        self
    }

    /// Sets the nice value of the blocking threads, so that they yield to everything else. Default: inherited.
    pub fn nice(mut self, nice: i32) -> Self {
        self.nice = Some(nice);
        self
    }

    /// Lets blocking threads run only in time that no ordinary thread of their core wants (SCHED_IDLE). Default: no.
    ///
    /// Jobs that compute then delay nothing else; on a machine without idle time they hardly come forward.
    pub fn idle(mut self, idle: bool) -> Self {
        self.idle = idle;
        self
    }

    /// Starts the pool's threads. They may run where the calling thread may: build it on a thread that is not pinned.
    ///
    /// # Errors
    ///
    /// The system refuses a thread or a runtime; the threads that started are stopped again.
    pub fn build(self) -> io::Result<Pool> {
        let pool =
            Pool(Arc::new(Handle { jobs: Lane::new(self.queue), blocking: Lane::new(self.blocking_queue) }));
        for i in 0..self.workers {
            let (lane, runtime, in_flight) = (Arc::clone(&pool.0.jobs), worker::runtime()?, self.in_flight);
            let presence = lane.enter();
            let thread = thread::Builder::new().name(format!("{}-{i}", self.name));
            thread.spawn(move || worker::work(&lane, presence, runtime, in_flight))?;
        }
        let dispatch = Arc::new(worker::Dispatch::new(self.blocking_threads));
        let (lane, handing) = (Arc::clone(&pool.0.blocking), Arc::clone(&dispatch));
        let thread = thread::Builder::new().name(format!("{}-dispatch", self.name));
        thread.spawn(move || handing.run(&lane))?;
        for i in 0..self.blocking_threads {
            let (lane, jobs) = (Arc::clone(&pool.0.blocking), Arc::clone(&dispatch));
            let priority = worker::Priority { nice: self.nice, idle: self.idle };
            let presence = lane.enter();
            let thread = thread::Builder::new().name(format!("{}-block-{i}", self.name));
            if let Err(error) = thread.spawn(move || worker::work_blocking(&lane, &jobs, presence, priority))
            {
                dispatch.abandon();
                return Err(error);
            }
        }
        Ok(pool)
    }
}

/// What a pool counted, and what it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct PoolStats {
    /// The async lane.
    pub jobs: LaneStats,
    /// The blocking lane.
    pub blocking: LaneStats,
}

/// What a pool's stop came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct PoolReport {
    /// The final counts.
    pub stats: PoolStats,
    /// Threads held by a job that does not return; they are left behind.
    pub threads_stuck: usize,
    /// Whether time ran out, so that waiting jobs were refused and running async jobs dropped.
    pub aborted: bool,
}

/// Runs jobs on threads of its own. Clones are handles to the same pool; the last to be dropped stops it.
#[derive(Clone)]
pub struct Pool(Arc<Handle>);

struct Handle {
    jobs: Arc<Lane<dyn Job>>,
    blocking: Arc<Lane<dyn BlockingJob>>,
}

impl Pool {
    /// Says how a pool shall be.
    pub fn builder() -> PoolBuilder {
        PoolBuilder::default()
    }

    /// Submits an async job; it is refused if it has not started by `start_by`. Never blocks, never waits.
    ///
    /// # Errors
    ///
    /// The queue is full or the pool has stopped; the job comes back.
    pub fn submit(
        &self,
        job: Box<dyn Job>,
        start_by: Option<Instant>,
    ) -> Result<JobHandle, Rejected<dyn Job>> {
        self.0.jobs.submit(job, start_by).map(|ticket| JobHandle(ticket))
    }

    /// Submits a blocking job; it is refused if it has not started by `start_by`. Never blocks, never waits.
    ///
    /// # Errors
    ///
    /// The queue is full or the pool has stopped; the job comes back.
    pub fn submit_blocking(
        &self,
        job: Box<dyn BlockingJob>,
        start_by: Option<Instant>,
    ) -> Result<JobHandle, Rejected<dyn BlockingJob>> {
        self.0.blocking.submit(job, start_by).map(|ticket| JobHandle(ticket))
    }

    /// Calls an async function on a worker; its future need not be `Send`. Submitted at once, not when awaited.
    ///
    /// The result says if the queue was full, the pool stopped, or the function panicked. Dropping it cancels.
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

    /// Calls a function that may block on a thread of its own. Submitted at once, not when awaited.
    ///
    /// The result says if the queue was full, the pool stopped, or the function panicked. Dropping it cancels,
    /// unless the function already runs.
    pub fn run_blocking<F, T>(&self, function: F) -> JobOutput<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let (sender, answer) = oneshot::channel();
        let submitted = self.submit_blocking(Box::new(Call { function, answer: sender }), None);
        JobOutput { answer, job: submitted.map_err(|Rejected { job, reason }| job.refuse(reason)).ok() }
    }

    /// Returns the counts.
    pub fn stats(&self) -> PoolStats {
        PoolStats { jobs: self.0.jobs.tally.stats(), blocking: self.0.blocking.tally.stats() }
    }

    /// Stops the pool and waits for it, for `timeout` at most.
    ///
    /// New jobs are refused. Jobs that wait are run or refused, as chosen; jobs that run may end. When time runs
    /// out, jobs that wait are refused and async ones that run are dropped; a blocking job that still runs is left
    /// behind with its thread. Blocks the thread: not for a shard's, nor for a worker's.
    pub fn stop(&self, undelivered: Undelivered, timeout: Duration) -> PoolReport {
        let until = instant_after(Instant::now(), timeout);
        self.0.close();
        if undelivered == Undelivered::Discard {
            self.0.refuse_all();
        }
        let mut threads_stuck = self.0.remaining(until);
        let aborted = threads_stuck > 0;
        if aborted {
            self.0.refuse_all();
            self.0.jobs.dismiss();
            threads_stuck = self.0.remaining(Instant::now() + DISMISS_GRACE);
        }
        PoolReport { stats: self.stats(), threads_stuck, aborted }
    }
}

impl Handle {
    fn close(&self) {
        self.jobs.tickets.close();
        self.blocking.tickets.close();
    }

    fn refuse_all(&self) {
        self.jobs.refuse_all();
        self.blocking.refuse_all();
    }

    fn remaining(&self, until: Instant) -> usize {
        self.jobs.remaining(until) + self.blocking.remaining(until)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.close();
        self.refuse_all();
        self.jobs.dismiss();
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("stats", &self.stats()).finish()
    }
}
