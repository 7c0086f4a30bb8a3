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

/// Error with which the producer of a body may end it.
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
    /// Content bytes.
    Data,
    /// No data: trailers, the end of the body, or an error.
    End,
    /// The body must be polled to find out. Only event streams are of this kind, whose frames are small.
    Unknown,
}

/// Producer of a body, polled frame by frame.
pub trait Source: Send {
    /// Polls for the next frame. Returns `None` at the end of the body.
    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BoxError>>>;

    /// Returns `true`, directly after a frame, if the next poll would be pending and the task that polled
    /// last will be woken. The caller can skip that poll. Default: `false`.
    fn rests(&self) -> bool {
        false
    }

    /// Returns the total length of the body in bytes, if it is known. Default: `None`.
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

    /// Called repeatedly while the server drains. An endless body should come to an end. Default: does
    /// nothing.
    fn drain(self: Pin<&mut Self>) {}

    /// Connects an outlet for direct delivery while the source [rests](Self::rests). Only for sources of this
    /// crate.
    #[doc(hidden)]
    fn connect(self: Pin<&mut Self>, _outlet: OutletKey) -> OutletAnswer<SharedChunk> {
        OutletAnswer::Never
    }

    /// Called with the time of the last direct delivery before the source is polled again.
    #[doc(hidden)]
    fn delivered(self: Pin<&mut Self>, _at: Instant) {}
}
