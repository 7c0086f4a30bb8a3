//! Activity of each thread of the server, for the monitor of stuck threads.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    thread,
};

/// Activity of one thread. Only that thread writes it.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Activity {
    /// Number of the current piece of work: odd while the thread works, even while it waits for work.
    sequence: AtomicU64,
    /// Number of the route whose code runs, or 0.
    route: AtomicU32,
}

impl Activity {
    /// Records that the thread begins a piece of work.
    pub(crate) fn begin(&self) {
        self.sequence.store((self.sequence.load(Relaxed) + 1) | 1, Relaxed);
    }

    /// Records that the thread waits for work.
    pub(crate) fn end(&self) {
        self.sequence.store((self.sequence.load(Relaxed) | 1) + 1, Relaxed);
    }

    /// Calls code of the route with this number. Returns a panic as an error.
    pub(crate) fn call<T>(&self, route: u32, call: impl FnOnce() -> T) -> thread::Result<T> {
        self.route.store(route, Relaxed);
        let called = catch_unwind(AssertUnwindSafe(call));
        self.route.store(0, Relaxed);
        called
    }

    /// Returns the number of the piece of work that the thread is doing, and that of the route whose code
    /// runs.
    pub(crate) fn current(&self) -> Option<(u64, u32)> {
        let sequence = self.sequence.load(Relaxed);
        (sequence % 2 == 1).then(|| (sequence, self.route.load(Relaxed)))
    }
}

/// Lane of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WorkerLane {
    /// It interleaves many jobs, so each of them delays the others while it does not return.
    Async,
    /// It runs one job, which may block.
    Blocking,
}

/// A worker of the pool.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) lane: WorkerLane,
    pub(crate) activity: Activity,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_piece_of_work_has_a_number_of_its_own() {
        let activity = Activity::default();
        assert_eq!(activity.current(), None);
        activity.begin();
        let first = activity.current();
        assert_eq!(first, Some((1, 0)));
        activity.begin();
        assert_eq!(activity.current(), Some((3, 0)), "without a wait in between");
        activity.end();
        activity.end();
        assert_eq!(activity.current(), None);
        activity.begin();
        assert_eq!(activity.call(7, || activity.current().unwrap().1).unwrap(), 7);
        assert!(activity.call(8, || panic!("deliberate panic")).is_err());
        assert_eq!(activity.current().unwrap().1, 0);
    }
}
