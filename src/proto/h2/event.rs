//! Events of a connection, returned to its user.

use super::{ErrorCode, Fault, Key, StreamFault};
use crate::proto::semantics::Reject;

/// Result of a peer's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A request; its head is in [`Context::head`](super::Context::head).
    Request {
        /// The stream to answer on.
        stream: Key,
        /// No body follows.
        ends: bool,
    },
    /// A request to be answered with the status of `reject`. Of its head only the method is known.
    Refused {
        /// The stream to answer on.
        stream: Key,
        /// No body follows.
        ends: bool,
        /// The rule that the request breaks.
        reject: Reject,
    },
    /// A part of a request's body. [Release](super::Connection::release) it once it is used up.
    Data {
        /// The stream.
        stream: Key,
        /// The bytes; empty only if the peer sent nothing but the end.
        bytes: &'a [u8],
        /// The part is the last.
        ends: bool,
    },
    /// The end of a request's body, with trailers. They are in [`Context::head`](super::Context::head).
    Trailers {
        /// The stream.
        stream: Key,
        /// The limit or rule that the trailers break, if they break one.
        refused: Option<Reject>,
    },
    /// A stream was closed early; nothing can be sent on it.
    Reset {
        /// The stream.
        stream: Key,
        /// The side that ended it.
        by: ResetBy,
    },
    /// A request was malformed: its stream was reset, and no other event reports it.
    Malformed(StreamFault),
    /// The connection ended: for this fault, or in order if `None`. Its last frames are in the outbox.
    Over(Option<Fault>),
}

/// The side that ended a stream early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResetBy {
    /// The peer, with this code.
    Peer(ErrorCode),
    /// This side, for a fault of the peer.
    Fault(StreamFault),
}
