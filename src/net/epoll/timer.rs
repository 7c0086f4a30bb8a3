//! The one timer an engine keeps armed, for the earliest deadline.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    time::{Duration, Instant},
};

use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};

use super::poller::{Poller, Source};

/// The shortest time a timer can be set to; none at all would stop it.
const AT_ONCE: Duration = Duration::from_nanos(1);

/// Keeps a timer armed that fires no later than the earliest deadline asked for.
///
/// A timer of its own, because the timeout of `epoll_wait` has milliseconds: rounded up it is late, rounded down it
/// spins. This one has the kernel's own resolution, and a wait needs neither a clock nor a timeout. It is moved only
/// when an earlier deadline comes: deadlines that move away as connections show life cost nothing until the timer
/// fires, early and harmlessly, and is armed anew.
pub(super) struct Timer {
    /// Watched and never read: each time it fires is an edge, and setting it takes back that it fired.
    timer: OwnedFd,
    /// When it fires; `None` when it is not armed.
    armed: Option<Instant>,
}

impl Timer {
    pub(super) fn new(poller: &Poller) -> io::Result<Self> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let timer = rustix::time::timerfd_create(TimerfdClockId::Monotonic, flags)?;
        poller.watch(timer.as_fd(), Source::Timer)?;
        Ok(Self { timer, armed: None })
    }

    /// Sees to it that the timer fires at `deadline` or before.
    pub(super) fn arm(&mut self, deadline: Instant) -> io::Result<()> {
        if self.armed.is_some_and(|armed| armed <= deadline) {
            return Ok(());
        }
        let left = deadline.saturating_duration_since(Instant::now()).max(AT_ONCE);
        // Beyond the clock's range is as good as for ever.
        let value = Timespec {
            tv_sec: left.as_secs().min(i32::MAX as u64) as i64,
            tv_nsec: left.subsec_nanos().into(),
        };
        let once = Itimerspec { it_interval: Timespec::default(), it_value: value };
        rustix::time::timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &once)?;
        self.armed = Some(deadline);
        Ok(())
    }

    /// Notes that the timer fired.
    pub(super) fn fired(&mut self) {
        self.armed = None;
    }
}
