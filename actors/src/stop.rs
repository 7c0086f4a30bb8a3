//! Modes and phases of a stop. Imports nothing.

/// Treatment of the messages or jobs that are still queued when a stop begins.
///
/// New ones are never handled: they are refused, or dropped and counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Undelivered {
    /// Queued messages and jobs are handled before the stop completes.
    Drain,
    /// Queued messages are dropped and counted, queued jobs are refused. Work in progress may finish.
    Discard,
}

/// Progress of a stop, for one shard or one actor. It only ever rises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Phase {
    /// No stop has begun.
    Running,
    /// Actors handle the messages in their mailboxes, then exit.
    Drain,
    /// Actors exit; the messages in their mailboxes are dropped.
    Discard,
    /// Actors, tasks and the driver are dropped without an orderly end.
    Abort,
}

impl Phase {
    /// Converts a discriminant back into its phase.
    pub(crate) fn from_byte(byte: u8) -> Self {
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
