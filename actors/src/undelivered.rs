//! What a stop does with work that waits.

/// Says what becomes of messages or jobs that wait when a stop begins. New ones are refused either way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Undelivered {
    /// They are handled first.
    Drain,
    /// They are dropped, or told, and counted; what is at hand may end.
    Refuse,
}
