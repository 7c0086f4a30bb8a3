//! The clock of a thread, and deadlines that cannot overflow it. Imports nothing.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

thread_local! {
    /// Time of this thread's clock while it is stopped. `None` while it runs.
    static STOPPED: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Returns the current instant. Within a step of a [manual system](crate::manual) whose clock is stopped,
/// this is the time of that clock.
pub fn now() -> Instant {
    STOPPED.get().unwrap_or_else(Instant::now)
}

/// Returns `true` if the clock of this thread is stopped.
pub(crate) fn is_stopped() -> bool {
    STOPPED.get().is_some()
}

/// Moves the stopped clock of this thread forward, as if the calling code took so much time.
///
/// # Panics
///
/// The clock of this thread is not stopped.
pub fn advance(by: Duration) {
    let stopped = STOPPED.get().expect("the clock of this thread is not stopped");
    STOPPED.set(Some(instant_after(stopped, by)));
}

/// Stops the clock of this thread at an instant, or starts it with `None`. Returns the previous setting.
pub(crate) fn replace_clock(stopped: Option<Instant>) -> Option<Instant> {
    STOPPED.replace(stopped)
}

/// Time after which nobody waits any more: thirty years.
const FOREVER: Duration = Duration::from_secs(60 * 60 * 24 * 365 * 30);

/// Returns the instant `duration` after `start`, or thirty years after it if the clock cannot represent that
/// instant.
pub fn instant_after(start: Instant, duration: Duration) -> Instant {
    start.checked_add(duration).unwrap_or(start + FOREVER)
}
