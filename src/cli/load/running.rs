//! Run on a thread of its own, reported in intervals.

use std::{
    sync::{
        Arc,
        atomic::AtomicBool,
        mpsc::{Receiver, RecvTimeoutError, sync_channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use signal_hook::consts::{SIGINT, SIGTERM};

use super::{Plan, drive, tally::Tally};
use crate::client::totals::Totals;

/// Run in progress. SIGINT and SIGTERM end it early.
pub(crate) struct Running {
    tally: Tally,
    /// Sum of the intervals so far.
    totals: Totals,
    started: Instant,
    /// End of the current interval.
    next: Instant,
    elapsed: Duration,
    ended: Receiver<()>,
    thread: Option<JoinHandle<std::io::Result<()>>>,
    is_last: bool,
}

impl Running {
    /// Starts the run.
    ///
    /// # Errors
    ///
    /// This build lacks a protocol of the workload, or the thread cannot be started.
    pub(crate) fn start(plan: Plan) -> Result<Self, String> {
        let shares = plan.traffic.shares()?;
        let stop = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            // A second signal ends the process: what prints the result may wait for a reader.
            signal_hook::flag::register_conditional_default(signal, stop.clone())
                .and_then(|_| signal_hook::flag::register(signal, stop.clone()))
                .map_err(|error| format!("cannot install a signal handler: {error}"))?;
        }
        let tally = Tally::default();
        let (sender, ended) = sync_channel(1);
        let own = tally.clone();
        let load = move || {
            let result = drive::run(plan, shares, own, &stop);
            // Fails only if the receiver was dropped, which needs no notice.
            let _ = sender.send(());
            result
        };
        let thread = thread::Builder::new().name("load".to_owned()).spawn(load);
        let thread =
            thread.map_err(|error| format!("cannot start the thread that makes the load: {error}"))?;
        let started = Instant::now();
        Ok(Self {
            tally,
            totals: Totals::default(),
            started,
            next: started,
            elapsed: Duration::ZERO,
            ended,
            thread: Some(thread),
            is_last: false,
        })
    }

    /// Waits for the end of the next interval, or of the run if that is earlier, and returns the totals since
    /// the last call. Returns `None` if the last call has reached the end of the run.
    pub(crate) fn next_interval(&mut self, interval: Duration) -> Option<Totals> {
        if self.is_last {
            return None;
        }
        self.next += interval;
        let wait = self.next.saturating_duration_since(Instant::now());
        self.is_last = self.ended.recv_timeout(wait) != Err(RecvTimeoutError::Timeout);
        self.elapsed = self.started.elapsed();
        let interval = self.tally.take();
        self.totals.add(&interval);
        Some(interval)
    }

    /// Returns the time from the start to the end of the last interval.
    pub(crate) fn elapsed(&self) -> Duration {
        self.elapsed
    }

    /// Waits for the end of the run and returns its totals.
    ///
    /// # Errors
    ///
    /// The runtime or a timer could not be created, or the load panicked.
    pub(crate) fn join(mut self) -> Result<Totals, String> {
        while self.next_interval(Duration::from_secs(1)).is_some() {}
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(Err(error))) => Err(format!("the load failed: {error}")),
            Some(Err(_)) => Err("the thread that makes the load panicked".to_owned()),
            _ => Ok(self.totals),
        }
    }
}
