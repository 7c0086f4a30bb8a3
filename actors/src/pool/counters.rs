//! What a lane counts.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::job::{Kind, Refusal};
use crate::future::contain;

/// What a lane counted since its start, and what it holds.
///
/// `submitted = queued + running + done + panicked + late + cancelled + refused`, once nothing moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct LaneStats {
    /// Jobs taken.
    pub submitted: u64,
    /// Jobs given back because the queue was full.
    pub rejected: u64,
    /// Jobs that wait.
    pub queued: usize,
    /// Jobs that run.
    pub running: usize,
    /// Jobs that ran to their end.
    pub done: u64,
    /// Jobs that panicked, in running or in being refused.
    pub panicked: u64,
    /// Jobs refused because they were not started by their time.
    pub expired: u64,
    /// Jobs cancelled by their handle, and running ones dropped by a stop.
    pub cancelled: u64,
    /// Jobs refused by a stop.
    pub refused: u64,
}

#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) submitted: AtomicU64,
    pub(super) rejected: AtomicU64,
    pub(super) queued: AtomicUsize,
    pub(super) running: AtomicUsize,
    pub(super) done: AtomicU64,
    pub(super) panicked: AtomicU64,
    pub(super) expired: AtomicU64,
    pub(super) cancelled: AtomicU64,
    pub(super) refused: AtomicU64,
}

impl Tally {
    /// Refuses a job that was taken out of its ticket unstarted.
    pub(super) fn refuse<J: ?Sized + Kind>(&self, job: Box<J>, reason: Refusal) {
        self.queued.fetch_sub(1, Ordering::Relaxed);
        let counter = match contain(|| job.refuse(reason)) {
            Err(_) => &self.panicked,
            Ok(()) => match reason {
                Refusal::Expired => &self.expired,
                Refusal::Cancelled => &self.cancelled,
                Refusal::Full | Refusal::Stopped => &self.refused,
            },
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn stats(&self) -> LaneStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        LaneStats {
            submitted: read(&self.submitted),
            rejected: read(&self.rejected),
            queued: self.queued.load(Ordering::Relaxed),
            running: self.running.load(Ordering::Relaxed),
            done: read(&self.done),
            panicked: read(&self.panicked),
            expired: read(&self.expired),
            cancelled: read(&self.cancelled),
            refused: read(&self.refused),
        }
    }
}
