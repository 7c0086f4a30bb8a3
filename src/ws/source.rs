//! Messages that reach a socket beside its handler's.

use std::task::{Context, Poll};

use windlass_actors::OutletKey;

use super::{Code, Prepared};
use crate::{
    body::{Piece, Unpack},
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

    /// Has messages put into an outlet while that is open: for sources of this crate.
    #[doc(hidden)]
    fn connect(&mut self, _offer: &mut Offer) {}
}

/// An outlet that a source may have its messages put into, and how they are sent from there.
#[derive(Debug)]
pub struct Offer {
    pub(crate) outlet: OutletKey,
    /// The peer takes the compressed form of prepared messages.
    pub(crate) takes_deflated: bool,
    /// Set by the source that makes use of it.
    pub(crate) unpack: Option<Unpack>,
}

/// Returns what a peer is sent of a prepared message.
pub(crate) fn piece(message: &ws::Prepared, takes_deflated: bool) -> Piece {
    Piece { bytes: message.frame(takes_deflated).clone(), payload_bytes: message.payload_bytes() }
}

pub(crate) type BoxedSource = Box<dyn Source>;
