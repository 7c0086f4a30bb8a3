//! Messages that a handler receives and sends.

use std::borrow::Cow;

use super::{Code, Prepared};
use crate::proto::ws;

/// A complete message from the client.
///
/// Sending it back, as an echo does, recycles its memory for the next message of the shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// A text message.
    Text(String),
    /// A binary message.
    Binary(Vec<u8>),
}

impl Message {
    /// Returns the payload.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Binary(bytes) => bytes,
        }
    }

    /// Returns the text, or `None` for a binary message.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Binary(_) => None,
        }
    }

    /// Returns the length of the payload, bytes.
    pub fn len(&self) -> usize {
        self.as_bytes().len()
    }

    /// Returns `true` if the payload is empty.
    pub fn is_empty(&self) -> bool {
        self.as_bytes().is_empty()
    }
}

/// The peer's Close frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloseFrame {
    /// The close code. `None` if the frame has none.
    pub code: Option<Code>,
    /// The reason, for people. Often empty.
    pub reason: String,
}

/// A message to send: text or bytes, owned or borrowed, or a [`Prepared`] message.
///
/// [`Socket::send`](super::Socket::send) accepts everything that converts to it: `&str`, `String`, `&[u8]`,
/// `Vec<u8>`, [`Message`] and `&Prepared`.
#[derive(Clone, Debug)]
pub enum Outgoing<'a> {
    /// A text message.
    Text(Cow<'a, str>),
    /// A binary message.
    Binary(Cow<'a, [u8]>),
    /// A message whose frames are already encoded.
    Prepared(&'a Prepared),
}

impl Outgoing<'_> {
    /// Returns the length of the payload, bytes.
    pub fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Binary(bytes) => bytes.len(),
            Self::Prepared(prepared) => prepared.len(),
        }
    }

    /// Returns `true` if the payload is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the message in the protocol's form, or `None` if its frames are already encoded.
    pub(super) fn plain(&self) -> Option<ws::Outgoing<'_>> {
        match self {
            Self::Text(text) => Some(ws::Outgoing::Text(text)),
            Self::Binary(bytes) => Some(ws::Outgoing::Binary(bytes)),
            Self::Prepared(_) => None,
        }
    }

    /// Returns `true` if the message owns its memory.
    pub(super) fn is_owned(&self) -> bool {
        matches!(self, Self::Text(Cow::Owned(_)) | Self::Binary(Cow::Owned(_)))
    }

    /// Returns the memory that the message owns, to be recycled.
    pub(super) fn into_buffer(self) -> Option<Vec<u8>> {
        match self {
            Self::Text(Cow::Owned(text)) => Some(text.into_bytes()),
            Self::Binary(Cow::Owned(bytes)) => Some(bytes),
            _ => None,
        }
    }
}

impl From<Message> for Outgoing<'_> {
    fn from(message: Message) -> Self {
        match message {
            Message::Text(text) => Self::Text(Cow::Owned(text)),
            Message::Binary(bytes) => Self::Binary(Cow::Owned(bytes)),
        }
    }
}

impl<'a> From<&'a Message> for Outgoing<'a> {
    fn from(message: &'a Message) -> Self {
        match message {
            Message::Text(text) => Self::Text(Cow::Borrowed(text)),
            Message::Binary(bytes) => Self::Binary(Cow::Borrowed(bytes)),
        }
    }
}

macro_rules! outgoing {
    ($($kind:ident($of:ty) $make:ident;)*) => {
        $(impl<'a> From<$of> for Outgoing<'a> {
            fn from(payload: $of) -> Self {
                Self::$kind(Cow::$make(payload))
            }
        })*
    };
}

outgoing! {
    Text(&'a str) Borrowed;
    Text(String) Owned;
    Binary(&'a [u8]) Borrowed;
    Binary(Vec<u8>) Owned;
}

impl<'a> From<&'a Prepared> for Outgoing<'a> {
    fn from(prepared: &'a Prepared) -> Self {
        Self::Prepared(prepared)
    }
}
