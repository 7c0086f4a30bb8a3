//! The events of a session.

use crate::metrics::{TlsProtocol, TlsVersion};

/// Result of a handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Negotiated {
    pub(crate) version: TlsVersion,
    /// The protocol that ALPN selected (RFC 7301).
    pub(crate) protocol: TlsProtocol,
    /// `true` if the session continues an earlier one and reuses its secrets.
    pub(crate) resumed: bool,
}

/// An event that received bytes cause in a session.
#[cfg_attr(not(feature = "tls"), allow(dead_code, reason = "there are no sessions without TLS"))]
#[derive(Debug)]
pub(crate) enum SessionEvent<'a> {
    /// The handshake is complete.
    Negotiated(Negotiated),
    /// Received plaintext.
    Data(&'a [u8]),
    /// The peer has sent `close_notify`. It sends no more data (RFC 8446 §6.1).
    CloseNotify,
}
