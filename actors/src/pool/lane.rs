//! A lane of a pool: a bounded queue of jobs, and the threads that run them.

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, PoisonError, atomic::Ordering},
    time::Instant,
};

use tokio::sync::watch;

use super::{
    counters::LaneCounters,
    job::{Refusable, Refusal, Rejected},
    queue::Queue,
    queued_job::{QueuedJob, RunGuard},
};
use crate::error::TellError;

/// Lane for jobs of type `J`.
pub(super) struct Lane<J: ?Sized + Refusable> {
    /// Waiting jobs. It also holds cancelled ones until [`purge`](Self::purge) removes them, so it is twice
    /// as long as the number of jobs that may wait.
    pub(super) queue: Queue<Arc<QueuedJob<J>>>,
    capacity: usize,
    pub(super) counters: Arc<LaneCounters>,
    purging: Mutex<()>,
    /// Becomes `true` when workers must drop their jobs and end.
    abort: watch::Sender<bool>,
    /// Number of threads that have not ended.
    threads: Mutex<usize>,
    thread_ended: Condvar,
}

impl<J: ?Sized + Refusable> Lane<J> {
    /// Creates a lane without threads where `capacity` jobs may wait, at least one.
    pub(super) fn new(capacity: usize) -> Arc<Self> {
        let capacity = capacity.max(1);
        Arc::new(Self {
            queue: Queue::new(2 * capacity),
            capacity,
            counters: Arc::default(),
            purging: Mutex::new(()),
            abort: watch::Sender::new(false),
            threads: Mutex::new(0),
            thread_ended: Condvar::new(),
        })
    }

    /// Queues a job. Returns it if too many jobs wait or the lane is closed.
    pub(super) fn submit(
        self: &Arc<Self>,
        job: Box<J>,
        start_by: Option<Instant>,
    ) -> Result<Arc<QueuedJob<J>>, Rejected<J>> {
        let next = |queued: usize| (queued < self.capacity).then_some(queued + 1);
        if self.counters.queued.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).is_err() {
            self.counters.rejected.fetch_add(1, Ordering::Relaxed);
            return Err(Rejected { job, reason: Refusal::Full });
        }
        self.counters.submitted.fetch_add(1, Ordering::Relaxed);
        let job = QueuedJob::new(Arc::clone(&self.counters), job, start_by);
        match self.push(Arc::clone(&job)) {
            Ok(()) => Ok(job),
            Err(job) => Err(self.reject(&job)),
        }
    }

    /// Reverts the counters for a job that the closed queue did not accept.
    fn reject(&self, job: &QueuedJob<J>) -> Rejected<J> {
        self.counters.queued.fetch_sub(1, Ordering::Relaxed);
        self.counters.submitted.fetch_sub(1, Ordering::Relaxed);
        let job =
            job.take().unwrap_or_else(|| unreachable!("no other thread knows a job that was never queued"));
        Rejected { job, reason: Refusal::Stopped }
    }

    /// Adds a job to the queue. The job comes back if the lane is closed.
    fn push(&self, mut job: Arc<QueuedJob<J>>) -> Result<(), Arc<QueuedJob<J>>> {
        loop {
            match self.queue.try_push(job) {
                Ok(()) => return Ok(()),
                Err(TellError::Closed(back)) => return Err(back),
                Err(TellError::Full(back)) => job = back,
            }
            self.purge();
        }
    }

    /// Removes cancelled jobs from a full queue.
    ///
    /// At least half of the jobs in a full queue are cancelled. So the cost is constant for each cancelled
    /// job, and clients that cancel their jobs cannot keep the queue full.
    fn purge(&self) {
        let _one_at_a_time = self.purging.lock().unwrap_or_else(PoisonError::into_inner);
        let mut waiting = VecDeque::new();
        for _ in 0..self.queue.len() {
            waiting.extend(self.queue.pop().filter(|job| job.is_waiting()));
        }
        while let Some(job) = waiting.pop_front() {
            match self.queue.try_push(job) {
                Ok(()) => {}
                Err(TellError::Full(job)) => {
                    // Other threads have filled the queue meanwhile, so it contains cancelled jobs again.
                    waiting.push_front(job);
                    waiting.extend(self.queue.pop().filter(|job| job.is_waiting()));
                }
                Err(TellError::Closed(job)) => self.refuse(&job),
            }
        }
    }

    /// Takes a job to run it. Returns `None` if it was cancelled or did not start in time; a late job is
    /// refused.
    pub(super) fn start(&self, queued: &Arc<QueuedJob<J>>) -> Option<(Box<J>, RunGuard<J>)> {
        let job = queued.take()?;
        if queued.start_by.is_some_and(|start_by| start_by <= Instant::now()) {
            self.counters.refuse(job, Refusal::Expired);
            return None;
        }
        Some((job, queued.begin()))
    }

    fn refuse(&self, queued: &QueuedJob<J>) {
        if let Some(job) = queued.take() {
            self.counters.refuse(job, Refusal::Stopped);
        }
    }

    /// Refuses all waiting jobs.
    pub(super) fn refuse_all(&self) {
        while let Some(job) = self.queue.pop() {
            self.refuse(&job);
        }
    }

    /// Makes the workers drop their jobs and end.
    pub(super) fn abort_workers(&self) {
        self.abort.send_replace(true);
    }

    /// Returns a receiver that becomes `true` when workers must drop their jobs and end.
    pub(super) fn abort_signal(&self) -> watch::Receiver<bool> {
        self.abort.subscribe()
    }

    /// Counts a thread of this lane until the guard is dropped.
    pub(super) fn enter(self: &Arc<Self>) -> ThreadGuard<J> {
        *self.threads.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        ThreadGuard(Arc::clone(self))
    }

    /// Blocks until all threads have ended, or until `deadline`. Returns the number of threads that still
    /// run.
    pub(super) fn wait(&self, deadline: Instant) -> usize {
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if *threads == 0 || left.is_zero() {
                return *threads;
            }
            threads = self.thread_ended.wait_timeout(threads, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// Counts a thread of a lane until it is dropped.
pub(super) struct ThreadGuard<J: ?Sized + Refusable>(Arc<Lane<J>>);

impl<J: ?Sized + Refusable> Drop for ThreadGuard<J> {
    fn drop(&mut self) {
        *self.0.threads.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        self.0.thread_ended.notify_all();
    }
}
