//! Enums whose variants are label values.

/// The way in which a request was served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DispatchKind {
    /// Served with a prebuilt response.
    Static,
    /// Served by a handler on the connection's shard.
    Inline,
    /// Served by a handler on the pool.
    Async,
    /// Served with a stream of events.
    Sse,
    /// Served by a WebSocket, after a successful handshake.
    Ws,
}

impl DispatchKind {
    pub(crate) const ALL: [Self; 5] = [Self::Static, Self::Inline, Self::Async, Self::Sse, Self::Ws];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Static => "static",
            Self::Inline => "inline",
            Self::Async => "async",
            Self::Sse => "sse",
            Self::Ws => "ws",
        }
    }
}

/// The TLS version of a session.
#[cfg_attr(not(feature = "tls"), allow(dead_code, reason = "there are no sessions without TLS"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TlsVersion {
    Tls12,
    Tls13,
}

/// The protocol that ALPN selected.
#[cfg_attr(not(feature = "tls"), allow(dead_code, reason = "there are no sessions without TLS"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TlsProtocol {
    H2,
    Http11,
    /// The client did not use ALPN.
    None,
}

/// The HTTP version of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HttpVersion {
    /// HTTP/1.1 or HTTP/1.0.
    H1,
    /// HTTP/2.
    H2,
}

impl HttpVersion {
    pub(crate) const ALL: [Self; 2] = [Self::H1, Self::H2];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::H1 => "h1",
            Self::H2 => "h2",
        }
    }
}
