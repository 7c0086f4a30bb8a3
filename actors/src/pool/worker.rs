//! The threads of a pool.
//!
//! An async worker is a thread with a tokio current-thread runtime that interleaves many jobs. It lets each new job
//! run up to its first await before it takes the next, so that a worker that is busy leaves jobs to idle ones.

use std::{io, sync::Arc};

use tokio::{
    runtime::{Builder, Runtime},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::{LocalSet, spawn_local, yield_now},
};

use super::queue::Queue;
use super::{
    job::{BlockingJob, Job},
    lane::{Lane, Presence},
    queued_job::Ticket,
};
use crate::future::{contain, contained, race};

/// Makes the runtime of a worker: with timers, and with sockets where tokio's `net` is built in.
pub(super) fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

/// Runs async jobs, `in_flight` at a time at most, until the lane ends.
pub(super) fn work(
    lane: &Arc<Lane<dyn Job>>,
    presence: Presence<dyn Job>,
    runtime: Runtime,
    in_flight: usize,
) {
    let tasks = LocalSet::new();
    tasks.block_on(&runtime, async {
        let mut dismissal = lane.dismissal();
        // A sender that is gone dismisses as well.
        let dismissed = async move { drop(dismissal.wait_for(|&leave| leave).await) };
        race(dismissed, serve(lane, in_flight)).await;
    });
    // What still runs is dropped here, its panics contained by tokio.
    let inside = runtime.enter();
    drop(tasks);
    drop(inside);
    // Not waiting for what jobs gave to tokio's own blocking threads.
    runtime.shutdown_background();
    drop(presence);
}

async fn serve(lane: &Arc<Lane<dyn Job>>, in_flight: usize) {
    let slots = Arc::new(Semaphore::new(in_flight));
    loop {
        // It is never closed.
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
        let Some(ticket) = lane.tickets.next().await else { break };
        if start(lane, &ticket, slot) {
            yield_now().await;
        }
    }
    let all = u32::try_from(in_flight).unwrap_or(u32::MAX);
    drop(slots.acquire_many(all).await);
}

/// Starts a ticket's job; false if there is none to start.
fn start(lane: &Lane<dyn Job>, ticket: &Arc<Ticket<dyn Job>>, slot: OwnedSemaphorePermit) -> bool {
    let Some((job, running)) = lane.start(ticket) else { return false };
    let task = spawn_local(async move {
        let _slot = slot;
        let running = running;
        running.end(contained(async { job.run().await }).await);
    });
    ticket.running(task.abort_handle());
    true
}

/// How much of its core a blocking thread may take from others.
#[derive(Clone, Copy, Debug)]
pub(super) struct Priority {
    pub(super) nice: Option<i32>,
    pub(super) idle: bool,
}

impl Priority {
    /// Applies to the calling thread; what the kernel refuses is told, and the thread works on as it is.
    fn apply(self) {
        if let Some(nice) = self.nice
            && let Err(error) = rustix::process::setpriority_process(None, nice)
        {
            tracing::warn!(%error, nice, "cannot set the priority of a blocking thread");
        }
        if self.idle
            && let Err(error) = crate::os::idle_time_only()
        {
            tracing::warn!(%error, "cannot leave a blocking thread the idle time only");
        }
    }
}

/// The way of blocking jobs from the lane's queue to its threads.
///
/// A shard that submits a job must never wake a thread of low priority itself: the kernel may run that one at once and
/// come back to the shard a clock tick later (measured: 4 ms). So a thread of ordinary priority stands between.
pub(super) struct Dispatch {
    /// One for each thread that waits.
    free: Queue<()>,
    given: Queue<Arc<Ticket<dyn BlockingJob>>>,
}

impl Dispatch {
    pub(super) fn new(threads: usize) -> Self {
        Self { free: Queue::new(threads), given: Queue::new(threads) }
    }

    /// Hands jobs to threads that are free, until the lane ends.
    pub(super) fn run(&self, lane: &Lane<dyn BlockingJob>) {
        while self.free.next_blocking().is_some() {
            let Some(ticket) = lane.tickets.next_blocking() else { break };
            // There is room: no more are given than threads are free.
            if self.given.try_push(ticket).is_err() {
                break;
            }
        }
        self.given.close();
    }

    /// Ends [`run`](Self::run) although threads are missing that it would wait for.
    pub(super) fn abandon(&self) {
        self.free.close();
    }

    fn next(&self) -> Option<Arc<Ticket<dyn BlockingJob>>> {
        // There is room: a thread is free once at a time.
        let _ = self.free.try_push(());
        self.given.next_blocking()
    }
}

/// Runs blocking jobs, one at a time, until the lane ends.
pub(super) fn work_blocking(
    lane: &Lane<dyn BlockingJob>,
    dispatch: &Dispatch,
    presence: Presence<dyn BlockingJob>,
    priority: Priority,
) {
    priority.apply();
    while let Some(ticket) = dispatch.next() {
        if let Some((job, running)) = lane.start(&ticket) {
            running.end(contain(|| job.run()));
        }
    }
    drop(presence);
}
