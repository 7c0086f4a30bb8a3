//! Instants beyond the clock's range. Imports nothing.

use std::time::{Duration, Instant};

/// Stands for "never": thirty years.
const FOR_EVER: Duration = Duration::from_secs(60 * 60 * 24 * 365 * 30);

/// Returns the instant `duration` after `start`, or one that never comes if that is beyond the clock's range.
pub(crate) fn instant_after(start: Instant, duration: Duration) -> Instant {
    start.checked_add(duration).unwrap_or(start + FOR_EVER)
}
