//! A run on a thread of its own, and the seconds of it.

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

use super::{
    Plan, run,
    tally::{Tally, Totals},
};

/// A run that goes on. A signal ends it early, and in order.
pub(crate) struct Running {
    tally: Tally,
    /// Everything that was taken off the tally.
    totals: Totals,
    began: Instant,
    next: Instant,
    elapsed: Duration,
    ended: Receiver<()>,
    thread: Option<JoinHandle<std::io::Result<()>>>,
    is_last: bool,
}

impl Running {
    /// Starts.
    ///
    /// # Errors
    ///
    /// This build lacks what the workload needs, or the system gives no thread.
    pub(crate) fn start(plan: Plan) -> Result<Self, String> {
        let shares = plan.traffic.shares()?;
        let stop = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            // A second signal ends the process: what prints the result may wait for a reader.
            signal_hook::flag::register_conditional_default(signal, stop.clone())
                .and_then(|_| signal_hook::flag::register(signal, stop.clone()))
                .map_err(|error| format!("cannot catch signals: {error}"))?;
        }
        let tally = Tally::default();
        let (told, ended) = sync_channel(1);
        let own = tally.clone();
        let load = move || {
            let ran = run::run(plan, shares, own, &stop);
            // Nobody listens any more: nobody needs to know.
            let _ = told.send(());
            ran
        };
        let thread = thread::Builder::new().name("load".to_owned()).spawn(load);
        let thread = thread.map_err(|error| format!("cannot start a thread: {error}"))?;
        let began = Instant::now();
        Ok(Self {
            tally,
            totals: Totals::default(),
            began,
            next: began,
            elapsed: Duration::ZERO,
            ended,
            thread: Some(thread),
            is_last: false,
        })
    }

    /// Waits for the next `interval` to pass and returns what happened in it; `None` after the end.
    pub(crate) fn next_second(&mut self, interval: Duration) -> Option<Totals> {
        if self.is_last {
            return None;
        }
        self.next += interval;
        let wait = self.next.saturating_duration_since(Instant::now());
        self.is_last = self.ended.recv_timeout(wait) != Err(RecvTimeoutError::Timeout);
        self.elapsed = self.began.elapsed();
        let second = self.tally.take();
        self.totals.add(&second);
        Some(second)
    }

    /// Returns how long it ran up to the end of the last interval.
    pub(crate) fn elapsed(&self) -> Duration {
        self.elapsed
    }

    /// Waits for the end and returns everything that happened.
    ///
    /// # Errors
    ///
    /// It could not be run at all.
    pub(crate) fn join(mut self) -> Result<Totals, String> {
        while self.next_second(Duration::from_secs(1)).is_some() {}
        let ran = self.thread.take().map(JoinHandle::join);
        match ran {
            Some(Ok(Err(error))) => Err(format!("the load cannot be run: {error}")),
            Some(Err(_)) => Err("the load ended by a panic".to_owned()),
            _ => Ok(self.totals),
        }
    }
}
