//! Events that a stream waits for, and their deadlines.

use std::time::{Duration, Instant};

use crate::limits::Timeouts;

/// Event that a stream has waited for too long.
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
    /// Whatever a WebSocket keeps time of.
    #[cfg(feature = "ws")]
    Socket,
}

/// Event that a streamed reply waits for, and the start of the wait.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wait {
    Nothing,
    /// The peer's window; with the bytes that were sent before.
    Window(Instant, u64),
    /// The reply's producer.
    Producer(Instant),
}

/// Bytes that a stream must send within the time limit of a write stall, unless it has less: a peer must not
/// hold a reply for ever by opening its window byte by byte.
const LEAST_PROGRESS_BYTES: u64 = 1024;

impl Wait {
    /// Waits for the peer's window from `now` on, unless it did before and hardly anything moved since.
    pub(super) fn for_window(&mut self, now: Instant, written: u64) {
        match *self {
            Self::Window(_, before) if written - before < LEAST_PROGRESS_BYTES => {}
            _ => *self = Self::Window(now, written),
        }
    }

    pub(super) fn deadline(self, timeouts: &Timeouts) -> Option<(Instant, Late)> {
        let after = |since: Instant, timeout: Option<Duration>| {
            timeout.and_then(|timeout| since.checked_add(timeout))
        };
        match self {
            Self::Nothing => None,
            Self::Window(since, _) => after(since, timeouts.write_stall).map(|at| (at, Late::Window)),
            Self::Producer(since) => after(since, timeouts.stream_idle).map(|at| (at, Late::Producer)),
        }
    }
}
