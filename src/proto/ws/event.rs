//! What a session says and is told.

use std::{error::Error, fmt};

use super::{Close, frame::Opcode};

/// Which end this is.
#[derive(Clone, Copy, Debug)]
pub enum Role {
    /// The server: what it receives is masked, what it sends is not.
    Server,
    /// The client, the other way around.
    Client {
        /// Makes the key of the next frame. Keys must not be predictable for whoever chooses the payload
        /// (RFC 6455 §10.3).
        key: fn() -> [u8; 4],
    },
}

/// What the peer said.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A text message. The string may be taken; what is left there lends its memory to the next message.
    Text(&'a mut String),
    /// A binary message, which may be taken as well.
    Binary(&'a mut Vec<u8>),
    /// A ping. Its answer is owed: [`Session::reply`](super::Session::reply).
    Ping(&'a [u8]),
    /// A pong, asked for or not.
    Pong(&'a [u8]),
    /// The peer's Close; nothing follows it. If it came first, ours is owed:
    /// [`Session::reply`](super::Session::reply).
    Close(Close<'a>),
}

/// Sending was refused: a Close was sent or received, or the peer broke the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed;

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the WebSocket is closing")
    }
}

impl Error for Closed {}

/// A message to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outgoing<'a> {
    /// A text message.
    Text(&'a str),
    /// A binary message.
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
