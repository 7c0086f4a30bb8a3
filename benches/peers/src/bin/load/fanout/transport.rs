//! Transports of a subscription.

use std::net::SocketAddr;

use windlass_cli::client::{fault::Fault, frames, response};

use super::PATH;

/// Transport of the events to a subscriber.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Transport {
    /// Server-sent events (WHATWG HTML §9.2).
    EventStream,
    /// Text messages of a WebSocket (RFC 6455).
    WebSocket,
}

impl Transport {
    /// Returns the request that subscribes.
    pub(super) fn request(self, host: SocketAddr) -> Vec<u8> {
        match self {
            Self::EventStream => {
                format!("GET {PATH} HTTP/1.1\r\nhost: {host}\r\naccept: text/event-stream\r\n\r\n")
                    .into_bytes()
            }
            Self::WebSocket => frames::handshake(PATH, &host.to_string()),
        }
    }

    /// Parses the response head and returns its length, or `None` if it is incomplete.
    pub(super) fn parse_head(self, input: &[u8]) -> Result<Option<usize>, Fault> {
        match self {
            Self::EventStream => response::parse_stream_head(input),
            Self::WebSocket => frames::parse_handshake_response(input),
        }
    }
}
