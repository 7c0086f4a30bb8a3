//! Transports of a subscription.

use std::net::SocketAddr;

use windlass_cli::client::{fault::Fault, frames, response};

use super::{PATH, multiplexed};

/// Transport of the events to a subscriber.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Transport {
    /// Server-sent events (WHATWG HTML §9.2).
    EventStream,
    /// Text messages of a WebSocket (RFC 6455).
    WebSocket,
    /// Server-sent events of several subscriptions over one HTTP/2 connection.
    Multiplexed {
        /// Number of subscriptions.
        streams: usize,
    },
}

impl Transport {
    /// Returns the number of subscriptions on a connection.
    pub(super) fn subscriptions(self) -> usize {
        match self {
            Self::EventStream | Self::WebSocket => 1,
            Self::Multiplexed { streams } => streams,
        }
    }

    /// Returns the bytes that subscribe.
    pub(super) fn request(self, host: SocketAddr) -> Vec<u8> {
        match self {
            Self::EventStream => {
                format!("GET {PATH} HTTP/1.1\r\nhost: {host}\r\naccept: text/event-stream\r\n\r\n")
                    .into_bytes()
            }
            Self::WebSocket => frames::handshake(PATH, &host.to_string()),
            Self::Multiplexed { streams } => multiplexed::opening(streams, host),
        }
    }

    /// Parses the response head of HTTP/1.1 and returns its length, or `None` if it is incomplete.
    pub(super) fn parse_head(self, input: &[u8]) -> Result<Option<usize>, Fault> {
        match self {
            Self::EventStream | Self::Multiplexed { .. } => response::parse_stream_head(input),
            Self::WebSocket => frames::parse_handshake_response(input),
        }
    }
}
