//! Delay of the machine itself: the time by which it wakes a sleeping thread too late.
//!
//! A hypervisor or another program may take a core away for milliseconds. Then the p99 describes the machine
//! and not the server. A thread on each core, at most eight, repeatedly sleeps for a millisecond and records
//! how late it wakes.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::client::latency::Latency;

/// Length of a sleep.
const TICK: Duration = Duration::from_millis(1);

/// Maximum number of watched cores. Each wake-up costs CPU time.
const MAX_CORES: usize = 8;

/// Recorder of the delays. Dropping it stops its threads.
pub(super) struct Stalls {
    delays: Arc<Mutex<Latency>>,
    is_over: Arc<AtomicBool>,
}

impl Stalls {
    /// Starts a thread on each core that this process may use.
    ///
    /// # Errors
    ///
    /// The cores are unknown, or a thread cannot be started.
    pub(super) fn watch() -> Result<Self, String> {
        let stalls = Self { delays: Arc::default(), is_over: Arc::default() };
        let cores = sched_getaffinity(None)
            .map_err(|error| format!("cannot read the cores that this process may use: {error}"))?;
        for core in (0..CpuSet::MAX_CPU).filter(|core| cores.is_set(*core)).take(MAX_CORES) {
            let (delays, is_over) = (stalls.delays.clone(), stalls.is_over.clone());
            let watch = move || {
                let mut only = CpuSet::new();
                only.set(core);
                // Without affinity the thread watches some core, which is still useful.
                let _ = sched_setaffinity(None, &only);
                while !is_over.load(Relaxed) {
                    let start = Instant::now();
                    thread::sleep(TICK);
                    record(&delays, start.elapsed().saturating_sub(TICK));
                }
            };
            let thread = thread::Builder::new().name(format!("stalls-{core}")).spawn(watch);
            thread.map_err(|error| {
                format!("cannot start a thread that measures the delay of the machine: {error}")
            })?;
        }
        Ok(stalls)
    }

    /// Returns the delays since the last call and removes them.
    pub(super) fn take(&self) -> Latency {
        std::mem::take(&mut *self.delays.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Stalls {
    fn drop(&mut self) {
        self.is_over.store(true, Relaxed);
    }
}

/// Records a delay as requests would see it that arrive once per tick during it: each later one waits less.
fn record(delays: &Mutex<Latency>, delay: Duration) {
    let mut delays = delays.lock().unwrap_or_else(PoisonError::into_inner);
    let mut left = delay;
    loop {
        delays.record(left);
        match left.checked_sub(TICK) {
            Some(rest) => left = rest,
            None => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_delay_counts_once_per_tick() {
        let delays = Mutex::default();
        (0..990).for_each(|_| record(&delays, Duration::from_micros(50)));
        record(&delays, Duration::from_millis(20));
        let delays = delays.into_inner().unwrap();
        assert_eq!(delays.count(), 990 + 21);
        let late = |quantile| delays.quantile(quantile).unwrap().as_millis();
        assert_eq!((late(0.97), late(0.995), late(1.0)), (0, 15, 20));
    }

    #[test]
    fn delays_are_recorded() {
        let stalls = Stalls::watch().unwrap();
        let until = Instant::now() + Duration::from_secs(10);
        while stalls.take().count() < 5 {
            assert!(Instant::now() < until, "no delay was recorded");
            thread::sleep(TICK * 10);
        }
    }
}
