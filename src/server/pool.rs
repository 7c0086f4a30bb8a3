//! The pool for async routes and overflow callbacks: its settings, and its start.

use std::{io, thread};

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use windlass_actors::Pool;

/// Sizes of the pool for async routes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize), serde(deny_unknown_fields, default))]
#[non_exhaustive]
pub struct PoolSettings {
    /// Number of worker threads, which run async handlers. Default `None`: one for each shard, but at least
    /// two.
    pub workers: Option<usize>,
    /// Number of jobs that can wait for a worker. Default 1024. Further requests are answered with `503`.
    pub queue: usize,
    /// Number of jobs that one worker runs concurrently. Default 256.
    pub jobs_per_worker: usize,
    /// Number of blocking threads, which run sync handlers. Default: four for each CPU that the process may
    /// use, but at least eight.
    ///
    /// More than about eight computing threads on one core delay the shards, even at idle priority.
    pub blocking_threads: usize,
    /// Number of jobs that can wait for a blocking thread. Default 1024. Further requests are answered with
    /// `503`.
    pub blocking_queue: usize,
    /// Niceness of the blocking threads, 0 to 19. Default 10, so that the shards have priority over computing
    /// handlers.
    pub blocking_nice: i32,
    /// Runs the blocking threads only when their core is otherwise idle (SCHED_IDLE). Default `true`:
    /// computing handlers do not delay the shards.
    ///
    /// With `false` only the niceness applies, so the threads also progress on a machine without idle time.
    pub blocking_idle: bool,
}

impl Default for PoolSettings {
    fn default() -> Self {
        Self {
            workers: None,
            queue: 1024,
            jobs_per_worker: 256,
            blocking_threads: (4 * thread::available_parallelism().map_or(1, usize::from)).max(8),
            blocking_queue: 1024,
            blocking_nice: 10,
            blocking_idle: true,
        }
    }
}

impl PoolSettings {
    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// A setting is out of range. The text names it and its range.
    pub fn check(&self) -> Result<(), String> {
        let invalid = |problem: &str| Err(format!("invalid pool settings: {problem}"));
        match self {
            Self { workers: Some(0 | 1025..), .. } => invalid("workers must be from 1 to 1024"),
            Self { jobs_per_worker: 0, .. } => invalid("jobs_per_worker must be at least 1"),
            Self { blocking_threads: 0 | 4097.., .. } => invalid("blocking_threads must be from 1 to 4096"),
            Self { blocking_nice: ..0 | 20.., .. } => invalid("blocking_nice must be from 0 to 19"),
            _ => Ok(()),
        }
    }
}

/// Starts the pool when it is first needed. That may happen on a shard's thread.
pub(super) struct PoolStarter {
    settings: PoolSettings,
    shards: usize,
    /// The CPUs of the thread that created the server. The pool's threads get the same ones.
    cpus: Option<CpuSet>,
}

impl PoolStarter {
    pub(super) fn new(settings: PoolSettings, shards: usize) -> Self {
        Self { settings, shards, cpus: sched_getaffinity(None).ok() }
    }

    /// Starts the pool from a new thread. Threads inherit the CPUs of their parent, and a shard's thread has
    /// only one.
    pub(super) fn start(&self) -> io::Result<Pool> {
        thread::scope(|scope| {
            let started = thread::Builder::new().name("pool-start".to_owned()).spawn_scoped(scope, || {
                if let Some(cpus) = &self.cpus {
                    // If this fails, the workers share the shard's core, which is slower but correct.
                    let _ = sched_setaffinity(None, cpus);
                }
                self.build()
            })?;
            started.join().unwrap_or_else(|_| Err(io::Error::other("starting the pool panicked")))
        })
    }

    fn build(&self) -> io::Result<Pool> {
        let settings = &self.settings;
        Pool::builder()
            .workers(settings.workers.unwrap_or(self.shards.max(2)))
            .queue(settings.queue)
            .in_flight(settings.jobs_per_worker)
            .blocking_threads(settings.blocking_threads)
            .blocking_queue(settings.blocking_queue)
            .nice(settings.blocking_nice)
            .idle(settings.blocking_idle)
            .build()
    }
}
