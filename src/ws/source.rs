//! Messages that reach a socket beside its handler's.

use std::task::{Context, Poll};

use super::{Code, Prepared};
use crate::{
    body::{Offer, Piece},
    proto::ws,
};

/// What a source has for a socket.
#[derive(Debug)]
#[non_exhaustive]
pub enum Delivery {
    /// A message to send.
    Message(Prepared),
    /// The socket is to be closed, with this code and reason.
    Close(Code, &'static str),
    /// Nothing more comes: the source is dropped, the socket stays.
    End,
}

/// Something that gives a socket messages, such as a subscription: see [`Socket::attach`](super::Socket::attach).
///
/// It is polled by the connection, on its shard, while the client takes what it is sent: not more than 64 KiB wait for
/// the client when it is asked for the next message. What comes meanwhile waits in the source, which bounds it by
/// itself and says what happens when it is too much.
pub trait Source {
    /// Returns the next message, or wakes when there is one.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Delivery>;

    /// Is offered a shorter way for what comes while it has nothing: for sources of this crate.
    #[doc(hidden)]
    fn offer(&mut self, _offer: &mut Offer) {}
}

/// Returns what a peer is sent of a prepared message.
pub(crate) fn piece(message: &ws::Prepared, deflated: bool) -> Piece {
    Piece { bytes: message.frame(deflated).clone(), payload_bytes: message.payload_bytes() }
}

pub(crate) type BoxedSource = Box<dyn Source>;
