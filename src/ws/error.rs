//! Errors of sending and receiving.

use std::{error::Error, fmt};

use super::{Code, Outgoing};
use crate::proto::ws::Fault;

/// Error of a client that violated the protocol or a limit. The server closes the socket, and no further
/// message is received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProtocolError(pub(super) Fault);

impl ProtocolError {
    /// Returns the close code that is sent to the client.
    pub fn code(&self) -> Code {
        self.0.code()
    }
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the client violated the protocol: {}", self.0)
    }
}

impl Error for ProtocolError {}

/// Errors of [`Socket::try_send`](super::Socket::try_send).
#[derive(Clone, Debug)]
pub enum TrySendError<'a> {
    /// The outbound queue is full. Contains the message.
    Full(Outgoing<'a>),
    /// The socket is closing.
    Closed,
}

impl fmt::Display for TrySendError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "the outbound queue is full, because the client reads too slowly",
            Self::Closed => "the WebSocket is closing",
        })
    }
}

impl Error for TrySendError<'_> {}
