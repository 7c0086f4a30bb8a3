//! The peer of a connection.

use std::net::SocketAddr;

/// The peer of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// The address of a TCP peer. On a listener with the PROXY protocol it is the client's address, which the
    /// proxy has sent.
    Address(SocketAddr),
    /// A process on this machine, connected through a Unix socket.
    Local,
    /// Unknown, because the peer had disconnected before its address was read.
    Unknown,
}

impl Peer {
    /// Returns the address, or `None` if the peer has none.
    pub fn address(self) -> Option<SocketAddr> {
        match self {
            Self::Address(address) => Some(address),
            Self::Local | Self::Unknown => None,
        }
    }
}
