//! Frames of a body, and the trait of types that produce them.

use std::{
    error::Error as StdError,
    pin::Pin,
    task::{Context, Poll},
    time::Instant,
};

use bytes::Bytes;
use http::HeaderMap;
use windlass_actors::OutletKey;

use super::outlet::OutletAnswer;
use crate::proto::h1::encode::SharedChunk;

/// Error of any type, such as the one with which the producer of a body ends it.
pub type BoxError = Box<dyn StdError + Send + Sync>;

/// Part of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// Content bytes, never empty.
    Data(Bytes),
    /// Trailers. They are the last frame.
    Trailers(HeaderMap),
}

/// Kind of a body's next frame.
#[cfg(feature = "http2")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FrameKind {
    /// Content bytes, or the next frame of a source that ends by itself, which is not polled for its kind.
    Data,
    /// No content: trailers, the end of the body, or an error.
    End,
    /// Frame of an endless source, such as an event stream, whose kind only a poll for the frame shows.
    Unknown,
}

/// Producer of a body, polled frame by frame.
pub trait Source: Send {
    /// Polls for the next frame. Returns `None` at the end of the body.
    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BoxError>>>;

    /// Returns `true` if the next poll would be pending and the task that polled last will be woken, so that
    /// the caller can skip that poll. Called directly after a poll that returned a frame. Default: `false`.
    fn rests(&self) -> bool {
        false
    }

    /// Returns the number of bytes that the source will still produce, if it is known. Default: `None`.
    fn len_bytes(&self) -> Option<u64> {
        None
    }

    /// Returns `true` if the shard of the connection may poll the source, even if its handler ran on the
    /// pool.
    ///
    /// Default: `false`. The source is then polled on the thread of its handler, whose runtime it may need.
    fn is_shard_safe(&self) -> bool {
        false
    }

    /// Returns `true` if the body ends only when the peer leaves, like an event stream. A FIN of the peer
    /// then ends the body. Default: `false`. A peer that has sent FIN still receives the complete body.
    fn is_endless(&self) -> bool {
        false
    }

    /// Called repeatedly while the server drains. A source of an endless body should end it. Default: does
    /// nothing.
    fn drain(self: Pin<&mut Self>) {}

    /// Connects an outlet for direct delivery while the source [rests](Self::rests). Only sources of this
    /// crate implement it. Default: [`OutletAnswer::Never`].
    #[doc(hidden)]
    fn connect(self: Pin<&mut Self>, _outlet: OutletKey) -> OutletAnswer<SharedChunk> {
        OutletAnswer::Never
    }

    /// Called with the time of the last direct delivery, before the source is polled again. Default: does
    /// nothing.
    #[doc(hidden)]
    fn delivered(self: Pin<&mut Self>, _at: Instant) {}
}
