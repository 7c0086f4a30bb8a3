//! Deadlines that cannot overflow the clock. Imports nothing.

use std::time::{Duration, Instant};

/// Time after which nobody waits any more: thirty years.
const FOREVER: Duration = Duration::from_secs(60 * 60 * 24 * 365 * 30);

/// Returns the instant `duration` after `start`, or thirty years after it if the clock cannot represent that
/// instant.
pub(crate) fn instant_after(start: Instant, duration: Duration) -> Instant {
    start.checked_add(duration).unwrap_or(start + FOREVER)
}
