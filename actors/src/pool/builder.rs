//! Starting a pool.

use std::{io, sync::Arc, thread};

use tokio::sync::Semaphore;

use super::{
    handle::Pool,
    lane::Lane,
    worker::{self, Handoff, Priority},
};

/// Configures and starts a [`Pool`].
#[derive(Clone, Debug)]
#[must_use]
pub struct PoolBuilder {
    name: String,
    workers: usize,
    in_flight: usize,
    queue: usize,
    blocking_threads: usize,
    blocking_queue: usize,
    priority: Priority,
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
            priority: Priority { nice: None, idle: false },
        }
    }
}

impl Pool {
    /// Returns a builder with the default configuration.
    pub fn builder() -> PoolBuilder {
        PoolBuilder::default()
    }
}

impl PoolBuilder {
    /// Sets the name of the pool. Its threads are named after it. Default: `pool`.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Sets the number of async workers, at least one. Default: one for each CPU, at least two.
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = workers.max(1);
        self
    }

    /// Sets how many async jobs one worker interleaves, at least one. Default: 256.
    pub fn in_flight(mut self, jobs: usize) -> Self {
        self.in_flight = jobs.clamp(1, Semaphore::MAX_PERMITS.min(u32::MAX as usize));
        self
    }

    /// Sets how many async jobs may wait for a worker, at least one. Default: 1024.
    pub fn queue(mut self, jobs: usize) -> Self {
        self.queue = jobs;
        self
    }

    /// Sets the number of threads for blocking jobs, at least one. Default: four for each CPU, at least
    /// eight.
    pub fn blocking_threads(mut self, threads: usize) -> Self {
        self.blocking_threads = threads.max(1);
        self
    }

    /// Sets how many blocking jobs may wait for a thread, at least one. Default: 1024.
    pub fn blocking_queue(mut self, jobs: usize) -> Self {
        self.blocking_queue = jobs;
        self
    }

    /// Sets the nice value of the blocking threads. Default: that of the thread that calls
    /// [`build`](Self::build). If the kernel refuses, a warning is logged.
    pub fn nice(mut self, nice: i32) -> Self {
        self.priority.nice = Some(nice);
        self
    }

    /// Puts the blocking threads into the kernel's idle class (`SCHED_IDLE`). Default: no.
    ///
    /// They then run only while no ordinary thread wants their core, so jobs that compute delay nothing else.
    /// On a machine without idle time they hardly progress.
    pub fn idle(mut self, idle: bool) -> Self {
        self.priority.idle = idle;
        self
    }

    /// Starts the threads of the pool.
    ///
    /// They may run on the cores of the calling thread, so call this on a thread that is not pinned.
    ///
    /// # Errors
    ///
    /// The kernel refuses a thread, or tokio a runtime. Threads that did start are stopped again.
    pub fn build(self) -> io::Result<Pool> {
        let (jobs, blocking) = (Lane::new(self.queue), Lane::new(self.blocking_queue));
        // On an error the drop of the pool stops the threads.
        let pool = Pool::new(Arc::clone(&jobs), Arc::clone(&blocking));
        for i in 0..self.workers {
            let (lane, runtime, in_flight) = (Arc::clone(&jobs), worker::runtime()?, self.in_flight);
            let guard = lane.enter();
            let thread = thread::Builder::new().name(format!("{}-{i}", self.name));
            thread.spawn(move || worker::run_async_worker(&lane, guard, runtime, in_flight))?;
        }
        let handoff = Arc::new(Handoff::new(self.blocking_threads));
        let (lane, shared) = (Arc::clone(&blocking), Arc::clone(&handoff));
        let thread = thread::Builder::new().name(format!("{}-dispatch", self.name));
        thread.spawn(move || shared.run(&lane))?;
        for i in 0..self.blocking_threads {
            let (lane, shared, priority) = (Arc::clone(&blocking), Arc::clone(&handoff), self.priority);
            let guard = lane.enter();
            let thread = thread::Builder::new().name(format!("{}-block-{i}", self.name));
            let run = move || worker::run_blocking_thread(&lane, &shared, guard, priority);
            if let Err(error) = thread.spawn(run) {
                handoff.abandon();
                return Err(error);
            }
        }
        Ok(pool)
    }
}
