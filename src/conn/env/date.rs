//! The `Date` field of responses, formatted at most once a second and only if a response needs it.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::proto::semantics::Date;

/// Current date of one shard.
#[derive(Debug)]
pub(in crate::conn) struct DateCache {
    text: Date,
    /// End of the system clock's current second, on the monotonic clock.
    until: Instant,
    is_expired: bool,
}

impl DateCache {
    pub(super) fn new(now: Instant) -> Self {
        let mut cache = Self { text: [b' '; 29], until: now, is_expired: false };
        cache.refresh(now);
        cache
    }

    /// Makes the next call of [`at`](Self::at) read the system clock, which has moved on while the clock of
    /// the connections stood still.
    pub(super) fn expire(&mut self) {
        self.is_expired = true;
    }

    /// Returns the date at `now`.
    pub(in crate::conn) fn at(&mut self, now: Instant) -> &Date {
        if now >= self.until || self.is_expired {
            self.refresh(now);
        }
        &self.text
    }

    fn refresh(&mut self, now: Instant) {
        let time = SystemTime::now();
        let text = httpdate::fmt_http_date(representable(time));
        // An IMF-fixdate has 29 bytes.
        if let Ok(text) = text.as_bytes().try_into() {
            self.text = text;
        }
        let into_second = time.duration_since(UNIX_EPOCH).map_or(0, |d| d.subsec_nanos());
        self.is_expired = false;
        self.until = now + Duration::from_nanos(u64::from(1_000_000_000 - into_second));
    }
}

/// Seconds from 1970 to the end of the year 9999.
const LAST_SECOND: u64 = 253_402_300_799;

/// Returns the nearest time that a date can show: a wrong clock may be before 1970 or beyond the year 9999.
fn representable(time: SystemTime) -> SystemTime {
    let last = UNIX_EPOCH.checked_add(Duration::from_secs(LAST_SECOND)).unwrap_or(time);
    time.max(UNIX_EPOCH).min(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_out_of_the_range_of_dates_shows_the_nearest_one() {
        let show = |time: SystemTime| httpdate::fmt_http_date(representable(time));
        assert_eq!(show(UNIX_EPOCH - Duration::from_secs(1)), "Thu, 01 Jan 1970 00:00:00 GMT");
        let last = UNIX_EPOCH + Duration::from_secs(LAST_SECOND);
        assert_eq!(show(last), "Fri, 31 Dec 9999 23:59:59 GMT");
        assert_eq!(show(last + Duration::from_secs(1)), show(last));
    }

    #[test]
    fn date_is_the_current_second_of_the_system_clock() {
        let now = Instant::now();
        let mut cache = DateCache::new(now);
        let before = SystemTime::now();
        let text = std::str::from_utf8(cache.at(now)).unwrap().to_owned();
        let parsed = httpdate::parse_http_date(&text).unwrap();
        let apart = before.duration_since(parsed).unwrap();
        assert!(apart < Duration::from_secs(2), "{apart:?}");
    }

    #[test]
    fn date_changes_with_the_monotonic_clock() {
        let now = Instant::now();
        let mut cache = DateCache::new(now);
        let until = cache.until;
        cache.at(now);
        assert_eq!(cache.until, until);
        cache.at(until);
        assert!(cache.until > until);
    }
}
