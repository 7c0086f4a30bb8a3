//! Errors of a server under load.

use std::fmt;

/// Error of a response or a connection.
#[derive(Debug)]
pub struct Fault {
    /// Kind under which the error is counted.
    pub kind: Kind,
    /// Details of the error. Only the first few are printed.
    pub detail: String,
}

/// Kind of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The connection could not be established.
    Connect,
    /// The server closed a connection before all responses were complete, or ended an event stream or
    /// WebSocket.
    Closed,
    /// A read or a write failed.
    Io,
    /// The response is not an HTTP/1.1 message, or its body has no valid length.
    Malformed,
    /// The status is not the expected one.
    Status,
    /// The body does not belong to this request: wrong content or wrong order.
    Body,
    /// The server sent bytes without a request.
    Unsolicited,
    /// The response did not arrive within the timeout.
    Timeout,
    /// The server closed an idle connection, or sent bytes on it.
    Idle,
}

impl Fault {
    /// Creates an error.
    pub fn new(kind: Kind, detail: impl fmt::Display) -> Self {
        Self { kind, detail: detail.to_string() }
    }
}

impl Kind {
    /// Returns the name that the report prints.
    pub fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Closed => "closed",
            Self::Io => "io",
            Self::Malformed => "malformed",
            Self::Status => "status",
            Self::Body => "body",
            Self::Unsolicited => "unsolicited",
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
