//! TLS: certificates that can be replaced while serving, and sessions on byte buffers.
//!
//! The only place that names rustls. A [`Session`] knows no socket and no clock: ciphertext goes in, plaintext comes
//! out, and the other way round; `conn` puts it between the engine and the protocol. No 0-RTT data is taken: it could
//! be replayed.

#[cfg(feature = "tls")]
mod certificate;
#[cfg(not(feature = "tls"))]
mod disabled;
#[cfg(feature = "tls")]
mod error;
#[cfg(feature = "tls")]
mod error_label;
#[cfg(feature = "tls")]
mod handle;
#[cfg(feature = "tls")]
mod seal;
#[cfg(feature = "tls")]
mod session;
#[cfg(all(test, feature = "tls"))]
mod tests;
#[cfg(feature = "tls")]
mod validity;

#[cfg(not(feature = "tls"))]
pub(crate) use disabled::{Acceptor, Session, Tls};
#[cfg(feature = "tls")]
pub use error::TlsError;
#[cfg(feature = "tls")]
pub(crate) use handle::Acceptor;
#[cfg(feature = "tls")]
pub use handle::Tls;
#[cfg(feature = "tls")]
pub(crate) use session::Session;

use crate::metrics::{TlsProtocol, TlsVersion};

/// What a handshake agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Negotiated {
    pub(crate) version: TlsVersion,
    /// By ALPN (RFC 7301).
    pub(crate) protocol: TlsProtocol,
    /// An earlier session's secrets were used again.
    pub(crate) resumed: bool,
}

/// What comes out of a session.
#[cfg_attr(not(feature = "tls"), allow(dead_code, reason = "there are no sessions without TLS"))]
#[derive(Debug)]
pub(crate) enum SessionEvent<'a> {
    /// The handshake is done.
    Negotiated(Negotiated),
    /// Plaintext.
    Data(&'a [u8]),
    /// The peer's `close_notify`: nothing follows (RFC 8446 §6.1).
    CloseNotify,
}

/// Why a session cannot go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SessionError {
    /// One of a fixed set, for metrics.
    pub(crate) label: &'static str,
    pub(crate) text: String,
}
