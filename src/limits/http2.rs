//! Limits of one HTTP/2 connection.

/// Limits of one HTTP/2 connection.
///
/// The general [`Limits`](super::Limits) also apply to its requests, with these exceptions:
/// `header_list_bytes` replaces `head_bytes`, `request_line_bytes` bounds the request target, `streams`
/// replaces `pipelined`, and `outbound_bytes` replaces `outbox_bytes`. There are no chunk extensions in
/// HTTP/2.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize), serde(deny_unknown_fields, default))]
#[non_exhaustive]
pub struct Http2Limits {
    /// Maximum number of open streams. Default 100. The server refuses more with `REFUSED_STREAM`, which a
    /// client may retry. Each stream costs the memory of its request and its reply.
    pub streams: u32,
    /// Flow-control window of a stream, in bytes: how much of a request's body may be in transit. Default 64
    /// KiB. While the server takes a body as fast as it arrives, the window grows to up to 8 times this size.
    /// All windows of a connection together grow by at most half of `connection_window_bytes`.
    pub stream_window_bytes: u32,
    /// Flow-control window of the connection, in bytes: how much of all requests' bodies may be in transit.
    /// Default 1 MiB, at least 65,535 bytes. The protocol allows no smaller window.
    pub connection_window_bytes: u32,
    /// Maximum size of a decoded header list, in bytes by RFC 9113 §6.5.2, which adds 32 to each field.
    /// Default 32 KiB. A larger one is answered with `431`. One of more than four times this size ends
    /// the connection.
    pub header_list_bytes: u32,
    /// Size of the dynamic table for the peer's header compression (HPACK), in bytes. Default 4 KiB.
    pub header_table_bytes: u32,
    /// Maximum number of requests that are cancelled by the same bytes that bring them. Default 20. Above it,
    /// the connection ends with `ENHANCE_YOUR_CALM`.
    pub pending_resets: usize,
    /// Maximum number of streams that the server resets because the peer violates the protocol. Default 128.
    /// A quarter of it is regained each second. Above it, the connection ends with `ENHANCE_YOUR_CALM`.
    pub local_resets: usize,
    /// Maximum number of bytes that wait for the peer to read. Default 1 MiB. At the limit, the server does
    /// not read from the connection.
    ///
    /// While complete replies above this size wait for the peer's windows, bodies that are collected before
    /// their handler runs get no credit.
    pub outbound_bytes: usize,
    /// Maximum number of streams that the peer may reset per second, in bursts of up to four seconds' worth.
    /// Default 100. Above it, the connection ends with `ENHANCE_YOUR_CALM`. The same bursts and the same end
    /// apply to every other limit per second.
    pub resets_per_second: u32,
    /// Maximum number of SETTINGS frames per second. Default 10.
    pub settings_per_second: u32,
    /// Maximum number of PING frames per second, and one more for each 64 bytes sent. Default 100.
    pub pings_per_second: u32,
    /// Maximum number of DATA frames per second that carry no data and do not end their stream. Default 100.
    pub empty_data_per_second: u32,
    /// Maximum number of WINDOW_UPDATE frames per second, and one more for each 64 bytes sent. Default 1000.
    pub window_updates_per_second: u32,
    /// Maximum number of PRIORITY, PRIORITY_UPDATE and unknown frames per second, counted together. Default
    /// 1000.
    pub other_frames_per_second: u32,
}

impl Default for Http2Limits {
    fn default() -> Self {
        Self {
            streams: 100,
            stream_window_bytes: 64 * 1024,
            connection_window_bytes: 1024 * 1024,
            header_list_bytes: 32 * 1024,
            header_table_bytes: 4 * 1024,
            pending_resets: 20,
            local_resets: 128,
            outbound_bytes: 1024 * 1024,
            resets_per_second: 100,
            settings_per_second: 10,
            pings_per_second: 100,
            empty_data_per_second: 100,
            window_updates_per_second: 1000,
            other_frames_per_second: 1000,
        }
    }
}

impl Http2Limits {
    /// Returns the rates in the order of [`Rates`](crate::proto::h2::Rates).
    pub(crate) fn rates(&self) -> [u32; 6] {
        [
            self.resets_per_second,
            self.settings_per_second,
            self.pings_per_second,
            self.empty_data_per_second,
            self.window_updates_per_second,
            self.other_frames_per_second,
        ]
    }

    /// Checks the limits. The error names the first invalid limit and its valid range; the rates are named
    /// together.
    pub(super) fn check(&self) -> Result<(), String> {
        /// The largest possible window (RFC 9113 §6.9.1).
        const WINDOW_MAX: u32 = (1 << 31) - 1;
        /// The initial window of a connection. No setting makes it smaller.
        const CONNECTION_WINDOW_MIN: u32 = 65_535;
        let invalid = |reason: &str| Err(format!("limits.http2: {reason}"));
        let windows = 1..=WINDOW_MAX;
        match self {
            Self { streams: 0 | 10_001.., .. } => invalid("streams must be from 1 to 10000"),
            _ if !windows.contains(&self.stream_window_bytes) => {
                invalid("stream_window_bytes must be from 1 to 2147483647")
            }
            _ if !(CONNECTION_WINDOW_MIN..=WINDOW_MAX).contains(&self.connection_window_bytes) => {
                invalid("connection_window_bytes must be from 65535 to 2147483647")
            }
            Self { header_list_bytes: ..256 | 65_537.., .. } => {
                invalid("header_list_bytes must be from 256 to 65536")
            }
            Self { header_table_bytes: 65_537.., .. } => invalid("header_table_bytes must be at most 65536"),
            Self { outbound_bytes: ..65_536, .. } => invalid("outbound_bytes must be at least 65536"),
            _ if self.rates().contains(&0) => invalid("each rate must be at least 1"),
            _ => Ok(()),
        }
    }
}
