//! Positions of events: `<epoch>-<seq>`.

use std::{error::Error, fmt, io, str::FromStr};

use rustix::rand::{GetRandomFlags, getrandom};

/// Identifier of one numbering of a store: a random number, created and stored with the store.
///
/// A position with another epoch comes from another store, so it does not refer to an event of this one. The
/// text form is 16 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Epoch(u64);

impl Epoch {
    /// Creates an epoch from the kernel's random number generator.
    ///
    /// # Errors
    ///
    /// The system call fails.
    pub fn random() -> io::Result<Self> {
        let mut bytes = [0; 8];
        let mut filled = 0;
        while filled < bytes.len() {
            filled += getrandom(&mut bytes[filled..], GetRandomFlags::empty())?;
        }
        Ok(Self(u64::from_ne_bytes(bytes)))
    }

    /// Creates an epoch from its stored bits.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// Returns the bits to store.
    pub const fn to_bits(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Epoch({self})")
    }
}

/// Position of an event in its log: the epoch of the store, and a number that increases by one with each
/// event.
///
/// The first event of a log has the number 1, and 0 is the position before it. The text form, which is also
/// the event's id, is `<epoch>-<seq>`: 16 lower-case hex digits, a dash, a decimal number without leading
/// zeros.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Position {
    epoch: Epoch,
    seq: u64,
}

/// Hex digits of an epoch's text form.
const EPOCH_DIGITS: usize = 16;

impl Position {
    /// Length of the longest text form. The parser rejects longer text without reading it.
    pub const MAX_BYTES: usize = EPOCH_DIGITS + 1 + 20;

    /// Creates a position.
    pub const fn new(epoch: Epoch, seq: u64) -> Self {
        Self { epoch, seq }
    }

    /// Parses the text form. Accepts exactly the form that [`Display`](fmt::Display) writes, so each position
    /// has one spelling.
    ///
    /// # Errors
    ///
    /// The text does not have this form. A position of another store has it, and is accepted here: compare
    /// its [`epoch`](Self::epoch).
    pub fn parse(text: &[u8]) -> Result<Self, PositionError> {
        if text.len() > Self::MAX_BYTES {
            return Err(PositionError);
        }
        let (epoch, rest) = text.split_at_checked(EPOCH_DIGITS).ok_or(PositionError)?;
        let seq = rest.strip_prefix(b"-").ok_or(PositionError)?;
        Ok(Self { epoch: Epoch(hex(epoch)?), seq: decimal(seq)? })
    }

    /// Returns the epoch of the store that assigned the position.
    pub const fn epoch(self) -> Epoch {
        self.epoch
    }

    /// Returns the number within the log.
    pub const fn seq(self) -> u64 {
        self.seq
    }
}

fn hex(digits: &[u8]) -> Result<u64, PositionError> {
    digits.iter().try_fold(0, |value, digit| match digit {
        b'0'..=b'9' => Ok(value << 4 | u64::from(digit - b'0')),
        b'a'..=b'f' => Ok(value << 4 | u64::from(digit - b'a' + 10)),
        _ => Err(PositionError),
    })
}

fn decimal(digits: &[u8]) -> Result<u64, PositionError> {
    if digits.is_empty() || (digits.len() > 1 && digits[0] == b'0') {
        return Err(PositionError);
    }
    digits.iter().try_fold(0_u64, |value, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0')).ok_or(PositionError)?;
        value.checked_mul(10).and_then(|value| value.checked_add(digit)).ok_or(PositionError)
    })
}

impl FromStr for Position {
    type Err = PositionError;

    fn from_str(text: &str) -> Result<Self, PositionError> {
        Self::parse(text.as_bytes())
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch, self.seq)
    }
}

impl fmt::Debug for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Position({self})")
    }
}

/// Error of a text that is not a position. The peer is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PositionError;

impl fmt::Display for PositionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a position: expected 16 hex digits, a dash and a number")
    }
}

impl Error for PositionError {}
