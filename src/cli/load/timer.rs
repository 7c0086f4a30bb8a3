//! Timer with nanosecond resolution. The runtime's own timer rounds to milliseconds, which would delay the
//! requests of an open loop.

use std::{
    io,
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::{io::unix::AsyncFd, task::yield_now};

/// Timer for one deadline at a time.
pub(super) struct Timer(AsyncFd<OwnedFd>);

impl Timer {
    /// Creates a timer of the kernel and registers it with the current runtime.
    #[expect(
        deprecated,
        reason = "unsound only for types whose descriptor can change; the replacement is unsafe"
    )]
    pub(super) fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        Ok(Self(AsyncFd::new(timerfd_create(TimerfdClockId::Monotonic, flags)?)?))
    }

    /// Waits until `at`. If that has passed, yields to other tasks once.
    pub(super) async fn until(&self, at: Instant) -> io::Result<()> {
        let wait = at.saturating_duration_since(Instant::now());
        if wait.is_zero() {
            yield_now().await;
            return Ok(());
        }
        let it_interval = timespec(Duration::ZERO);
        let value = Itimerspec { it_interval, it_value: timespec(wait) };
        timerfd_settime(&self.0, TimerfdTimerFlags::empty(), &value)?;
        loop {
            let mut ready = self.0.readable().await?;
            let expired = ready.try_io(|timer| Ok(rustix::io::read(timer, &mut [0; 8])?));
            if let Ok(expired) = expired {
                return expired.map(|_| ());
            }
        }
    }
}

fn timespec(duration: Duration) -> Timespec {
    let tv_sec = i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
    Timespec { tv_sec, tv_nsec: i64::from(duration.subsec_nanos()) }
}
