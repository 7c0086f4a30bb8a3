//! Events and messages of a session.

use std::{error::Error, fmt};

use super::{Close, frame::Opcode};

/// Role of this side.
#[derive(Clone, Copy, Debug)]
pub enum Role {
    /// Server: it receives masked frames and sends unmasked ones.
    Server,
    /// Client: it sends masked frames and receives unmasked ones.
    Client {
        /// Function that returns the masking key of the next frame. The author of the payload must not be
        /// able to predict it (RFC 6455 §10.3).
        key: fn() -> [u8; 4],
    },
}

/// Event from the peer.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// Text message. The caller may take the string; the session reuses the memory of a string that is left
    /// in place.
    Text(&'a mut String),
    /// Binary message. The caller may take the vector; the session reuses the memory of one that is left in
    /// place.
    Binary(&'a mut Vec<u8>),
    /// Ping. [`Session::reply`](super::Session::reply) sends the pong.
    Ping(&'a [u8]),
    /// Pong, solicited or not.
    Pong(&'a [u8]),
    /// Close frame of the peer. No event follows it. If the peer sent its Close first,
    /// [`Session::reply`](super::Session::reply) answers it.
    Close(Close<'a>),
}

/// Error of sending after a Close was sent or received, or after a protocol violation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed;

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the WebSocket is closing")
    }
}

impl Error for Closed {}

/// Message to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outgoing<'a> {
    /// Text message.
    Text(&'a str),
    /// Binary message.
    Binary(&'a [u8]),
}

impl<'a> Outgoing<'a> {
    /// Returns the payload.
    pub fn as_bytes(self) -> &'a [u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Binary(bytes) => bytes,
        }
    }

    pub(super) fn opcode(self) -> Opcode {
        match self {
            Self::Text(_) => Opcode::Text,
            Self::Binary(_) => Opcode::Binary,
        }
    }
}
