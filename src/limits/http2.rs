//! Bounds on what one HTTP/2 connection can make the server hold and do.

/// Bounds on HTTP/2 connections, each. [`Limits`](super::Limits) hold for their requests as well, save those on the
/// bytes of a head, in whose place is `header_list_bytes`; on what is pipelined, `streams`; on the outbox,
/// `outbound_bytes`; and on chunk extensions, which there are none of.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize), serde(deny_unknown_fields, default))]
#[non_exhaustive]
pub struct Http2Limits {
    /// Streams a peer may have open. Default 100. More: `REFUSED_STREAM`, which a client may retry. Each costs what
    /// its request and its reply hold.
    pub streams: u32,
    /// Bytes of a request's body that may be on their way to us on one stream. Default 64 KiB.
    pub stream_window_bytes: u32,
    /// Bytes of all requests' bodies that may be on their way to us. Default 1 MiB; at least 64 KiB, which no server
    /// can go below.
    pub connection_window_bytes: u32,
    /// Largest decoded header list, bytes by RFC 9113 §6.5.2 (each field counts 32 more). Default 16 KiB. Larger:
    /// `431`; four times as large: the connection ends.
    pub header_list_bytes: u32,
    /// Memory of the peer's header compression, bytes. Default 4 KiB.
    pub header_table_bytes: u32,
    /// Requests that the peer cancels before they were looked at. Default 20. More at once: the connection ends.
    pub pending_resets: usize,
    /// Streams that the peer makes us reset by breaking the protocol, over the connection's life. Default 128. More:
    /// the connection ends.
    pub local_resets: usize,
    /// Bytes of one streamed reply that wait for the peer's window or for the others' turn. Default 64 KiB. Then its
    /// producer waits.
    pub stream_buffer_bytes: usize,
    /// Bytes that wait for the peer to read, of all streams. Default 1 MiB. Then nothing more is read or written.
    /// Beside them each streamed reply may have `stream_buffer_bytes` waiting, if its peer has opened its windows and
    /// does not read.
    pub outbound_bytes: usize,
    /// Streams a peer may reset, a second; four seconds' worth at once. Default 100. More: the connection ends with
    /// `ENHANCE_YOUR_CALM`, as for each rate that follows.
    pub resets_per_second: u32,
    /// SETTINGS frames a second. Default 10.
    pub settings_per_second: u32,
    /// PING frames a second, and one for each 64 bytes that were sent. Default 100.
    pub pings_per_second: u32,
    /// DATA frames a second that carry no data and do not end their stream. Default 100.
    pub empty_data_per_second: u32,
    /// WINDOW_UPDATE frames a second, and one for each 64 bytes that were sent. Default 1000.
    pub window_updates_per_second: u32,
    /// PRIORITY frames, and those of no known type, a second. Default 1000.
    pub other_frames_per_second: u32,
}

impl Default for Http2Limits {
    fn default() -> Self {
        Self {
            streams: 100,
            stream_window_bytes: 64 * 1024,
            connection_window_bytes: 1024 * 1024,
            header_list_bytes: 16 * 1024,
            header_table_bytes: 4 * 1024,
            pending_resets: 20,
            local_resets: 128,
            stream_buffer_bytes: 64 * 1024,
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
    /// Returns the rates in the order of [`Kind::ALL`](crate::proto::h2::meter::Kind::ALL).
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

    /// Says whether the limits fit together; else names the one that does not.
    pub(super) fn check(&self) -> Result<(), String> {
        /// The largest window there is (RFC 9113 §6.9.1).
        const WINDOW_MAX: u32 = (1 << 31) - 1;
        /// What a connection's window starts with: no setting makes it smaller.
        const CONNECTION_WINDOW_MIN: u32 = 65_535;
        let wrong = |what: &str| Err(format!("limits.http2: {what}"));
        let windows = 1..=WINDOW_MAX;
        match self {
            Self { streams: 0 | 10_001.., .. } => wrong("streams must be from 1 to 10000"),
            _ if !windows.contains(&self.stream_window_bytes) => {
                wrong("stream_window_bytes must be from 1 to 2147483647")
            }
            _ if !(CONNECTION_WINDOW_MIN..=WINDOW_MAX).contains(&self.connection_window_bytes) => {
                wrong("connection_window_bytes must be from 65535 to 2147483647")
            }
            Self { header_list_bytes: ..256 | 65_537.., .. } => {
                wrong("header_list_bytes must be from 256 to 65536")
            }
            Self { header_table_bytes: 65_537.., .. } => wrong("header_table_bytes must be at most 65536"),
            Self { stream_buffer_bytes: 0 | 0x8000_0000.., .. } => {
                wrong("stream_buffer_bytes must be from 1 to 2147483647")
            }
            Self { outbound_bytes: ..65_536, .. } => wrong("outbound_bytes must be 65536 at least"),
            _ if self.rates().contains(&0) => wrong("each rate must be 1 at least"),
            _ => Ok(()),
        }
    }
}
