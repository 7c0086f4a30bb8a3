//! Counts frames as they come, before anything else looks at them: those that cost a peer nothing and us something.
//!
//! It reads frame headers (RFC 9113 §4.1) and skips payloads. Frames that are answers to what we send, credit and
//! PING, may come the faster the more we send.
#![allow(unreachable_pub, reason = "as it stood in `proto`; the native core brings its own")]

use std::time::Instant;

use crate::proto::h2::preface::PREFACE;

/// Bytes of a frame's header.
const HEADER_BYTES: usize = 9;

/// So many seconds of a rate may come at once.
const BURST_SECONDS: u32 = 4;

/// Bytes sent for which a peer may send one more frame of credit, and one more PING: clients measure a connection
/// with both, about once for each frame they get.
const SENT_BYTES_PER_ANSWER: u64 = 64;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// RST_STREAM: a request is made for nothing.
    Reset,
    /// SETTINGS: each is acknowledged, and may touch every stream.
    Settings,
    /// PING: each is answered.
    Ping,
    /// DATA without data that ends nothing.
    EmptyData,
    /// WINDOW_UPDATE.
    WindowUpdate,
    /// PRIORITY and frames of no known type: they are read and ignored.
    Other,
}

impl Kind {
    /// All of them, each at the index `kind as usize`.
    pub const ALL: [Self; 6] =
        [Self::Reset, Self::Settings, Self::Ping, Self::EmptyData, Self::WindowUpdate, Self::Other];

    /// Names a flood of it, for metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::Reset => "h2_reset_flood",
            Self::Settings => "h2_settings_flood",
            Self::Ping => "h2_ping_flood",
            Self::EmptyData => "h2_empty_data_flood",
            Self::WindowUpdate => "h2_window_update_flood",
            Self::Other => "h2_frame_flood",
        }
    }
}

/// Frames a second by kind; so many seconds' worth of four may come at once.
pub type Rates = [u32; Kind::ALL.len()];

/// More frames of a kind than its rate allows: answer with GOAWAY, `ENHANCE_YOUR_CALM`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flood {
    /// Of what.
    pub kind: Kind,
    /// Bytes of the input up to the end of the header of the frame that was one too many.
    pub at: usize,
}

/// One connection's meter, from its first byte on.
#[derive(Clone, Debug)]
pub struct Meter {
    buckets: [Bucket; Kind::ALL.len()],
    state: State,
    /// A header block has begun and not ended.
    in_block: bool,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// So many bytes of a payload, or of the preface, are to be skipped; `ends_block` when they have come.
    Skip { bytes: usize, ends_block: bool },
    /// So many bytes of a frame's header are there.
    Header { bytes: [u8; HEADER_BYTES], len: usize },
}

impl State {
    const START: Self = Self::Header { bytes: [0; HEADER_BYTES], len: 0 };
}

impl Meter {
    /// Makes the meter of a connection whose preface has not been read.
    pub fn new(rates: &Rates, now: Instant) -> Self {
        let buckets = rates.map(|rate| Bucket::new(rate, now));
        Self { buckets, state: State::Skip { bytes: PREFACE.len(), ends_block: false }, in_block: false }
    }

    /// Looks at the bytes that came next.
    ///
    /// # Errors
    ///
    /// A flood, told at the first frame that is one too many. Nothing more is to be looked at then.
    pub fn look(&mut self, input: &[u8], now: Instant) -> Result<(), Flood> {
        let mut at = 0;
        while at < input.len() {
            at += match &mut self.state {
                State::Skip { bytes, ends_block } => {
                    let skipped = (*bytes).min(input.len() - at);
                    *bytes -= skipped;
                    if *bytes == 0 {
                        self.in_block &= !*ends_block;
                        self.state = State::START;
                    }
                    skipped
                }
                State::Header { bytes, len } => {
                    let taken = (HEADER_BYTES - *len).min(input.len() - at);
                    bytes[*len..*len + taken].copy_from_slice(&input[at..at + taken]);
                    *len += taken;
                    if *len == HEADER_BYTES {
                        let header = *bytes;
                        self.frame(header, now).map_err(|kind| Flood { kind, at: at + taken })?;
                    }
                    taken
                }
            };
        }
        Ok(())
    }

    /// Notes that so many bytes were sent: answers to them may come.
    pub fn sent(&mut self, bytes: u64) {
        let answers = bytes as f64 / SENT_BYTES_PER_ANSWER as f64;
        self.buckets[Kind::Ping as usize].earn(answers);
        self.buckets[Kind::WindowUpdate as usize].earn(answers);
    }

    /// Says whether a header block has begun and its end has not come: nothing else can come until then (RFC 9113
    /// §4.3), so it must not take for ever.
    pub fn is_in_block(&self) -> bool {
        self.in_block
    }

    fn frame(&mut self, header: [u8; HEADER_BYTES], now: Instant) -> Result<(), Kind> {
        const END_STREAM: u8 = 1;
        const END_HEADERS: u8 = 4;
        let [high, middle, low, frame_type, flags, ..] = header;
        let bytes = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        let is_block = matches!(frame_type, 1 | 5 | 9);
        let ends_block = is_block && flags & END_HEADERS != 0;
        self.in_block |= is_block;
        self.state = State::Skip { bytes, ends_block };
        if bytes == 0 {
            self.in_block &= !ends_block;
            self.state = State::START;
        }
        let kind = match frame_type {
            0 if bytes == 0 && flags & END_STREAM == 0 => Kind::EmptyData,
            3 => Kind::Reset,
            4 => Kind::Settings,
            6 => Kind::Ping,
            8 => Kind::WindowUpdate,
            0 | 1 | 5 | 7 | 9 => return Ok(()),
            _ => Kind::Other,
        };
        if self.buckets[kind as usize].take(now) { Ok(()) } else { Err(kind) }
    }
}

/// Holds what may still come of one kind.
#[derive(Clone, Debug)]
struct Bucket {
    left: f64,
    rate: f64,
    /// When it was last filled.
    at: Instant,
}

impl Bucket {
    fn new(rate: u32, now: Instant) -> Self {
        let mut bucket = Self { left: 0.0, rate: f64::from(rate), at: now };
        bucket.left = bucket.most();
        bucket
    }

    fn most(&self) -> f64 {
        self.rate * f64::from(BURST_SECONDS)
    }

    fn earn(&mut self, more: f64) {
        self.left = (self.left + more).min(self.most());
    }

    /// Takes one; false when none is left.
    fn take(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.earn(passed * self.rate);
        self.at = now;
        let has = self.left >= 1.0;
        if has {
            self.left -= 1.0;
        }
        has
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    const RATES: Rates = [1, 2, 3, 4, 5, 6];

    fn frame(frame_type: u8, flags: u8, payload: usize) -> Vec<u8> {
        let length = (payload as u32).to_be_bytes();
        let mut bytes = vec![length[1], length[2], length[3], frame_type, flags, 0, 0, 0, 1];
        bytes.resize(HEADER_BYTES + payload, 0x55);
        bytes
    }

    fn begun(now: Instant) -> Meter {
        let mut meter = Meter::new(&RATES, now);
        meter.look(PREFACE, now).unwrap();
        meter
    }

    /// Feeds one frame again and again; returns how many passed.
    fn passes(meter: &mut Meter, frame: &[u8], now: Instant) -> usize {
        (0..1000).take_while(|_| meter.look(frame, now).is_ok()).count()
    }

    #[test]
    fn each_kind_has_four_seconds_of_its_rate_at_once_and_then_its_rate() {
        let now = Instant::now();
        let frames =
            [frame(3, 0, 4), frame(4, 0, 6), frame(6, 0, 8), frame(0, 0, 0), frame(8, 0, 4), frame(2, 0, 5)];
        for (frame, rate) in frames.iter().zip(RATES) {
            let mut meter = begun(now);
            assert_eq!(passes(&mut meter, frame, now), rate as usize * 4);
            let mut later = begun(now);
            passes(&mut later, frame, now);
            later.state = State::START;
            assert_eq!(passes(&mut later, frame, now + Duration::from_secs(2)), rate as usize * 2);
        }
    }

    #[test]
    fn time_that_passed_before_a_burst_does_not_make_it_larger() {
        let now = Instant::now();
        let mut meter = begun(now);
        let ping = frame(6, 0, 8);
        meter.look(&ping, now).unwrap();
        assert_eq!(
            passes(&mut meter, &ping, now + Duration::from_secs(4)),
            12,
            "four seconds of three a second"
        );
    }

    #[test]
    fn frames_that_carry_something_are_not_counted() {
        let now = Instant::now();
        let mut meter = begun(now);
        for bytes in [frame(0, 0, 1), frame(0, 1, 0), frame(1, 5, 20), frame(9, 4, 0), frame(7, 0, 8)] {
            assert_eq!(passes(&mut meter, &bytes, now), 1000, "{bytes:?}");
        }
    }

    #[test]
    fn answers_may_come_for_what_was_sent() {
        let now = Instant::now();
        let mut meter = begun(now);
        passes(&mut meter, &frame(8, 0, 4), now);
        meter.state = State::START;
        meter.sent(10 * SENT_BYTES_PER_ANSWER);
        assert_eq!(passes(&mut meter, &frame(8, 0, 4), now), 10);
        meter.state = State::START;
        meter.sent(1 << 40);
        assert_eq!(passes(&mut meter, &frame(8, 0, 4), now), 20, "never more than a burst");
    }

    #[test]
    fn a_header_block_lasts_to_its_last_byte() {
        let now = Instant::now();
        let mut meter = begun(now);
        let (head, end) = (frame(1, 0, 10), frame(9, 4, 10));
        meter.look(&head[..HEADER_BYTES], now).unwrap();
        assert!(meter.is_in_block());
        meter.look(&head[HEADER_BYTES..], now).unwrap();
        meter.look(&end[..end.len() - 1], now).unwrap();
        assert!(meter.is_in_block());
        meter.look(&end[end.len() - 1..], now).unwrap();
        assert!(!meter.is_in_block());
        meter.look(&frame(1, 4, 0), now).unwrap();
        assert!(!meter.is_in_block());
    }

    proptest! {
        #[test]
        fn the_verdict_does_not_depend_on_how_bytes_are_cut(
            frames in prop::collection::vec((0..12_u8, 0..8_u8, 0..40_usize), 0..200),
            cuts in prop::collection::vec(1..60_usize, 1..50),
        ) {
            let now = Instant::now();
            let mut bytes = PREFACE.to_vec();
            frames.iter().for_each(|(kind, flags, len)| bytes.extend(frame(*kind, *flags, *len)));
            let mut whole = Meter::new(&RATES, now);
            let told = whole.look(&bytes, now);
            let mut cut = Meter::new(&RATES, now);
            let (mut at, mut verdict) = (0, Ok(()));
            for len in cuts.iter().cycle() {
                let end = (at + len).min(bytes.len());
                verdict = cut.look(&bytes[at..end], now).map_err(|flood| Flood { at: at + flood.at, ..flood });
                if verdict.is_err() || end == bytes.len() {
                    break;
                }
                at = end;
            }
            prop_assert_eq!(told, verdict);
            prop_assert_eq!(whole.is_in_block(), cut.is_in_block());
        }
    }
}
