//! The pool: two bounded lanes, start deadlines, cancelling, panics, stopping.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod common;

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::{
        Arc, Barrier,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use common::{LONG, eventually};
use tokio::runtime::{Builder, Runtime};
use windlass_actors::{
    Pool, Undelivered,
    error::PoolError,
    pool::{BlockingJob, Job, JobFuture, LaneStats, Refusal},
};

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// Outcome of a job.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
enum Outcome {
    Ran(u32),
    Refused(u32, Refusal),
}

/// Job that reports its outcome. It runs until the semaphore has a permit.
struct Gated {
    id: u32,
    gate: Arc<tokio::sync::Semaphore>,
    /// Set when a job waits for a permit.
    waiting: Arc<AtomicBool>,
    outcome: mpsc::Sender<Outcome>,
}

impl Job for Gated {
    fn run(self: Box<Self>) -> JobFuture {
        Box::pin(async move {
            let mut permit = pin!(self.gate.acquire());
            let permit = poll_fn(|cx| {
                let polled = permit.as_mut().poll(cx);
                self.waiting.store(polled.is_pending(), Ordering::SeqCst);
                polled
            });
            permit.await.unwrap().forget();
            self.outcome.send(Outcome::Ran(self.id)).unwrap();
        })
    }

    fn refuse(self: Box<Self>, reason: Refusal) {
        self.outcome.send(Outcome::Refused(self.id, reason)).unwrap();
    }
}

struct Rig {
    pool: Pool,
    gate: Arc<tokio::sync::Semaphore>,
    waiting: Arc<AtomicBool>,
    outcomes: mpsc::Receiver<Outcome>,
    outcome: mpsc::Sender<Outcome>,
}

impl Rig {
    /// Creates a pool with one worker that runs one job at a time, and a queue of four.
    fn narrow() -> Self {
        let (outcome, outcomes) = mpsc::channel();
        let pool = Pool::builder().workers(1).in_flight(1).queue(4).blocking_threads(1).build().unwrap();
        let (gate, waiting) = (Arc::new(tokio::sync::Semaphore::new(0)), Arc::default());
        Self { pool, gate, waiting, outcomes, outcome }
    }

    fn job(&self, id: u32) -> Box<Gated> {
        let (gate, waiting) = (Arc::clone(&self.gate), Arc::clone(&self.waiting));
        Box::new(Gated { id, gate, waiting, outcome: self.outcome.clone() })
    }

    fn outcome(&self) -> Outcome {
        self.outcomes.recv_timeout(LONG).unwrap()
    }

    /// Starts job 0, and fills the queue with jobs 1 to 4.
    fn fill(&self) -> Vec<windlass_actors::pool::JobHandle> {
        let first = self.pool.submit(self.job(0), None).unwrap();
        eventually("the first job waits for a permit", || self.waiting.load(Ordering::SeqCst));
        let rest = (1..=4).map(|id| self.pool.submit(self.job(id), None).unwrap());
        [first].into_iter().chain(rest).collect()
    }
}

#[test]
fn a_thousand_waiting_jobs_share_the_workers() {
    const JOBS: usize = 1000;
    let pool = Pool::builder().workers(2).in_flight(JOBS / 2).build().unwrap();
    // No job ends before all of them run.
    let all = Arc::new(tokio::sync::Barrier::new(JOBS));
    let jobs: Vec<_> = (0..JOBS)
        .map(|n| {
            let all = Arc::clone(&all);
            pool.run(move || async move {
                all.wait().await;
                n
            })
        })
        .collect();
    runtime().block_on(async {
        for (n, job) in (0..).zip(jobs) {
            assert_eq!(job.await, Ok(n));
        }
    });
    assert_eq!(pool.stats().jobs.submitted, JOBS as u64);
}

#[test]
fn a_full_queue_gives_the_job_back() {
    let rig = Rig::narrow();
    let _handles = rig.fill();
    let rejected = rig.pool.submit(rig.job(5), None).unwrap_err();
    assert_eq!(rejected.reason, Refusal::Full);
    rejected.job.refuse(rejected.reason);
    assert_eq!(rig.outcome(), Outcome::Refused(5, Refusal::Full));
    assert_eq!(rig.pool.stats().jobs.queued, 4);

    rig.gate.add_permits(5);
    for id in 0..=4 {
        assert_eq!(rig.outcome(), Outcome::Ran(id));
    }
    eventually("all jobs are done", || rig.pool.stats().jobs.running == 0);
    let stats = rig.pool.stats().jobs;
    assert_eq!((stats.submitted, stats.done, stats.rejected, stats.queued), (5, 5, 1, 0));
}

#[test]
fn a_job_that_does_not_start_in_time_is_refused() {
    let rig = Rig::narrow();
    rig.pool.submit(rig.job(0), None).unwrap();
    rig.pool.submit(rig.job(1), Some(Instant::now())).unwrap();
    rig.gate.add_permits(1);
    assert_eq!(rig.outcome(), Outcome::Ran(0));
    assert_eq!(rig.outcome(), Outcome::Refused(1, Refusal::Expired));
    eventually("the job is counted", || rig.pool.stats().jobs.expired == 1);
}

#[test]
fn a_cancelled_job_leaves_the_queue_at_once() {
    let rig = Rig::narrow();
    let handles = rig.fill();
    handles[2].cancel();
    assert_eq!(rig.outcome(), Outcome::Refused(2, Refusal::Cancelled));
    // Cancelling frees the place in the queue, however often it happens.
    for id in 10..100 {
        let handle = rig.pool.submit(rig.job(id), None).unwrap();
        handle.cancel();
        assert_eq!(rig.outcome(), Outcome::Refused(id, Refusal::Cancelled));
    }
    rig.pool.submit(rig.job(5), None).unwrap();
    rig.gate.add_permits(5);
    for id in [0, 1, 3, 4, 5] {
        assert_eq!(rig.outcome(), Outcome::Ran(id));
    }
    // Cancelling a finished job has no effect.
    handles[1].cancel();
    assert_eq!(rig.pool.stats().jobs.cancelled, 91);
}

#[test]
fn a_cancelled_running_job_is_dropped_and_the_next_one_starts() {
    let rig = Rig::narrow();
    let handles = rig.fill();
    handles[0].cancel();
    rig.gate.add_permits(1);
    assert_eq!(rig.outcome(), Outcome::Ran(1));
    assert_eq!(rig.pool.stats().jobs.cancelled, 1);
}

#[test]
fn dropping_the_output_cancels_the_job() {
    let pool = Pool::builder().workers(1).build().unwrap();
    let (sender, dropped) = mpsc::channel::<()>();
    let outcome = pool.run(move || async move {
        let _sender = sender;
        std::future::pending::<()>().await;
    });
    eventually("the job is running", || pool.stats().jobs.running == 1);
    drop(outcome);
    assert_eq!(dropped.recv_timeout(LONG), Err(mpsc::RecvTimeoutError::Disconnected));
    eventually("the job is counted", || pool.stats().jobs.cancelled == 1);
}

#[test]
fn panics_are_caught_and_counted_on_both_lanes() {
    let pool = Pool::builder().workers(1).blocking_threads(1).build().unwrap();
    runtime().block_on(async {
        let early = pool.run(|| -> std::future::Ready<()> { panic!("before the first await") });
        assert_eq!(early.await, Err(PoolError::Panicked));
        let late = pool.run(|| async {
            tokio::task::yield_now().await;
            panic!("after an await")
        });
        assert_eq!(late.await.map(|(): ()| ()), Err(PoolError::Panicked));
        assert_eq!(pool.run_blocking(|| -> () { panic!("blocking") }).await, Err(PoolError::Panicked));
        assert_eq!(pool.run(|| async { 7 }).await, Ok(7));
        assert_eq!(pool.run_blocking(|| 8).await, Ok(8));
    });
    eventually("all panics are counted", || {
        let stats = pool.stats();
        (stats.jobs.panicked, stats.jobs.done, stats.blocking.panicked, stats.blocking.done) == (2, 1, 1, 1)
    });
}

#[test]
fn blocking_jobs_do_not_delay_async_ones() {
    let pool = Pool::builder().workers(1).blocking_threads(2).nice(19).build().unwrap();
    let held = Arc::new(Barrier::new(3));
    let blocked: Vec<_> = (0..2)
        .map(|_| {
            let held = Arc::clone(&held);
            pool.run_blocking(move || held.wait())
        })
        .collect();
    eventually("both threads are blocked", || pool.stats().blocking.running == 2);
    let waiting = pool.run_blocking(|| ());
    assert_eq!(runtime().block_on(pool.run(|| async { 1 })), Ok(1));
    assert_eq!(pool.stats().blocking.queued, 1);
    held.wait();
    runtime().block_on(async {
        for job in blocked {
            job.await.unwrap();
        }
        waiting.await.unwrap();
    });
}

#[test]
fn blocking_threads_use_the_nice_value() {
    let pool = Pool::builder().workers(1).blocking_threads(1).nice(7).build().unwrap();
    let nice = || rustix::process::getpriority_process(None).unwrap();
    let outer = nice();
    runtime().block_on(async {
        assert_eq!(pool.run_blocking(nice).await, Ok(7.max(outer)));
        assert_eq!(pool.run(move || async move { nice() }).await, Ok(outer));
    });
}

#[test]
fn a_busy_worker_leaves_jobs_to_an_idle_one() {
    let pool = Pool::builder().workers(2).build().unwrap();
    let both = Arc::new(Barrier::new(2));
    // Each job blocks its worker until the other job runs. So they end only if they run on two workers.
    let jobs: Vec<_> = (0..2)
        .map(|_| {
            let both = Arc::clone(&both);
            pool.run(move || async move { both.wait().is_leader() })
        })
        .collect();
    let mut leaders = 0;
    runtime().block_on(async {
        for job in jobs {
            leaders += u32::from(tokio::time::timeout(LONG, job).await.unwrap().unwrap());
        }
    });
    assert_eq!(leaders, 1);
}

#[test]
fn a_draining_stop_runs_the_waiting_jobs() {
    let rig = Rig::narrow();
    let _handles = rig.fill();
    rig.gate.add_permits(5);
    let report = rig.pool.stop(Undelivered::Drain, LONG);
    assert!(!report.aborted && report.threads_stuck == 0, "{report:?}");
    assert_eq!(rig.outcomes.try_iter().collect::<Vec<_>>(), (0..=4).map(Outcome::Ran).collect::<Vec<_>>());
    let rejected = rig.pool.submit(rig.job(9), None).unwrap_err();
    assert_eq!(rejected.reason, Refusal::Stopped);
}

#[test]
fn a_discarding_stop_refuses_the_waiting_jobs_and_its_counts_add_up() {
    let rig = Rig::narrow();
    let _handles = rig.fill();
    let report = rig.pool.stop(Undelivered::Discard, Duration::from_millis(50));
    assert!(report.aborted && report.threads_stuck == 0, "{report:?}");
    let fates: Vec<_> = rig.outcomes.try_iter().collect();
    assert_eq!(fates, (1..=4).map(|id| Outcome::Refused(id, Refusal::Stopped)).collect::<Vec<_>>());
    let stats = report.stats.jobs;
    // Job 0 never ended, so it was dropped.
    assert_eq!((stats.refused, stats.cancelled), (4, 1));
    assert_eq!(stats.submitted, added_up(&stats));
}

#[test]
fn a_stuck_blocking_job_is_left_behind_and_reported() {
    let pool = Pool::builder().workers(1).blocking_threads(1).build().unwrap();
    let (release, held) = mpsc::channel::<()>();
    let stuck = pool.run_blocking(move || held.recv());
    eventually("the job is running", || pool.stats().blocking.running == 1);
    let report = pool.stop(Undelivered::Drain, Duration::from_millis(20));
    assert_eq!(report.threads_stuck, 1, "{report:?}");
    drop(release);
    assert!(runtime().block_on(stuck).unwrap().is_err());
}

#[test]
fn counts_add_up_under_contention() {
    struct Light(Arc<AtomicUsize>);
    impl Job for Light {
        fn run(self: Box<Self>) -> JobFuture {
            Box::pin(async move {
                tokio::task::yield_now().await;
                self.0.fetch_add(1, Ordering::Relaxed);
            })
        }
        fn refuse(self: Box<Self>, _: Refusal) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    impl BlockingJob for Light {
        fn run(self: Box<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
        fn refuse(self: Box<Self>, _: Refusal) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    let pool = Pool::builder().queue(16).in_flight(2).blocking_queue(16).build().unwrap();
    let reports = Arc::new(AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for n in 0..2_000 {
                    if let Ok(job) = pool.submit(Box::new(Light(Arc::clone(&reports))), None)
                        && n % 2 == 0
                    {
                        job.cancel();
                    }
                    let _ = pool.submit_blocking(Box::new(Light(Arc::clone(&reports))), None);
                }
            });
        }
    });
    let stats = pool.stop(Undelivered::Drain, LONG).stats;
    assert_eq!(stats.jobs.submitted, added_up(&stats.jobs), "{stats:?}");
    assert_eq!(stats.blocking.submitted, added_up(&stats.blocking), "{stats:?}");
    assert_eq!(stats.jobs.submitted + stats.jobs.rejected, 6_000);
    // A job that was dropped as it started, or while it ran, reports no outcome. Each other job reports one.
    let reports = reports.load(Ordering::Relaxed) as u64;
    let submitted = stats.jobs.submitted + stats.blocking.submitted;
    assert!(reports <= submitted && reports >= submitted - stats.jobs.cancelled, "{reports} of {submitted}");
}

fn added_up(stats: &LaneStats) -> u64 {
    assert_eq!((stats.queued, stats.running), (0, 0));
    stats.done + stats.panicked + stats.expired + stats.cancelled + stats.refused
}

#[test]
fn blocking_threads_run_in_the_idle_class_if_configured() {
    /// Returns the scheduling policy of the thread: the 41st field of `/proc/thread-self/stat`.
    const IDLE: &str = "5";
    let policy = || {
        let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
        let fields = stat.rsplit_once(')').unwrap().1;
        fields.split_whitespace().nth(38).unwrap().to_owned()
    };
    for (idle, expected) in [(true, IDLE), (false, "0")] {
        let pool = Pool::builder().blocking_threads(1).idle(idle).build().unwrap();
        assert_eq!(runtime().block_on(pool.run_blocking(policy)).unwrap(), expected, "idle {idle}");
    }
}
