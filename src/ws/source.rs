//! Sources of messages for a socket, other than its handler.

use std::task::{Context, Poll};

use windlass_actors::OutletKey;

use super::{Code, Prepared};
use crate::{body::OutletAnswer, proto::ws};

/// The next item of a source.
#[derive(Debug)]
#[non_exhaustive]
pub enum Delivery {
    /// Send this message.
    Message(Prepared),
    /// Close the socket with this code and reason.
    Close(Code, &'static str),
    /// The source has ended. It is dropped, and the socket stays open.
    End,
}

/// A source of messages for a socket, such as a subscription. See [`Socket::attach`](super::Socket::attach).
///
/// The connection polls its sources on its shard. It does so only while less than 64 KiB wait for the client.
/// Further messages wait in the source, which must bound its queue and have an overflow policy.
pub trait Source {
    /// Polls for the next item.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Delivery>;

    /// Connects an outlet for direct delivery while the source has nothing queued. For sources of this crate.
    #[doc(hidden)]
    fn connect(&mut self, _outlet: OutletKey) -> OutletAnswer<ws::Prepared> {
        OutletAnswer::Never
    }
}

pub(crate) type BoxedSource = Box<dyn Source>;
