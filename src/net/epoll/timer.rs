//! The timer that ends an engine's wait at the earliest deadline.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    time::{Duration, Instant},
};

use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};

use super::poller::{Poller, Source};

/// Shortest time that a timer can be set to. Setting it to 0 would stop it.
const SHORTEST: Duration = Duration::from_nanos(1);

/// A timer that fires no later than the earliest deadline requested.
///
/// The timeout of `epoll_wait` counts in milliseconds: rounded up, the wait ends too late; rounded down, the
/// engine spins until the deadline. A timerfd has the kernel's full resolution. A wait then needs neither a
/// clock nor a timeout.
///
/// The timer is moved only for an earlier deadline. A deadline often moves to a later time, because a
/// connection was active. This costs nothing: the timer fires too early, which does no harm, and is armed
/// again.
pub(super) struct Timer {
    /// The timerfd. It is watched but never read: each time it fires is an edge, and setting it makes it
    /// unreadable.
    fd: OwnedFd,
    /// Time at which it fires, or `None` if it is not armed.
    armed: Option<Instant>,
}

impl Timer {
    pub(super) fn new(poller: &Poller) -> io::Result<Self> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let fd = rustix::time::timerfd_create(TimerfdClockId::Monotonic, flags)?;
        poller.watch(fd.as_fd(), Source::Timer)?;
        Ok(Self { fd, armed: None })
    }

    /// Makes the timer fire at `deadline` or earlier.
    pub(super) fn arm(&mut self, deadline: Instant) -> io::Result<()> {
        if self.armed.is_some_and(|armed| armed <= deadline) {
            return Ok(());
        }
        let left = deadline.saturating_duration_since(Instant::now()).max(SHORTEST);
        // A time beyond the range of the kernel's type is shortened. It is decades away in any case.
        let value = Timespec {
            tv_sec: left.as_secs().min(i32::MAX as u64) as i64,
            tv_nsec: left.subsec_nanos().into(),
        };
        let once = Itimerspec { it_interval: Timespec::default(), it_value: value };
        rustix::time::timerfd_settime(&self.fd, TimerfdTimerFlags::empty(), &once)?;
        self.armed = Some(deadline);
        Ok(())
    }

    /// Marks the timer as fired.
    pub(super) fn fired(&mut self) {
        self.armed = None;
    }
}

#[cfg(test)]
mod tests {
    use rustix::event::{EventfdFlags, eventfd};

    use super::*;

    #[test]
    fn the_timer_fires_at_the_deadline_without_rounding() {
        let doorbell = eventfd(0, EventfdFlags::CLOEXEC).unwrap();
        let poller = Poller::new(doorbell.as_fd(), 1).unwrap();
        for micros in [1_000_000, 1_000_137, 59_999_999] {
            let mut timer = Timer::new(&poller).unwrap();
            let before = Instant::now();
            let deadline = before + Duration::from_micros(micros);
            timer.arm(deadline).unwrap();
            let left = rustix::time::timerfd_gettime(&timer.fd).unwrap().it_value;
            let left = Duration::new(left.tv_sec as u64, left.tv_nsec as u32);
            assert!(left <= deadline - before, "{left:?} left of {micros} µs");
            assert!(
                left >= deadline.saturating_duration_since(Instant::now()),
                "{left:?} left of {micros} µs"
            );
        }
    }
}
