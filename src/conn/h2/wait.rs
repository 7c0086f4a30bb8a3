//! Events that a stream waits for, and their deadlines.

use std::time::Instant;

use crate::conn::{env::Env, timers::Timer};

/// Event that a stream waits for with a time limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Late {
    /// The request's body.
    Body,
    /// The handler's reply.
    Job,
    /// The peer's window.
    Window,
    /// The next bytes of a streamed reply.
    Producer,
    /// An event that a WebSocket times by itself.
    #[cfg(feature = "ws")]
    Socket,
}

impl Late {
    /// Returns the timer as which its expiry is counted.
    pub(super) fn timer(self) -> Timer {
        match self {
            Self::Body => Timer::Body,
            Self::Job => Timer::Job,
            Self::Window => Timer::Write,
            Self::Producer => Timer::Stream,
            #[cfg(feature = "ws")]
            Self::Socket => Timer::Own,
        }
    }
}

/// Event that a reply waits for, and the start of the wait.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wait {
    #[cfg_attr(not(feature = "ws"), allow(dead_code, reason = "only a WebSocket may have nothing to send"))]
    Nothing,
    /// Room in the peer's window or being scheduled, since this time, and the number of bytes that were sent
    /// before.
    Window(Instant, u64),
    /// The reply's producer, since this time.
    Producer(Instant),
}

/// Bytes that a stream must send within `write_stall`, unless it has less: a peer must not hold a reply for
/// ever by opening its window byte by byte.
const LEAST_PROGRESS_BYTES: u64 = 1024;

impl Wait {
    /// Waits for the peer's window from `now` on. If it waited for that before and less than
    /// [`LEAST_PROGRESS_BYTES`] were sent since, the start of the wait stays.
    pub(super) fn for_window(&mut self, now: Instant, written: u64) {
        match *self {
            Self::Window(_, before) if written < before + LEAST_PROGRESS_BYTES => {}
            _ => *self = Self::Window(now, written),
        }
    }

    /// Waits for the producer from `now` on. If it waited for that before, the start of the wait stays.
    pub(super) fn for_producer(&mut self, now: Instant) {
        if !matches!(self, Self::Producer(_)) {
            *self = Self::Producer(now);
        }
    }

    /// Waits for the producer, which has just made something, from `now` on.
    pub(super) fn produced(&mut self, now: Instant) {
        *self = Self::Producer(now);
    }

    /// Makes a wait for the window begin at `now`. Has no effect on other waits.
    pub(super) fn restart(&mut self, now: Instant) {
        if let Self::Window(since, _) = self {
            *since = now;
        }
    }

    pub(super) fn deadline(self, env: &Env) -> Option<(Instant, Late)> {
        let timeouts = &env.timeouts;
        match self {
            Self::Nothing => None,
            Self::Window(since, _) => {
                env.stall_deadline(since, timeouts.write_stall).map(|at| (at, Late::Window))
            }
            Self::Producer(since) => {
                timeouts.stream_idle.and_then(|idle| since.checked_add(idle)).map(|at| (at, Late::Producer))
            }
        }
    }
}
