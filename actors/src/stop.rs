//! How far a stop goes. Imports nothing.

/// Says what becomes of messages or jobs that wait when a stop begins. New ones are refused either way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Undelivered {
    /// They are handled first.
    Drain,
    /// They are dropped, or told, and counted; what is at hand may end.
    Discard,
}

/// How far a shard has been told to stop. Only ever rises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Phase {
    /// Everything is taken.
    Running,
    /// Actors handle what they have, then end.
    Drain,
    /// Actors end; what they have is dropped.
    Discard,
    /// Actors and guests are dropped where they stand, the driver too.
    Abort,
}

impl Phase {
    pub(crate) fn of(byte: u8) -> Self {
        match byte {
            0 => Self::Running,
            1 => Self::Drain,
            2 => Self::Discard,
            _ => Self::Abort,
        }
    }
}

impl From<Undelivered> for Phase {
    fn from(undelivered: Undelivered) -> Self {
        match undelivered {
            Undelivered::Drain => Self::Drain,
            Undelivered::Discard => Self::Discard,
        }
    }
}
