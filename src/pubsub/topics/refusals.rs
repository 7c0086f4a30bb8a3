//! Log lines of refused credentials. Their number is bounded, because any client can cause them.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use windlass_actors::clock;

use crate::identity::Refusal;

/// Maximum number of lines in an interval.
const LINES: u32 = 20;
const INTERVAL: Duration = Duration::from_secs(1);

/// The current interval.
#[derive(Default)]
struct Interval {
    began: Option<Instant>,
    lines: u32,
    /// Refusals without a line since the last line.
    suppressed: u64,
}

static INTERVAL_NOW: Mutex<Interval> = Mutex::new(Interval { began: None, lines: 0, suppressed: 0 });

/// Logs the reason of a refusal, unless there were too many lines in the last second.
pub(super) fn log(refusal: Refusal) {
    let suppressed = INTERVAL_NOW.lock().unwrap_or_else(PoisonError::into_inner).next_line(clock::now());
    if let Some(suppressed) = suppressed {
        tracing::info!(reason = refusal.to_string(), suppressed, "credentials refused");
    }
}

impl Interval {
    /// Returns the number of refusals without a line since the last line, or `None` if this one gets no line
    /// either.
    fn next_line(&mut self, now: Instant) -> Option<u64> {
        if self.began.is_none_or(|began| now.saturating_duration_since(began) >= INTERVAL) {
            (self.began, self.lines) = (Some(now), 0);
        }
        if self.lines == LINES {
            self.suppressed += 1;
            return None;
        }
        self.lines += 1;
        Some(std::mem::take(&mut self.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_has_a_bounded_number_of_lines() {
        let (mut interval, now) = (Interval::default(), Instant::now());
        let lines = (0..1000).filter(|_| interval.next_line(now).is_some()).count();
        assert_eq!(lines, LINES as usize);
        assert_eq!(interval.next_line(now + INTERVAL), Some(1000 - u64::from(LINES)));
        assert_eq!(interval.next_line(now + INTERVAL), Some(0));
    }
}
