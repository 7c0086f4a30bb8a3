//! Errors of an event stream's client.

use std::{error::Error, fmt};

use crate::{pubsub::broker::PublishError, replay::StoreError};

/// Error of an event stream that has ended: the client has disconnected, or the stream was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed;

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the event stream is closed")
    }
}

impl Error for Closed {}

/// Errors of [`Client::send`](super::Client::send).
#[derive(Debug)]
#[non_exhaustive]
pub enum SendError {
    /// The stream is closed.
    Closed,
    /// The store rejected the event, or failed to store it with the required durability. The event was not
    /// sent.
    Store(StoreError),
}

impl From<Closed> for SendError {
    fn from(_: Closed) -> Self {
        Self::Closed
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => Closed.fmt(f),
            Self::Store(error) => error.fmt(f),
        }
    }
}

impl Error for SendError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        if let Self::Store(error) = self { Some(error) } else { None }
    }
}

/// Errors of [`Client::subscribe`](super::Client::subscribe).
#[derive(Debug)]
#[non_exhaustive]
pub enum SubscribeError {
    /// The stream is closed.
    Closed,
    /// The client has reached its limit of topics
    /// ([`Settings::subscriptions`](super::Settings::subscriptions)).
    TooMany,
    /// The broker cannot open the topic.
    Broker(PublishError),
}

impl fmt::Display for SubscribeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => Closed.fmt(f),
            Self::TooMany => f.write_str("the client has reached its limit of topics"),
            Self::Broker(error) => error.fmt(f),
        }
    }
}

impl Error for SubscribeError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        if let Self::Broker(error) = self { Some(error) } else { None }
    }
}
