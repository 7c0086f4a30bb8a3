//! Why a handshake is refused.

use std::{error::Error, fmt};

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version, header};

/// Why no WebSocket was opened, and what answers that. The connection stays what it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Refusal {
    /// Not GET, or over HTTP/2 not CONNECT.
    Method,
    /// Older than HTTP/1.1.
    HttpVersion,
    /// No `Upgrade: websocket`, so this is an ordinary request.
    NotAnUpgrade,
    /// No `Connection: upgrade`.
    Connection,
    /// Over HTTP/2, a `:protocol` that is not `websocket`, or none.
    Protocol,
    /// A version of the protocol other than 13.
    Version,
    /// No key, more than one, or one that is not 16 bytes in base64.
    Key,
    /// A page of another origin.
    Origin,
    /// Sec-WebSocket-Extensions cannot be read.
    Extensions,
}

impl Refusal {
    /// All causes, each at the index `cause as usize`, so that counters may be an array.
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

    /// Returns the status that answers this.
    pub fn status(self) -> StatusCode {
        StatusCode::from_u16(self.row().0).unwrap_or(StatusCode::BAD_REQUEST)
    }

    /// Returns a short name for metrics: lower case and underscores, never anything a client sent.
    pub fn label(self) -> &'static str {
        self.row().1
    }

    /// Returns the cause in plain words, a sentence without its full stop.
    pub fn text(self) -> &'static str {
        self.row().2
    }

    /// Returns the header fields that belong to the answer, over this version of HTTP.
    pub fn headers(self, version: Version) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let mut add = |name: HeaderName, value| headers.insert(name, HeaderValue::from_static(value));
        match self {
            Self::Method if version >= Version::HTTP_2 => add(header::ALLOW, "CONNECT"),
            Self::Method => add(header::ALLOW, "GET"),
            Self::Version => add(header::SEC_WEBSOCKET_VERSION, "13"),
            _ => None,
        };
        // RFC 9110 §15.5.22 asks for Upgrade beside 426; HTTP/2 has none (RFC 9113 §8.2.2).
        if self.status() == StatusCode::UPGRADE_REQUIRED && version < Version::HTTP_2 {
            headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
            headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        }
        headers
    }

    #[rustfmt::skip]
    fn row(self) -> (u16, &'static str, &'static str) {
        match self {
            Self::Method => (405, "method", "a WebSocket is opened with another method"),
            Self::HttpVersion => (400, "http_version", "a WebSocket needs HTTP/1.1"),
            Self::NotAnUpgrade => (426, "not_an_upgrade", "this place speaks WebSocket only"),
            Self::Connection => (400, "connection", "the Connection header field does not say upgrade"),
            Self::Protocol => (501, "protocol", "no extended CONNECT but websocket is known here"),
            Self::Version => (426, "version", "only version 13 of WebSocket is spoken here"),
            Self::Key => (400, "key", "the Sec-WebSocket-Key is not 16 bytes in base64"),
            Self::Origin => (403, "origin", "pages of this origin may not connect"),
            Self::Extensions => (400, "extensions", "the Sec-WebSocket-Extensions are not valid"),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl Error for Refusal {}
