//! What can be wrong with a response or a connection.

use std::fmt;

/// One error, counted by its kind.
#[derive(Debug)]
pub struct Fault {
    /// The kind it is counted under.
    pub kind: Kind,
    /// What exactly happened; only the first few are printed.
    pub detail: String,
}

/// Kinds of faults, as printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Connecting failed.
    Connect,
    /// The server ended a connection on which it owed responses.
    Closed,
    /// Reading or writing failed.
    Io,
    /// The response is no HTTP/1.1 message with a framed body.
    Malformed,
    /// The status is not 200.
    Status,
    /// The body is not the one that belongs to this request: wrong content or wrong order.
    Body,
    /// Bytes came that nobody asked for.
    Unasked,
    /// No response within the time-out.
    Timeout,
    /// An idle connection was closed or written to.
    Idle,
}

impl Fault {
    /// Makes a fault.
    pub fn new(kind: Kind, detail: impl fmt::Display) -> Self {
        Self { kind, detail: detail.to_string() }
    }
}

impl Kind {
    /// Returns the name it is printed under.
    pub fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Closed => "closed",
            Self::Io => "io",
            Self::Malformed => "malformed",
            Self::Status => "status",
            Self::Body => "body",
            Self::Unasked => "unasked",
            Self::Timeout => "timeout",
            Self::Idle => "idle",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.name(), self.detail)
    }
}

impl std::error::Error for Fault {}
