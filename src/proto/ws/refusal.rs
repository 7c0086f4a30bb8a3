//! Reasons to refuse a handshake.

use std::{error::Error, fmt};

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version, header};

/// Reason to refuse a handshake, which also determines the response. The connection remains an HTTP
/// connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Refusal {
    /// The method is not GET, or not CONNECT over HTTP/2.
    Method,
    /// The HTTP version is below 1.1.
    HttpVersion,
    /// There is no `Upgrade: websocket`: this is an ordinary request.
    NotAnUpgrade,
    /// There is no `Connection: upgrade`.
    Connection,
    /// Over HTTP/2, the `:protocol` is missing or not `websocket`.
    Protocol,
    /// The WebSocket version is not 13.
    Version,
    /// The key is missing, repeated, or not 16 bytes in base64.
    Key,
    /// The origin is not allowed.
    Origin,
    /// The Sec-WebSocket-Extensions are malformed.
    Extensions,
}

impl Refusal {
    /// All reasons, each at the index `refusal as usize`, so that counters can be an array.
    pub const ALL: [Self; 9] = [
        Self::Method,
        Self::HttpVersion,
        Self::NotAnUpgrade,
        Self::Connection,
        Self::Protocol,
        Self::Version,
        Self::Key,
        Self::Origin,
        Self::Extensions,
    ];

    /// Returns the status of the response.
    pub fn status(self) -> StatusCode {
        StatusCode::from_u16(self.row().0).unwrap_or(StatusCode::BAD_REQUEST)
    }

    /// Returns the label value for metrics: lower case with underscores, never text from a client.
    pub fn label(self) -> &'static str {
        self.row().1
    }

    /// Returns the reason as text, in lower case without a full stop.
    pub fn text(self) -> &'static str {
        self.row().2
    }

    /// Returns the header fields of the response for this HTTP version.
    pub fn headers(self, version: Version) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let mut add = |name: HeaderName, value| headers.insert(name, HeaderValue::from_static(value));
        match self {
            Self::Method if version >= Version::HTTP_2 => add(header::ALLOW, "CONNECT"),
            Self::Method => add(header::ALLOW, "GET"),
            Self::Version => add(header::SEC_WEBSOCKET_VERSION, "13"),
            _ => None,
        };
        // RFC 9110 §15.5.22 requires Upgrade with 426. HTTP/2 does not allow it (RFC 9113 §8.2.2).
        if self.status() == StatusCode::UPGRADE_REQUIRED && version < Version::HTTP_2 {
            headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
            headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        }
        headers
    }

    #[rustfmt::skip]
    fn row(self) -> (u16, &'static str, &'static str) {
        match self {
            Self::Method => (405, "method", "this method does not open a WebSocket"),
            Self::HttpVersion => (400, "http_version", "a WebSocket needs HTTP/1.1 or later"),
            Self::NotAnUpgrade => (426, "not_an_upgrade", "this path accepts only WebSocket connections"),
            Self::Connection => (400, "connection", "the Connection header field does not contain upgrade"),
            Self::Protocol => (501, "protocol", "extended CONNECT is only supported for websocket"),
            Self::Version => (426, "version", "only WebSocket version 13 is supported"),
            Self::Key => (400, "key", "the Sec-WebSocket-Key is not 16 bytes in base64"),
            Self::Origin => (403, "origin", "pages of this origin may not connect"),
            Self::Extensions => (400, "extensions", "the Sec-WebSocket-Extensions are malformed"),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl Error for Refusal {}
