//! The PROXY preamble at the start of a connection, which names the client behind a load balancer.

use super::{env::Env, io::Io};
use crate::{net::Ending, proto::proxy, request::Peer};

/// Result of parsing the first bytes of a connection as a PROXY preamble.
pub(super) enum Preamble {
    /// The bytes are the start of a preamble. Nothing was consumed.
    Partial,
    /// The preamble is complete and has this length.
    Done(usize),
    /// The bytes are no preamble: the connection is reset.
    Refused,
}

/// Parses the first bytes of a connection as a PROXY preamble and sets the peer to the client that it names.
/// If they are no preamble, counts a protocol error and sets the connection to be reset.
pub(super) fn parse(env: &Env, io: &mut Io, bytes: &[u8]) -> Preamble {
    match proxy::parse(bytes) {
        Ok(None) => Preamble::Partial,
        Ok(Some(preamble)) => {
            // Without addresses the connection is the balancer's own, so its socket address stays.
            io.peer = preamble.addresses.map_or(io.peer, |addresses| Peer::Address(addresses.source));
            Preamble::Done(preamble.consumed)
        }
        Err(_) => {
            env.counters.protocol_errors.add("proxy_preamble");
            io.end(Ending::Abort, "protocol_error");
            Preamble::Refused
        }
    }
}
