//! How late the machine itself is: what a request that needs nothing would wait for on it.
//!
//! Where processors are taken away for milliseconds, by a hypervisor or by whatever else runs, every p99 tells of that and
//! not of the server. A thread on each core, of eight at most, sleeps a millisecond again and again and notes how late it wakes.

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

/// How long a sleep is.
const TICK: Duration = Duration::from_millis(1);

/// Cores looked at, at most: each look is a wake, and the load is on few of many.
const MOST: usize = 8;

/// Notes how late the cores are, until it is dropped.
pub(super) struct Stalls {
    noted: Arc<Mutex<Latency>>,
    over: Arc<AtomicBool>,
}

impl Stalls {
    /// Starts to look, with a thread on each core this process may use.
    ///
    /// # Errors
    ///
    /// A thread could not be started.
    pub(super) fn watch() -> Result<Self, String> {
        let stalls = Self { noted: Arc::default(), over: Arc::default() };
        let ours =
            sched_getaffinity(None).map_err(|error| format!("which cores there are is not told: {error}"))?;
        for core in (0..CpuSet::MAX_CPU).filter(|core| ours.is_set(*core)).take(MOST) {
            let (noted, over) = (stalls.noted.clone(), stalls.over.clone());
            let look = move || {
                let mut only = CpuSet::new();
                only.set(core);
                // Anywhere else it sees less of one core and more of another.
                let _ = sched_setaffinity(None, &only);
                while !over.load(Relaxed) {
                    let began = Instant::now();
                    thread::sleep(TICK);
                    note(&noted, began.elapsed().saturating_sub(TICK));
                }
            };
            let thread = thread::Builder::new().name(format!("stalls-{core}")).spawn(look);
            thread.map_err(|error| format!("a thread could not be started: {error}"))?;
        }
        Ok(stalls)
    }

    /// Returns what was noted since the last call.
    pub(super) fn take(&self) -> Latency {
        std::mem::take(&mut *self.noted.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Stalls {
    fn drop(&mut self) {
        self.over.store(true, Relaxed);
    }
}

/// Notes a stall as all those see it that come during it, one each tick: the later, the less of it.
fn note(noted: &Mutex<Latency>, late: Duration) {
    let mut noted = noted.lock().unwrap_or_else(PoisonError::into_inner);
    let mut left = late;
    loop {
        noted.record(left);
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
    fn a_stall_is_noted_for_each_who_comes_during_it() {
        let noted = Mutex::default();
        (0..990).for_each(|_| note(&noted, Duration::from_micros(50)));
        note(&noted, Duration::from_millis(20));
        let noted = noted.into_inner().unwrap();
        assert_eq!(noted.count(), 990 + 21);
        let late = |part| noted.quantile(part).unwrap().as_millis();
        assert_eq!((late(0.97), late(0.995), late(1.0)), (0, 15, 20));
    }

    #[test]
    fn threads_note_until_they_are_dropped() {
        let stalls = Stalls::watch().unwrap();
        let until = Instant::now() + Duration::from_secs(10);
        while stalls.take().count() < 5 {
            assert!(Instant::now() < until, "nothing is noted");
            thread::sleep(TICK * 10);
        }
    }
}
