//! Direct delivery: an idle stream gets its events through an outlet instead of being polled for them.

use bytes::Bytes;
use windlass_actors::{OutletKey, Parcel};

/// Bytes sent to a peer for one event.
pub(crate) struct Piece {
    /// Encoded event.
    pub(crate) bytes: Bytes,
    /// Length of the event's payload within `bytes`.
    pub(crate) payload_bytes: usize,
}

/// Function that returns the encoded event of a parcel in an outlet, or `None` if the parcel is of another
/// kind.
pub(crate) type Unpack = fn(&Parcel) -> Option<Piece>;

/// Encoding of an event on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// HTTP/1.1 chunk.
    Chunk,
    /// WebSocket frame.
    #[cfg(feature = "ws")]
    Frame,
    /// Compressed WebSocket frame, if the event has one.
    #[cfg(feature = "ws")]
    DeflatedFrame,
}

/// Outlet offered to a stream of this crate. While the stream is idle, its events can go through the outlet.
#[derive(Debug)]
pub struct Offer {
    pub(crate) outlet: OutletKey,
    #[cfg_attr(not(feature = "ws"), expect(dead_code, reason = "only a WebSocket has several forms"))]
    pub(crate) form: Form,
    pub(crate) answer: Answer,
}

/// Reply of a stream to an offer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Answer {
    /// The stream must always be polled.
    Never,
    /// The stream must be polled now. It can accept a later offer.
    Later,
    /// The events of the stream go through the outlet. The function encodes them.
    Accepted(Unpack),
}
