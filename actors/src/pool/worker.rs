//! The threads of a pool.
//!
//! An async worker is a thread with a tokio current-thread runtime that interleaves many jobs. It lets each
//! new job run to its first await before it takes the next one. So a busy worker leaves jobs to idle workers.

use std::{io, sync::Arc};

use tokio::{
    runtime::{Builder, Runtime},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::{LocalSet, spawn_local, yield_now},
};

use super::{
    job::{BlockingJob, Job},
    lane::{Lane, ThreadGuard},
    queue::Queue,
    queued_job::QueuedJob,
};
use crate::future::{catch_panic, catch_panic_async, race};

/// Creates the runtime of a worker. It has timers, and sockets if tokio is built with its `net` feature.
pub(super) fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

/// Runs async jobs, at most `in_flight` at a time, until the lane is closed and all its jobs have ended.
/// Drops its jobs if the lane aborts.
pub(super) fn run_async_worker(
    lane: &Arc<Lane<dyn Job>>,
    guard: ThreadGuard<dyn Job>,
    runtime: Runtime,
    in_flight: usize,
) {
    let tasks = LocalSet::new();
    tasks.block_on(&runtime, async {
        let mut abort = lane.abort_signal();
        // The wait also ends with an error if the lane is gone.
        let aborted = async move { drop(abort.wait_for(|&abort| abort).await) };
        race(aborted, run_jobs(lane, in_flight)).await;
    });
    // Dropping the tasks drops jobs that still run. tokio catches their panics.
    let entered = runtime.enter();
    drop(tasks);
    drop(entered);
    // Jobs may have given work to tokio's own blocking threads. Nobody waits for it.
    runtime.shutdown_background();
    drop(guard);
}

/// Starts jobs until the queue is closed and empty, then waits until they have ended.
async fn run_jobs(lane: &Arc<Lane<dyn Job>>, in_flight: usize) {
    let slots = Arc::new(Semaphore::new(in_flight));
    loop {
        // The semaphore is never closed.
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
        let Some(job) = lane.queue.next().await else { break };
        if start(lane, &job, slot) {
            yield_now().await;
        }
    }
    let all = u32::try_from(in_flight).unwrap_or(u32::MAX);
    drop(slots.acquire_many(all).await);
}

/// Starts a job. Returns `false` if it was cancelled, or refused because it is late.
fn start(lane: &Lane<dyn Job>, queued: &Arc<QueuedJob<dyn Job>>, slot: OwnedSemaphorePermit) -> bool {
    let Some((job, run)) = lane.start(queued) else { return false };
    let task = spawn_local(async move {
        let _slot = slot;
        let run = run;
        run.finish(catch_panic_async(async { job.run().await }).await);
    });
    queued.set_abort_handle(task.abort_handle());
    true
}

/// Priority of a blocking thread against other threads on its core.
#[derive(Clone, Copy, Debug)]
pub(super) struct Priority {
    /// Nice value, or `None` to keep the inherited one.
    pub(super) nice: Option<i32>,
    /// `true` to run the thread in the kernel's idle class, only when no other thread needs the core.
    pub(super) idle: bool,
}

impl Priority {
    /// Sets the priority of the calling thread. If the kernel refuses a part of it, a warning is logged and
    /// that part does not change.
    fn apply(self) {
        if let Some(nice) = self.nice
            && let Err(error) = rustix::process::setpriority_process(None, nice)
        {
            tracing::warn!(%error, nice, "setting the nice value failed, the pool thread keeps its own");
        }
        if self.idle
            && let Err(error) = crate::os::use_idle_time()
        {
            tracing::warn!(%error, "setting the idle class failed, the blocking thread competes with others");
        }
    }
}

/// Hands blocking jobs from the queue of the lane to threads.
///
/// A thread of its own does this, with ordinary priority. Without it, a shard that submits a job would wake a
/// thread of low priority itself. The kernel may run that thread at once and return to the shard a clock tick
/// later, which was measured as 4 ms.
pub(super) struct Handoff {
    /// One item for each thread that waits for a job.
    idle_threads: Queue<()>,
    jobs: Queue<Arc<QueuedJob<dyn BlockingJob>>>,
}

impl Handoff {
    pub(super) fn new(threads: usize) -> Self {
        Self { idle_threads: Queue::new(threads), jobs: Queue::new(threads) }
    }

    /// Hands jobs to idle threads until the queue of the lane is closed and empty.
    pub(super) fn run(&self, lane: &Lane<dyn BlockingJob>) {
        while self.idle_threads.next_blocking().is_some() {
            let Some(job) = lane.queue.next_blocking() else { break };
            // There is room, because a job is handed over only when a thread is idle.
            if self.jobs.try_push(job).is_err() {
                break;
            }
        }
        self.jobs.close();
    }

    /// Ends [`run`](Self::run) if the threads that it waits for could not be started.
    pub(super) fn abandon(&self) {
        self.idle_threads.close();
    }

    /// Blocks the calling thread until there is a job. Returns `None` once the lane has ended.
    fn next(&self) -> Option<Arc<QueuedJob<dyn BlockingJob>>> {
        // There is room, because each thread adds one item before it waits.
        let _ = self.idle_threads.try_push(());
        self.jobs.next_blocking()
    }
}

/// Runs blocking jobs, one at a time, until the lane ends.
pub(super) fn run_blocking_thread(
    lane: &Lane<dyn BlockingJob>,
    handoff: &Handoff,
    guard: ThreadGuard<dyn BlockingJob>,
    priority: Priority,
) {
    priority.apply();
    while let Some(queued) = handoff.next() {
        if let Some((job, run)) = lane.start(&queued) {
            run.finish(catch_panic(|| job.run()));
        }
    }
    drop(guard);
}
