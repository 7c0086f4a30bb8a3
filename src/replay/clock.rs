//! System time in milliseconds, replaceable in tests.

use std::{
    fmt,
    sync::Arc,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Source of the time of events. Default: the system clock.
///
/// It is the system clock and not a monotonic one, because events must also age while no process runs. If the
/// clock is set back, a new event gets the time of the previous event of its log.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> SystemTime + Send + Sync>);

impl Clock {
    /// Creates a clock that calls `now` for the current time.
    pub fn new(now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// Returns the current time in milliseconds since 1970.
    pub(super) fn now_ms(&self) -> u64 {
        let since = (self.0)().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new(SystemTime::now)
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

/// Bits of a use's stamp below its time in milliseconds.
const USE_BITS: u32 = 20;

/// Source of stamps that order the uses of logs: by time, and within a millisecond by their count.
#[derive(Debug, Default)]
pub(super) struct UseClock(AtomicU64);

impl UseClock {
    /// Returns the stamp of a use at this time. More than 2^20 uses in one millisecond may be out of order.
    pub(super) fn stamp(&self, now_ms: u64) -> u64 {
        (now_ms << USE_BITS) | (self.0.fetch_add(1, Relaxed) % (1 << USE_BITS))
    }
}

/// Time in milliseconds during which a log counts as in use after a use.
const IN_USE_MS: u64 = 10_000;

/// Returns `true` if the last use with this stamp was so short ago that the log counts as in use.
pub(super) fn is_in_use(stamp: u64, now_ms: u64) -> bool {
    last_use_ms(stamp).saturating_add(IN_USE_MS) > now_ms
}

/// Returns the time of a use in milliseconds since 1970.
pub(super) fn last_use_ms(stamp: u64) -> u64 {
    stamp >> USE_BITS
}

/// Converts milliseconds since 1970 to a [`SystemTime`]. A value out of its range becomes 1970.
pub(super) fn system_time(ms: u64) -> SystemTime {
    UNIX_EPOCH.checked_add(Duration::from_millis(ms)).unwrap_or(UNIX_EPOCH)
}

/// Returns the time before which events are expired, milliseconds since 1970; 0 if they never expire.
pub(super) fn expiry_ms(now_ms: u64, age: Option<Duration>) -> u64 {
    age.map_or(0, |age| now_ms.saturating_sub(u64::try_from(age.as_millis()).unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_before_1970_shows_1970() {
        assert_eq!(Clock::new(|| UNIX_EPOCH - Duration::from_secs(1)).now_ms(), 0);
        assert_eq!(Clock::new(|| UNIX_EPOCH + Duration::from_secs(1)).now_ms(), 1000);
    }
}
