//! Messages to a shard's connections, and the results that they carry.

use std::{collections::BTreeMap, os::fd::OwnedFd, sync::mpsc};

use crate::{net::ConnId, response::Response};

/// Message to a shard, usually from another thread.
pub(crate) enum Msg {
    /// Accept connections from these sockets.
    Listen(Vec<socket2::Socket>),
    /// Serve this socket. Another shard accepted it from its listener with this index.
    Adopt { fd: OwnedFd, listener: usize },
    /// A worker's reply to request number `seq` of a connection.
    Reply { id: ConnId, seq: u32, outcome: Outcome },
    /// Stop accepting and let requests end. The shard sends its index and counts once no connection is left.
    Drain(mpsc::Sender<(usize, DrainCounts)>),
    /// Reset every connection that has not ended.
    Cut,
    /// Panic, for a test of a failed shard.
    #[cfg(test)]
    Panic,
}

/// Reply to request number `seq`, by an inline handler that ran as a task of the connection's shard.
pub(super) struct LocalReply {
    pub(super) id: ConnId,
    pub(super) seq: u32,
    pub(super) outcome: Outcome,
}

/// Response to one request, by its handler or by the server in the handler's place.
pub(crate) struct Outcome {
    pub(crate) response: Response,
    /// Reason why the server answered in the handler's place, for the end hooks; `None` if it did not.
    pub(crate) error: Option<&'static str>,
}

impl From<Response> for Outcome {
    fn from(response: Response) -> Self {
        let error = response.error();
        Self { response, error }
    }
}

/// Connections of a draining shard, counted by how they ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct DrainCounts {
    /// Connections that ended without being cut: after their last reply, or for a fault or the disappearance
    /// of the peer.
    pub(crate) drained: u64,
    /// Connections that were reset with data lost, by their activity when the grace period ended, or
    /// `peer_stalled` if the peer took no bytes in time.
    pub(crate) cut: BTreeMap<&'static str, u64>,
}
