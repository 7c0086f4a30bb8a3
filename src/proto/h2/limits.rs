//! Bounds on the memory and the work that a peer can cause with one connection.

/// Number of kinds of frames that have a rate of their own.
pub(super) const RATED_KINDS: usize = 6;

/// Allowed frames per second of each [kind](super::meter::Kind) but the last, in the order of the kinds. The
/// frames of four seconds may arrive at once.
pub type Rates = [u32; RATED_KINDS];

/// Bounds on one connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Streams that a peer may have open; beyond it REFUSED_STREAM.
    pub streams: u32,
    /// Bytes of a request's body that may come on one stream before the server releases some.
    pub stream_window_bytes: u32,
    /// Bytes of all requests' bodies that may come before the server releases some. A value below 65,535
    /// counts as 65,535.
    pub connection_window_bytes: u32,
    /// Largest decoded header list by RFC 9113 §6.5.2, bytes; beyond it `431`, beyond four times that GOAWAY.
    pub header_list_bytes: usize,
    /// Size of the table of the peer's header compression, bytes.
    pub header_table_bytes: u32,
    /// Most header fields of one request, and most trailer fields; beyond it `431`.
    pub headers: usize,
    /// Longest `:path`, bytes; beyond it `414`.
    pub target_bytes: usize,
    /// Longest trailer section as HTTP/1.1 would write it, bytes; beyond it the request is refused with
    /// `431`.
    pub trailer_bytes: usize,
    /// Maximum number of requests that are cancelled at the instant (`Context::now`) at which they arrived.
    /// One more ends the connection with GOAWAY.
    pub resets_at_once: u32,
    /// Maximum number of streams that are reset at once for faults of the peer. A quarter of it is allowed
    /// per second. One more ends the connection with GOAWAY.
    pub stream_faults: u32,
    /// Allowed frames of the kinds that cost the peer less than this side. One more ends the connection with
    /// GOAWAY.
    pub rates: Rates,
    /// Clients may open a WebSocket by extended CONNECT (RFC 8441).
    pub connect_protocol: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            streams: 100,
            stream_window_bytes: 64 * 1024,
            connection_window_bytes: 1024 * 1024,
            header_list_bytes: 32 * 1024,
            header_table_bytes: 4096,
            headers: 100,
            target_bytes: 8 * 1024,
            trailer_bytes: 4 * 1024,
            resets_at_once: 20,
            stream_faults: 128,
            rates: [100, 10, 100, 100, 1000, 1000],
            connect_protocol: false,
        }
    }
}
