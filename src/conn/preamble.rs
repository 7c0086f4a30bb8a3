//! The PROXY preamble at the start of a connection: it says who the peer is.

use super::{Env, Io};
use crate::{net::Ending, proto::proxy, request::Peer};

/// What the first bytes of a connection are.
pub(super) enum Preamble {
    /// The beginning of one.
    Partial,
    /// One of this length.
    Done(usize),
    /// None: the connection ends.
    Refused,
}

/// Looks at the first bytes of a connection and takes note of its peer.
pub(super) fn take(env: &Env, io: &mut Io, bytes: &[u8]) -> Preamble {
    match proxy::parse(bytes) {
        Ok(None) => Preamble::Partial,
        Ok(Some(preamble)) => {
            // Without ends the balancer speaks for itself: the socket's own peer stays.
            io.peer = preamble.ends.map_or(io.peer, |ends| Peer::Address(ends.source));
            Preamble::Done(preamble.consumed)
        }
        Err(_) => {
            env.counters.protocol_errors.add("proxy_preamble");
            io.end(Ending::Abort, "protocol_error");
            Preamble::Refused
        }
    }
}
