//! The monitor: a thread that notices when a thread of a shard or of the pool does not return from a piece of
//! work.
//!
//! It counts its own rounds instead of reading a clock: nothing counts as stuck because the process was
//! stopped.

use std::{
    collections::HashMap,
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use crate::{
    limits::Timeouts,
    metrics::{Metrics, WorkerLane},
};

/// Number of rounds within the shortest time limit.
const ROUNDS: u32 = 8;

/// Longest time between two rounds.
const MAX_ROUND: Duration = Duration::from_secs(1);

/// The running monitor. Dropping it ends the thread.
pub(super) struct Monitor {
    stop: Option<mpsc::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Monitor {
    /// Starts the monitor. Returns `None` if both time limits are off, or if the thread cannot be started,
    /// which is logged.
    pub(super) fn start(metrics: Arc<Metrics>, timeouts: &Timeouts) -> Option<Self> {
        let limits = [timeouts.stuck, timeouts.stuck_unhealthy];
        let shortest = limits.into_iter().flatten().min()?;
        let round = (shortest / ROUNDS).clamp(Duration::from_millis(1), MAX_ROUND);
        let mut rounds = Rounds {
            metrics,
            stuck: timeouts.stuck.map(|limit| rounds_in(limit, round)),
            unhealthy: timeouts.stuck_unhealthy.map(|limit| rounds_in(limit, round)),
            // A blocking job may block. Its client waits for no longer than this.
            blocking: timeouts.job.map(|job| rounds_in(job, round)),
            round,
            seen: HashMap::new(),
        };
        let (stop, stopped) = mpsc::channel::<()>();
        let run = move || {
            while stopped.recv_timeout(round) == Err(mpsc::RecvTimeoutError::Timeout) {
                rounds.next();
            }
        };
        match thread::Builder::new().name("windlass-stuck".to_owned()).spawn(run) {
            Ok(thread) => Some(Self { stop: Some(stop), thread: Some(thread) }),
            Err(error) => {
                tracing::warn!(%error, "starting the monitor of stuck threads failed, continuing without it");
                None
            }
        }
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        drop(self.stop.take());
        // It only looks at counters, so it ends at once.
        let _ = self.thread.take().map(thread::JoinHandle::join);
    }
}

fn rounds_in(limit: Duration, round: Duration) -> u64 {
    (limit.as_nanos().div_ceil(round.as_nanos().max(1))) as u64
}

/// A thread that is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Place {
    Shard(usize),
    /// Address of the worker's activity, which no other worker has at the same time.
    Worker(usize),
    Blocking(usize),
}

impl Place {
    fn name(self) -> &'static str {
        match self {
            Self::Shard(_) => "shard",
            Self::Worker(_) => "worker",
            Self::Blocking(_) => "blocking",
        }
    }
}

/// Piece of work of a thread, and the number of rounds in which it was seen.
struct Seen {
    sequence: u64,
    rounds: u64,
    is_reported: bool,
}

/// The rounds of the monitor.
struct Rounds {
    metrics: Arc<Metrics>,
    /// Number of rounds after which a thread is reported; `None`: never.
    stuck: Option<u64>,
    /// Number of rounds after which the health check fails; `None`: never.
    unhealthy: Option<u64>,
    /// Number of further rounds that a blocking job may take before its thread is reported; `None`: it is
    /// never reported.
    blocking: Option<u64>,
    round: Duration,
    seen: HashMap<Place, Seen>,
}

impl Rounds {
    /// Looks at the work of every thread, reports those that are stuck or have recovered, and sets the health
    /// check.
    fn next(&mut self) {
        let metrics = self.metrics.clone();
        let workers = metrics.workers();
        let shards = metrics.shards().iter().enumerate();
        let shards = shards.map(|(index, counters)| (Place::Shard(index), &counters.activity));
        let workers = workers.iter().map(|worker| {
            let address = Arc::as_ptr(worker) as usize;
            let place = match worker.lane {
                WorkerLane::Async => Place::Worker(address),
                WorkerLane::Blocking => Place::Blocking(address),
            };
            (place, &worker.activity)
        });
        let (mut present, mut is_unhealthy) = (HashMap::new(), false);
        for (place, activity) in shards.chain(workers) {
            let Some((sequence, route)) = activity.current() else { continue };
            let seen = self.look(place, sequence, route);
            is_unhealthy |= self.unhealthy.is_some_and(|most| seen.rounds >= most)
                && !matches!(place, Place::Blocking(_));
            present.insert(place, seen);
        }
        for (place, seen) in std::mem::replace(&mut self.seen, present) {
            self.check_recovered(place, &seen);
        }
        self.metrics.set_stuck(is_unhealthy);
    }

    /// Counts a round for the current work of a thread, and reports it if it has taken too long.
    fn look(&mut self, place: Place, sequence: u64, route: u32) -> Seen {
        let mut seen = match self.seen.remove(&place) {
            Some(seen) if seen.sequence == sequence => seen,
            other => {
                if let Some(other) = other {
                    self.seen.insert(place, other);
                }
                Seen { sequence, rounds: 0, is_reported: false }
            }
        };
        seen.rounds += 1;
        let allowed = match place {
            Place::Blocking(_) => self.stuck.zip(self.blocking).map(|(stuck, job)| stuck + job),
            Place::Shard(_) | Place::Worker(_) => self.stuck,
        };
        if !seen.is_reported && allowed.is_some_and(|allowed| seen.rounds > allowed) {
            seen.is_reported = true;
            self.report(place, route, seen.rounds);
        }
        seen
    }

    fn report(&self, place: Place, route: u32, rounds: u64) {
        self.metrics.stuck_threads.add(place.name());
        let route = self.metrics.route_by_number(route);
        let method = route.as_ref().map(|route| route.method());
        let route = route.as_ref().map(|route| route.template());
        let shard = if let Place::Shard(shard) = place { Some(shard) } else { None };
        let (seconds, place) = (self.seconds(rounds), place.name());
        tracing::error!(
            place,
            shard,
            method,
            route,
            seconds,
            "thread is stuck in this route: look for a lock that is held across an await, or an endless loop"
        );
    }

    fn check_recovered(&self, place: Place, seen: &Seen) {
        if seen.is_reported {
            let seconds = self.seconds(seen.rounds);
            tracing::warn!(place = place.name(), seconds, "thread is no longer stuck");
        }
    }

    fn seconds(&self, rounds: u64) -> f64 {
        (self.round.as_secs_f64() * rounds as f64 * 10.0).round() / 10.0
    }
}
