//! Counters of a lane.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::job::{Refusable, Refusal};
use crate::future::catch_panic;

/// Counters of a lane since its start.
///
/// While nothing changes, `submitted` equals the sum of all the others except `rejected`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct LaneStats {
    /// Jobs that were accepted.
    pub submitted: u64,
    /// Jobs that were not accepted because the queue was full.
    pub rejected: u64,
    /// Jobs that are waiting now.
    pub queued: usize,
    /// Jobs that are running now.
    pub running: usize,
    /// Jobs that have run to their end without a panic.
    pub done: u64,
    /// Jobs that panicked, while they ran or while they were refused.
    pub panicked: u64,
    /// Jobs that were refused because they did not start in time, or because their handle
    /// [expired](super::JobHandle::expire) them while they waited.
    pub expired: u64,
    /// Jobs that were cancelled by their handle, and running jobs that a stop dropped.
    pub cancelled: u64,
    /// Jobs that were refused by a stop.
    pub refused: u64,
}

/// Atomic counters behind [`LaneStats`].
#[derive(Debug, Default)]
pub(super) struct LaneCounters {
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

impl LaneCounters {
    /// Refuses a job that was waiting, and counts it by the reason, or as a panic if the refusal panics.
    pub(super) fn refuse<J: ?Sized + Refusable>(&self, job: Box<J>, reason: Refusal) {
        self.queued.fetch_sub(1, Ordering::Relaxed);
        let counter = match catch_panic(|| job.refuse(reason)) {
            Err(_) => &self.panicked,
            Ok(()) => match reason {
                Refusal::Expired => &self.expired,
                Refusal::Cancelled => &self.cancelled,
                Refusal::Full | Refusal::Stopped => &self.refused,
            },
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns the current values of the counters.
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
