//! The one timer a ring keeps armed, for the earliest deadline.

use std::{io, time::Instant};

use io_uring::{squeue, types::Timespec};
use rustix::time::{ClockId, clock_gettime};

use super::{
    ops::{self, Kind, Tag},
    queues::Completion,
};

/// Keeps a timer armed that fires no later than the earliest deadline asked for.
///
/// It is moved only when an earlier deadline comes: deadlines that move away as connections show life cost
/// nothing until the timer fires, early and harmlessly, and is armed anew.
pub(super) struct Timer {
    /// When the kernel's timer fires; `None` when none is armed.
    armed: Option<Instant>,
    /// What the kernel reads while it takes an entry; boxed, so that it does not move before.
    when: Box<Timespec>,
    /// One moment on both clocks: `Instant` does not tell its own.
    anchor: (Instant, rustix::time::Timespec),
}

impl Timer {
    pub(super) fn new() -> Self {
        let anchor = (Instant::now(), clock_gettime(ClockId::Monotonic));
        Self { armed: None, when: Box::new(Timespec::new()), anchor }
    }

    /// Returns the entry to submit so that the timer fires at `deadline` or before; `None` when it does already.
    ///
    /// Calling this again before the entry is submitted changes what it says: to an earlier deadline, no harm.
    pub(super) fn arm(&mut self, deadline: Instant) -> Option<squeue::Entry> {
        if self.armed.is_some_and(|armed| armed <= deadline) {
            return None;
        }
        let tag = Tag::own(Kind::Timer, 0);
        *self.when = self.monotonic(deadline);
        let when = &raw const *self.when;
        match self.armed.replace(deadline) {
            None => Some(ops::timer(when, tag)),
            Some(_) => Some(ops::move_timer(when, tag)),
        }
    }

    /// Notes that the timer completed.
    ///
    /// # Errors
    ///
    /// It did for another reason than that it was time.
    pub(super) fn fired(&mut self, completion: Completion) -> io::Result<()> {
        self.armed = None;
        match -completion.result {
            0 | libc::ETIME | libc::ECANCELED => Ok(()),
            errno => Err(io::Error::from_raw_os_error(errno)),
        }
    }

    fn monotonic(&self, deadline: Instant) -> Timespec {
        let (instant, anchor) = self.anchor;
        let ahead = deadline.saturating_duration_since(instant);
        let nanos = anchor.tv_nsec as u64 + u64::from(ahead.subsec_nanos());
        let seconds =
            (anchor.tv_sec as u64).saturating_add(ahead.as_secs()).saturating_add(nanos / 1_000_000_000);
        Timespec::new().sec(seconds.min(i64::MAX as u64)).nsec((nanos % 1_000_000_000) as u32)
    }
}
