//! The driver of a shard without sockets. It waits for the doorbell only.

use std::{
    convert::Infallible,
    io,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};

use super::{
    driver::{Driver, Wait},
    local::Local,
};

/// Time for which the shard polls its queues before it waits: half the time that waking a sleeping core of a
/// virtual machine takes, which was measured as 45 µs.
const BUSY_POLL: Duration = Duration::from_micros(20);

/// Driver that waits with poll(2) for the doorbell of its shard.
#[derive(Debug)]
pub(crate) struct Park {
    local: Local,
    stopped: bool,
}

impl Park {
    pub(crate) fn new(local: &Local) -> Self {
        Self { local: local.clone(), stopped: false }
    }

    /// Waits until the doorbell rings, `timeout` has passed, if given, or a signal interrupts the wait.
    fn wait(&self, timeout: Option<&Timespec>) -> io::Result<()> {
        let doorbell = self.local.doorbell();
        let mut fds = [PollFd::new(&doorbell, PollFlags::IN)];
        match poll(&mut fds, timeout) {
            Ok(0) | Err(Errno::INTR) => {}
            Ok(_) => {
                rustix::io::read(doorbell, &mut [0; 8])?;
            }
            Err(error) => return Err(error.into()),
        }
        self.local.record_poll();
        Ok(())
    }
}

impl Driver for Park {
    type Msg = Infallible;

    fn turn(&mut self, wait: Wait) -> io::Result<()> {
        match wait {
            Wait::Poll => {
                self.local.record_poll();
                Ok(())
            }
            Wait::Forever => self.wait(None),
            Wait::Until(deadline) => {
                let left = deadline.saturating_duration_since(Instant::now());
                // A wait beyond the range of the kernel's clock is shortened. The event loop then waits
                // again.
                let seconds = left.as_secs().min(i32::MAX as u64) as i64;
                self.wait(Some(&Timespec { tv_sec: seconds, tv_nsec: left.subsec_nanos().into() }))
            }
        }
    }

    fn message(&mut self, message: Infallible) {
        match message {}
    }

    fn woken(&mut self, _token: u64) {}

    fn pending(&self) -> bool {
        false
    }

    fn deadline(&self) -> Option<Instant> {
        None
    }

    fn busy_poll(&self) -> Duration {
        BUSY_POLL
    }

    fn stop(&mut self) {
        self.stopped = true;
    }

    fn stopped(&self) -> bool {
        self.stopped
    }
}
