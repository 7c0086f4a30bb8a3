//! Meter of frames and faults that cost the peer less than this side. It reports a fault if they arrive
//! faster than allowed.

use std::time::{Duration, Instant};

use super::{ErrorCode, Fault, Limits, limits::RATED_KINDS};

/// Number of seconds whose frames may come at once.
const BURST_SECONDS: f32 = 4.0;

/// Bytes sent for which a peer may send one more WINDOW_UPDATE, and one more PING: clients measure a
/// connection with both, about once for each frame they get.
const SENT_BYTES_PER_ANSWER: f32 = 64.0;

/// Shortest time after which the buckets are filled. Shorter times add up until then, so that none is lost to
/// rounding.
const TICK: Duration = Duration::from_millis(1);

/// A kind of frame or fault that is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// RST_STREAM: the work for the request may be wasted.
    Reset,
    /// SETTINGS: each is acknowledged, and may touch every stream.
    Settings,
    /// PING: each is answered.
    Ping,
    /// DATA without data and without END_STREAM.
    EmptyData,
    /// WINDOW_UPDATE.
    WindowUpdate,
    /// PRIORITY, PRIORITY_UPDATE and frames of no known type: they are read and mean little.
    Other,
    /// Faults of the peer that end a stream.
    StreamFault,
}

impl Kind {
    /// All kinds, each at the index `kind as usize`.
    pub const ALL: [Self; RATED_KINDS + 1] = [
        Self::Reset,
        Self::Settings,
        Self::Ping,
        Self::EmptyData,
        Self::WindowUpdate,
        Self::Other,
        Self::StreamFault,
    ];

    /// Returns the name of a flood of this kind, for metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::Reset => "h2_reset_flood",
            Self::Settings => "h2_settings_flood",
            Self::Ping => "h2_ping_flood",
            Self::EmptyData => "h2_empty_data_flood",
            Self::WindowUpdate => "h2_window_update_flood",
            Self::Other => "h2_frame_flood",
            Self::StreamFault => "h2_stream_fault_flood",
        }
    }

    /// Returns the number of frames or faults of this kind that are allowed per second.
    fn rate(self, limits: &Limits) -> f32 {
        match limits.rates.get(self as usize) {
            Some(&rate) => rate as f32,
            None => limits.stream_faults as f32 / BURST_SECONDS,
        }
    }

    fn flood(self) -> Fault {
        let text = "too many frames of one kind, or too many faulty streams, came in a short time";
        Fault { code: ErrorCode::EnhanceYourCalm, label: self.label(), text }
    }
}

/// Meter of one connection: how many frames of each kind may still come.
#[derive(Clone, Debug)]
pub struct Meter {
    left: [f32; Kind::ALL.len()],
    /// Time at which the buckets were last filled.
    filled: Instant,
}

impl Meter {
    /// Makes the meter of a new connection.
    pub fn new(limits: &Limits, now: Instant) -> Self {
        Self { left: Kind::ALL.map(|kind| kind.rate(limits) * BURST_SECONDS), filled: now }
    }

    /// Counts one frame or fault of a kind.
    ///
    /// # Errors
    ///
    /// Too many frames or faults of this kind arrived in a short time: the fault ends the connection.
    pub fn count(&mut self, kind: Kind, limits: &Limits, now: Instant) -> Result<(), Fault> {
        self.fill(limits, now);
        let left = &mut self.left[kind as usize];
        if *left < 1.0 {
            return Err(kind.flood());
        }
        *left -= 1.0;
        Ok(())
    }

    /// Notes that so many bytes were written for the peer: it may send more PINGs and WINDOW_UPDATEs in
    /// answer.
    pub fn sent(&mut self, bytes: usize, limits: &Limits) {
        for kind in [Kind::Ping, Kind::WindowUpdate] {
            self.earn(kind, bytes as f32 / SENT_BYTES_PER_ANSWER, limits);
        }
    }

    fn fill(&mut self, limits: &Limits, now: Instant) {
        let passed = now.saturating_duration_since(self.filled);
        if passed < TICK {
            return;
        }
        self.filled = now;
        for kind in Kind::ALL {
            self.earn(kind, passed.as_secs_f32() * kind.rate(limits), limits);
        }
    }

    fn earn(&mut self, kind: Kind, more: f32, limits: &Limits) {
        let left = &mut self.left[kind as usize];
        *left = (*left + more).min(kind.rate(limits) * BURST_SECONDS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        Limits { rates: [1, 2, 3, 4, 5, 6], stream_faults: 28, ..Limits::default() }
    }

    /// Counts again and again; returns how many passed.
    fn passes(meter: &mut Meter, kind: Kind, now: Instant) -> usize {
        (0..1000).take_while(|_| meter.count(kind, &limits(), now).is_ok()).count()
    }

    #[test]
    fn each_kind_has_four_seconds_of_its_rate_at_once_and_then_its_rate() {
        let now = Instant::now();
        for (kind, rate) in Kind::ALL.into_iter().zip(1..) {
            let mut meter = Meter::new(&limits(), now);
            assert_eq!(passes(&mut meter, kind, now), rate * 4, "{kind:?}");
            assert_eq!(passes(&mut meter, kind, now + Duration::from_secs(2)), rate * 2, "{kind:?}");
        }
    }

    #[test]
    fn a_rate_holds_however_small_the_steps_of_the_clock() {
        let mut now = Instant::now();
        let mut meter = Meter::new(&limits(), now);
        passes(&mut meter, Kind::Ping, now);
        let mut passed = 0;
        for _ in 0..100_000 {
            now += Duration::from_micros(100);
            passed += passes(&mut meter, Kind::Ping, now);
        }
        assert!((29..=30).contains(&passed), "three a second for ten seconds, got {passed}");
    }

    #[test]
    fn time_that_passed_before_a_burst_does_not_make_it_larger() {
        let now = Instant::now();
        let mut meter = Meter::new(&limits(), now);
        meter.count(Kind::Ping, &limits(), now).unwrap();
        assert_eq!(
            passes(&mut meter, Kind::Ping, now + Duration::from_secs(4)),
            12,
            "four seconds of three a second"
        );
    }

    #[test]
    fn answers_may_come_for_what_was_sent() {
        let now = Instant::now();
        let mut meter = Meter::new(&limits(), now);
        passes(&mut meter, Kind::WindowUpdate, now);
        meter.sent(10 * SENT_BYTES_PER_ANSWER as usize, &limits());
        assert_eq!(passes(&mut meter, Kind::WindowUpdate, now), 10);
        meter.sent(1 << 40, &limits());
        assert_eq!(passes(&mut meter, Kind::WindowUpdate, now), 20, "never more than a burst");
    }
}
