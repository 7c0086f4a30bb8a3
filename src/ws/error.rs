//! Why nothing was received or sent.

use std::{error::Error, fmt};

use super::{Code, Outgoing};
use crate::proto::ws::Fault;

/// The client broke the protocol or a limit; it is told by a Close, and nothing more comes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProtocolError(pub(super) Fault);

impl ProtocolError {
    /// Returns the close code that the client is told.
    pub fn code(&self) -> Code {
        self.0.code()
    }
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the client broke the protocol: {}", self.0)
    }
}

impl Error for ProtocolError {}

/// Why a message was not sent at once.
#[derive(Clone, Debug)]
pub enum TrySendError<'a> {
    /// As much waits for the client as may; here is the message back.
    Full(Outgoing<'a>),
    /// The socket is closing: nothing more can be sent.
    Closed,
}

impl fmt::Display for TrySendError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "the client does not keep up: as much waits for it as may",
            Self::Closed => "the WebSocket is closing",
        })
    }
}

impl Error for TrySendError<'_> {}
