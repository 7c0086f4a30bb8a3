//! Errors of a hub.

use std::fmt;

/// Errors of [`Hub::register`](super::Hub::register).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HubError {
    /// The hub belongs to no server, or its server has not started.
    NotStarted,
    /// The hub is closed, or its server drains.
    Closed,
    /// The member was not registered: the mailbox of the shard's relay is full. Try again later.
    Busy,
}

impl fmt::Display for HubError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotStarted => "the hub belongs to no server, or its server has not started",
            Self::Closed => "the hub is closed",
            Self::Busy => "the shard is busy distributing messages, member not registered: try again later",
        })
    }
}

impl std::error::Error for HubError {}
