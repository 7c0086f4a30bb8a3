//! File operations that may wait for a disk: they run on the blocking lane of the pool, on at most
//! [`THREADS`] of its threads for each route.
//!
//! So a slow file system takes neither all threads of the pool nor those of another directory.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use windlass_actors::{
    Pool,
    pool::{BlockingJob, Refusal, Rejected},
};

/// Threads of the pool that the file operations of one route occupy at most.
pub(super) const THREADS: usize = 4;

/// File operations of one route that can wait for a thread. Further ones are refused.
const WAITING: usize = 1024;

/// A file operation. Dropped without a call if the pool refuses it, so it must report that by its `Drop`.
pub(super) type Task = Box<dyn FnOnce() + Send>;

/// The file operations of one route.
#[derive(Default)]
pub(super) struct Jobs(Mutex<Queue>);

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Task>,
    /// Jobs of the pool that run these operations.
    runners: usize,
}

impl Jobs {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Submits an operation. Drops it if too many wait or the pool refuses it.
    pub(super) fn submit(self: &Arc<Self>, pool: &Pool, task: Task) {
        let mut queue = self.lock();
        if queue.waiting.len() >= WAITING {
            drop(queue);
            return drop(task);
        }
        queue.waiting.push_back(task);
        if queue.runners == THREADS {
            return;
        }
        queue.runners += 1;
        drop(queue);
        if let Err(Rejected { job, reason }) = pool.submit_blocking(Box::new(Runner(self.clone())), None) {
            job.refuse(reason);
        }
    }
}

/// Job of the pool that runs waiting operations until there are none.
struct Runner(Arc<Jobs>);

impl BlockingJob for Runner {
    fn run(self: Box<Self>) {
        loop {
            let task = self.0.lock().waiting.pop_front();
            match task {
                // A panic ends the runner; its drop starts nothing, and the next submit starts another.
                Some(task) => task(),
                None => return,
            }
        }
    }

    fn refuse(self: Box<Self>, _: Refusal) {}
}

impl Drop for Runner {
    fn drop(&mut self) {
        let mut queue = self.0.lock();
        queue.runners -= 1;
        // Without a runner nothing would run what waits.
        let left = if queue.runners == 0 { std::mem::take(&mut queue.waiting) } else { VecDeque::new() };
        drop(queue);
        drop(left);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            atomic::{AtomicUsize, Ordering},
            mpsc,
        },
        time::Duration,
    };

    use windlass_actors::Undelivered;

    use super::*;

    #[test]
    fn operations_run_on_a_bounded_number_of_threads() {
        let pool = Pool::builder().blocking_threads(2 * THREADS).build().unwrap();
        let jobs = Arc::new(Jobs::default());
        let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (sender, ended) = mpsc::channel();
        for _ in 0..50 {
            let (running, most, sender) = (running.clone(), most.clone(), sender.clone());
            jobs.submit(
                &pool,
                Box::new(move || {
                    most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    std::thread::sleep(Duration::from_millis(2));
                    running.fetch_sub(1, Ordering::SeqCst);
                    sender.send(()).unwrap();
                }),
            );
        }
        (0..50).for_each(|_| ended.recv_timeout(Duration::from_secs(10)).unwrap());
        assert!((1..=THREADS).contains(&most.load(Ordering::SeqCst)), "{most:?}");
        pool.stop(Undelivered::Discard, Duration::from_secs(10));
    }

    #[test]
    fn a_stopped_pool_drops_operations() {
        let pool = Pool::builder().build().unwrap();
        pool.stop(Undelivered::Discard, Duration::from_secs(10));
        let jobs = Arc::new(Jobs::default());
        let (sender, ended) = mpsc::channel::<()>();
        jobs.submit(&pool, Box::new(move || sender.send(()).unwrap()));
        assert_eq!(ended.recv_timeout(Duration::from_secs(10)), Err(mpsc::RecvTimeoutError::Disconnected));
        assert_eq!(jobs.lock().runners, 0);
    }
}
