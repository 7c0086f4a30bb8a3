//! The pool for async routes: its sizes, and its start when the first such route comes.

use std::{io, thread};

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use windlass_actors::Pool;

/// Sizes of the pool for async routes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize), serde(deny_unknown_fields, default))]
#[non_exhaustive]
pub struct PoolSettings {
    /// Worker threads for async handlers. Default `None`: one for each shard, two at least.
    pub workers: Option<usize>,
    /// Jobs that may wait for a worker. Default 1024. Then `503`.
    pub queue: usize,
    /// Jobs one worker runs at once. Default 256.
    pub jobs_per_worker: usize,
    /// Threads for sync handlers. Default: four for each CPU this process may use, at least eight. Many more that
    /// compute at once delay shards even in idle time: measured with sixteen on one core, not with eight.
    pub blocking_threads: usize,
    /// Jobs that may wait for such a thread. Default 1024. Then `503`.
    pub blocking_queue: usize,
    /// Niceness of the threads for sync handlers, 0 to 19. Default 10: when they compute, shards come first.
    pub blocking_nice: i32,
    /// Whether those threads run only in time that no ordinary thread of their core wants (SCHED_IDLE). Default
    /// `true`: when they compute, shards answer as if they did not. `false`: niceness alone decides, so that they
    /// come forward on a machine without idle time too.
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
    /// Says whether the sizes make a pool.
    ///
    /// # Errors
    ///
    /// Names the one that does not, and what it may be.
    pub fn check(&self) -> Result<(), String> {
        let wrong = |what: &str| Err(format!("pool: {what}"));
        match self {
            Self { workers: Some(0 | 1025..), .. } => wrong("workers must be from 1 to 1024"),
            Self { jobs_per_worker: 0, .. } => wrong("jobs_per_worker must be 1 at least"),
            Self { blocking_threads: 0 | 4097.., .. } => wrong("blocking_threads must be from 1 to 4096"),
            Self { blocking_nice: ..0 | 20.., .. } => wrong("blocking_nice must be from 0 to 19"),
            _ => Ok(()),
        }
    }
}

/// Starts the pool when it is needed, which may be on a pinned shard.
pub(super) struct Starter {
    settings: PoolSettings,
    shards: usize,
    /// Where the thread that started the server may run: its workers may too, wherever they are started.
    cpus: Option<CpuSet>,
}

impl Starter {
    pub(super) fn new(settings: PoolSettings, shards: usize) -> Self {
        Self { settings, shards, cpus: sched_getaffinity(None).ok() }
    }

    /// Starts the pool from a thread of its own, because threads inherit where they may run.
    pub(super) fn start(&self) -> io::Result<Pool> {
        thread::scope(|scope| {
            let started = thread::Builder::new().name("pool-start".to_owned()).spawn_scoped(scope, || {
                if let Some(cpus) = &self.cpus {
                    // Refused, workers stay on the shard's core: slower, not wrong.
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
