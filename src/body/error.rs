//! Errors of reading a body.

use std::{error::Error as StdError, fmt};

use super::source::BoxError;

/// Reason that a body ended early.
#[derive(Debug)]
#[non_exhaustive]
pub enum BodyError {
    /// The sender was dropped, or the peer disconnected, before the end of the body.
    Aborted,
    /// The peer sent an invalid body, or sent it too slowly. The text names the fault.
    Peer(&'static str),
    /// The body is larger than the limit of [`Body::collect`](super::Body::collect).
    TooLarge,
    /// The producer of the body, such as a [`Source`](super::Source), failed with this error.
    Producer(BoxError),
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Aborted => f.write_str("the body ended before it was complete"),
            Self::Peer(fault) => write!(f, "invalid body from the peer: {fault}"),
            Self::TooLarge => f.write_str("the body is larger than the limit"),
            Self::Producer(error) => write!(f, "the producer of the body failed: {error}"),
        }
    }
}

impl StdError for BodyError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Producer(error) => Some(error.as_ref()),
            _ => None,
        }
    }
}
