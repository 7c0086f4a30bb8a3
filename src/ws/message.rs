//! Messages as a handler sees and sends them.

use std::borrow::Cow;

use super::{Code, Prepared};
use crate::proto::ws;

/// A message of the client, whole.
///
/// Sending it on, as an echo does, gives its memory to the shard's next message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// A text.
    Text(String),
    /// Bytes.
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

    /// Returns the text, if it is one.
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

    /// Says whether the payload is empty.
    pub fn is_empty(&self) -> bool {
        self.as_bytes().is_empty()
    }
}

/// The peer's Close: why it ended the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloseFrame {
    /// Why, for programs. `None`: it gave no reason.
    pub code: Option<Code>,
    /// Why, for people; often empty.
    pub reason: String,
}

/// A message to send: texts and bytes, owned or borrowed, a [`Message`], or a [`Prepared`].
///
/// Whatever becomes one may be given to [`Socket::send`](super::Socket::send).
#[derive(Clone, Debug)]
pub enum Outgoing<'a> {
    /// A text.
    Text(Cow<'a, str>),
    /// Bytes.
    Binary(Cow<'a, [u8]>),
    /// A message whose frames are made already.
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

    /// Says whether the payload is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns it as the protocol takes it; `None` for frames that are made already.
    pub(super) fn plain(&self) -> Option<ws::Outgoing<'_>> {
        match self {
            Self::Text(text) => Some(ws::Outgoing::Text(text)),
            Self::Binary(bytes) => Some(ws::Outgoing::Binary(bytes)),
            Self::Prepared(_) => None,
        }
    }

    /// Says whether its memory is its own.
    pub(super) fn is_owned(&self) -> bool {
        matches!(self, Self::Text(Cow::Owned(_)) | Self::Binary(Cow::Owned(_)))
    }

    /// Returns the memory it owns, for the next message.
    pub(super) fn into_memory(self) -> Option<Vec<u8>> {
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
