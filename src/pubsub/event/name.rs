//! Rules for the names of events.

use std::fmt;

use crate::{proto::sse, replay};

/// Name of the events that report a gap. Publishers cannot use it.
pub(super) const GAP: &[u8] = b"gap";

/// The error for a text that cannot be the name of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventNameError {
    /// The name contains a line break or a NUL, which server-sent events cannot carry.
    ControlByte,
    /// The name is not UTF-8.
    NotUtf8,
    /// The name is `gap`, which the server uses to report events that a client cannot receive.
    Reserved,
}

impl fmt::Display for EventNameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ControlByte => "the name must not contain a line break or a NUL",
            Self::NotUtf8 => "the name must be UTF-8",
            Self::Reserved => "the name `gap` is reserved for events of the server",
        })
    }
}

impl std::error::Error for EventNameError {}

/// Returns the name of a stored event; `None` if it has none, or one that publishers cannot use: the store
/// may have other writers.
pub(super) fn of_stored(event: &replay::Event) -> Option<&[u8]> {
    event.name.as_deref().filter(|name| check(name).is_ok())
}

/// Checks the name of a publisher's event.
pub(super) fn check(name: &[u8]) -> Result<(), EventNameError> {
    sse::check(name).map_err(|sse::InvalidText| EventNameError::ControlByte)?;
    std::str::from_utf8(name).map_err(|_| EventNameError::NotUtf8)?;
    if name == GAP { Err(EventNameError::Reserved) } else { Ok(()) }
}
