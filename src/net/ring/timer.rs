//! The timer that ends a ring's wait at the earliest deadline.

use std::{io, time::Instant};

use io_uring::{squeue, types::Timespec};
use rustix::time::{ClockId, clock_gettime};

use super::{
    ops::{self, Kind, Tag},
    queues::Completion,
};

/// A timer that fires no later than the earliest deadline requested.
///
/// The timer is moved only for an earlier deadline. A deadline often moves to a later time, because a
/// connection was active. This costs nothing: the timer fires too early, which does no harm, and is armed
/// again.
pub(super) struct Timer {
    /// Time at which the kernel's timer fires, or `None` if it is not armed.
    armed: Option<Instant>,
    /// The value that the kernel reads when it takes an entry. The box keeps its address fixed until then.
    when: Box<Timespec>,
    /// The same moment on both clocks, because an `Instant` cannot be converted to the kernel's clock.
    anchor: (Instant, rustix::time::Timespec),
}

impl Timer {
    pub(super) fn new() -> Self {
        let anchor = (Instant::now(), clock_gettime(ClockId::Monotonic));
        Self { armed: None, when: Box::new(Timespec::new()), anchor }
    }

    /// Returns the entry to submit so that the timer fires at `deadline` or earlier, or `None` if it already
    /// does.
    ///
    /// A second call before the entry is submitted changes the time in that entry to the earlier deadline, as
    /// wanted.
    pub(super) fn arm(&mut self, deadline: Instant) -> Option<squeue::Entry> {
        if self.armed.is_some_and(|armed| armed <= deadline) {
            return None;
        }
        let tag = Tag::of_ring(Kind::Timer, 0);
        *self.when = self.monotonic(deadline);
        let when = &raw const *self.when;
        match self.armed.replace(deadline) {
            None => Some(ops::timer(when, tag)),
            Some(_) => Some(ops::move_timer(when, tag)),
        }
    }

    /// Handles the completion of the timer.
    ///
    /// # Errors
    ///
    /// Fails if the timer neither fired nor was cancelled.
    pub(super) fn completed(&mut self, completion: Completion) -> io::Result<()> {
        self.armed = None;
        match -completion.result {
            0 | libc::ETIME | libc::ECANCELED => Ok(()),
            errno => Err(io::Error::from_raw_os_error(errno)),
        }
    }

    /// Converts a deadline to CLOCK_MONOTONIC.
    fn monotonic(&self, deadline: Instant) -> Timespec {
        let (instant, anchor) = self.anchor;
        let ahead = deadline.saturating_duration_since(instant);
        let nanos = anchor.tv_nsec as u64 + u64::from(ahead.subsec_nanos());
        let seconds =
            (anchor.tv_sec as u64).saturating_add(ahead.as_secs()).saturating_add(nanos / 1_000_000_000);
        Timespec::new().sec(seconds.min(i64::MAX as u64)).nsec((nanos % 1_000_000_000) as u32)
    }
}
