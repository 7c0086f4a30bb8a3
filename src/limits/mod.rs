//! Bounds on everything a peer can make the server hold, and on how long it may take.
//!
//! Each field says its unit, its default, why it exists and what a larger value costs. `None` in [`Timeouts`]
//! switches a timer off; the field says what that costs.

mod http2;
#[cfg(feature = "serde")]
mod text;

use std::time::Duration;

pub use http2::Http2Limits;

/// Bounds on sizes and counts.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize), serde(deny_unknown_fields, default))]
#[non_exhaustive]
pub struct Limits {
    /// Longest request line, bytes. Default 8 KiB. Longer: `414`. Costs receive memory per connection.
    pub request_line_bytes: usize,
    /// Longest request head (request line and headers), bytes. Default 16 KiB, at most 64 KiB. Longer: `431`.
    pub head_bytes: usize,
    /// Most header fields in one head. Default 100. More: `431`. Bounds the work per head.
    pub headers: usize,
    /// Largest trailer section of a body, bytes. Default 4 KiB. Larger: `431`, or an error for the handler that reads
    /// the body as it comes. So it is with more fields than `headers`.
    pub trailer_bytes: usize,
    /// Most bytes of chunk extensions in one body. Default 1 KiB. More: `400`. They carry nothing we use.
    pub chunk_extension_bytes: usize,
    /// Largest body that is collected before a handler runs, bytes. Default 1 MiB. Larger: `413`. A route may set
    /// its own; a streaming route has none.
    pub body_bytes: usize,
    /// Bytes of a streamed body that may wait for its handler. Default 64 KiB. Then reading pauses. Each piece
    /// counts 128 more than its content, so that tiny ones are bounded too.
    pub body_window_bytes: usize,
    /// Requests of one connection that may be in flight at once (pipelining). Default 32. Then reading pauses.
    pub pipelined: usize,
    /// Bytes of replies that may wait for one peer before its next requests are read. Default 256 KiB.
    pub outbox_bytes: usize,
    /// Bytes of a rejected or unread body that are read and thrown away. Default 256 KiB. Then the connection
    /// closes; a peer that still writes may see a reset instead of the answer.
    pub discard_bytes: usize,
    /// TLS handshakes of one shard that may be in progress at once, counted from a client's first byte. Default
    /// 1024. At the limit the connection that would begin one more is closed. Each holds up to 80 KiB of its client's
    /// words, and a shard's time when it goes on.
    pub tls_handshakes: usize,
    /// Connections of the whole server, rounded up to as many on each shard. Default `None`: 0.8 of the open-file limit. From
    /// nine tenths on, connections that wait for their next request end, those that have waited longest first. At the limit the
    /// server stops accepting and the kernel's backlog holds the rest.
    pub connections: Option<usize>,
    /// What one HTTP/2 connection may make the server hold and do.
    pub http2: Http2Limits,
    /// Largest message of a WebSocket client, bytes, after inflation. Default 1 MiB. Larger: close code 1009. Costs up
    /// to twice as much memory for a client that sends a compressed one. A route may set its own.
    pub ws_message_bytes: usize,
    /// Bytes of messages that may wait for one WebSocket client. Default 256 KiB. Then sending waits, or is refused
    /// where it must not wait. One message of any size fits when nothing waits. A route may set its own.
    pub ws_outbound_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            request_line_bytes: 8 * 1024,
            head_bytes: 16 * 1024,
            headers: 100,
            trailer_bytes: 4 * 1024,
            chunk_extension_bytes: 1024,
            body_bytes: 1024 * 1024,
            body_window_bytes: 64 * 1024,
            pipelined: 32,
            outbox_bytes: 256 * 1024,
            discard_bytes: 256 * 1024,
            tls_handshakes: 1024,
            connections: None,
            http2: Http2Limits::default(),
            ws_message_bytes: 1024 * 1024,
            ws_outbound_bytes: 256 * 1024,
        }
    }
}

impl Limits {
    /// Says whether the limits fit together.
    ///
    /// # Errors
    ///
    /// Names the limit that does not, and what it may be.
    pub fn check(&self) -> Result<(), String> {
        let wrong = |what: &str| Err(format!("limits: {what}"));
        match self {
            Self { head_bytes: ..256 | 65_537.., .. } => wrong("head_bytes must be from 256 to 65536"),
            _ if self.request_line_bytes >= self.head_bytes => {
                wrong("request_line_bytes must be below head_bytes")
            }
            Self { request_line_bytes: ..64, .. } => wrong("request_line_bytes must be 64 at least"),
            Self { headers: 0 | 1025.., .. } => wrong("headers must be from 1 to 1024"),
            Self { pipelined: 0 | 10_001.., .. } => wrong("pipelined must be from 1 to 10000"),
            Self { body_window_bytes: 0, .. } => wrong("body_window_bytes must be 1 at least"),
            Self { outbox_bytes: 0, .. } => wrong("outbox_bytes must be 1 at least"),
            Self { tls_handshakes: 0, .. } => wrong("tls_handshakes must be 1 at least"),
            Self { ws_message_bytes: 0, .. } => wrong("ws_message_bytes must be 1 at least"),
            Self { ws_outbound_bytes: 0, .. } => wrong("ws_outbound_bytes must be 1 at least"),
            Self { connections: Some(0), .. } => wrong("connections must be 1 at least"),
            _ => self.http2.check(),
        }
    }
}

/// Bounds on durations.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize), serde(deny_unknown_fields, default))]
#[non_exhaustive]
pub struct Timeouts {
    /// From the first byte of a request to the end of its head; a drip does not extend it. Default 10 s. Then
    /// `408`. `None`: a peer may hold a connection with a partial head for ever.
    #[cfg_attr(feature = "serde", serde(deserialize_with = "text::duration_or_off"))]
    pub header: Option<Duration>,
    /// From the start of a connection to the end of its TLS handshake, a PROXY preamble included. Default 5 s. Then
    /// it is closed. `None`: a client may hold a connection and a handshake's memory for ever.
    #[cfg_attr(feature = "serde", serde(deserialize_with = "text::duration_or_off"))]
    pub tls_handshake: Option<Duration>,
    /// Longest silence within a body. Default 30 s. Then `408`. `None`: a silent body holds its request for ever.
    #[cfg_attr(feature = "serde", serde(deserialize_with = "text::duration_or_off"))]
    pub body_idle: Option<Duration>,
    /// Slowest body, bytes a second, measured over the whole body after [`body_grace`](Self::body_grace). Default
    /// 500. Then `408`. 0 switches it off: a dripped body may last as long as `body_idle` lets every byte wait.
    pub body_rate: u32,
    /// How long a body may be slower than [`body_rate`](Self::body_rate). Default 10 s.
    #[cfg_attr(feature = "serde", serde(deserialize_with = "text::duration"))]
    pub body_grace: Duration,
    /// How long a connection may wait for its next request. Default 60 s. Then it closes. `None`: idle
    /// connections stay until their peer leaves.
    #[cfg_attr(feature = "serde", serde(deserialize_with = "text::duration_or_off"))]
    pub keep_alive: Option<Duration>,
    /// How old a connection may get, less up to a tenth of jitter. Default 1 h. The reply after that closes it.
    /// `None`: load never moves to new servers by itself.
    #[cfg_attr(feature = "serde", serde(deserialize_with = "text::duration_or_off"))]
    pub age: Option<Duration>,
    /// How long queued replies may wait without the peer taking a byte. Default 30 s. Then the connection closes.
    /// `None`: a peer that never reads holds its replies for ever.
    #[cfg_attr(feature = "serde", serde(deserialize_with = "text::duration_or_off"))]
    pub write_stall: Option<Duration>,
    /// How long a finished connection waits for the peer's FIN while discarding. Default 2 s.
    #[cfg_attr(feature = "serde", serde(deserialize_with = "text::duration"))]
    pub linger: Duration,
    /// How long an async route's job may take to its response head, queueing included. Default 30 s. Then `503`.
    /// `None`: a job may wait and run for ever.
    #[cfg_attr(feature = "serde", serde(deserialize_with = "text::duration_or_off"))]
    pub job: Option<Duration>,
    /// How long a streamed reply may go without its handler giving a byte. Default `None`: as long as the
    /// handler likes.
    #[cfg_attr(feature = "serde", serde(deserialize_with = "text::duration_or_off"))]
    pub stream_idle: Option<Duration>,
    /// After which silence a WebSocket's client is asked with a ping whether it is there. Default 30 s. `None`: a client
    /// that is gone without a word is noticed when something is sent to it. A route may set its own.
    #[cfg_attr(feature = "serde", serde(deserialize_with = "text::duration_or_off"))]
    pub ws_ping: Option<Duration>,
    /// How long it may leave that unanswered. Default 30 s. Then the connection is cut. `None`: for ever. A route may
    /// set its own.
    #[cfg_attr(feature = "serde", serde(deserialize_with = "text::duration_or_off"))]
    pub ws_pong: Option<Duration>,
    /// How long closing a WebSocket may take: until the client has answered, and the handler has returned. Default 5 s.
    /// Then the connection ends as it is. A route may set its own.
    #[cfg_attr(feature = "serde", serde(deserialize_with = "text::duration"))]
    pub ws_close: Duration,
    /// How long an inline handler may hold its shard before it is logged and counted
    /// (`windlass_inline_stalls_total`). Default 10 ms.
    #[cfg_attr(feature = "serde", serde(deserialize_with = "text::duration"))]
    pub inline_stall: Duration,
    /// How long work may have had to wait for its shard, all through the last half second, before new async requests,
    /// event streams and WebSockets are answered `503`. Default 50 ms. `None`: they are taken as long as the pool has room,
    /// however late their answers are.
    #[cfg_attr(feature = "serde", serde(deserialize_with = "text::duration_or_off"))]
    pub shed_async: Option<Duration>,
    /// How long, before every new request is answered `503` but those of routes that
    /// [are never shed](crate::Route::never_shed): metrics and health. Default 200 ms. `None`: everybody waits.
    #[cfg_attr(feature = "serde", serde(deserialize_with = "text::duration_or_off"))]
    pub shed_all: Option<Duration>,
    /// How long a draining server waits for running requests. Default 30 s.
    #[cfg_attr(feature = "serde", serde(deserialize_with = "text::duration"))]
    pub grace: Duration,
    /// How long a draining server still answers a connection that was just in use, before it counts as idle.
    /// Default 100 ms: a busy client's next request is on its way when its last reply leaves.
    #[cfg_attr(feature = "serde", serde(deserialize_with = "text::duration"))]
    pub drain_idle: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            header: Some(Duration::from_secs(10)),
            tls_handshake: Some(Duration::from_secs(5)),
            body_idle: Some(Duration::from_secs(30)),
            body_rate: 500,
            body_grace: Duration::from_secs(10),
            keep_alive: Some(Duration::from_secs(60)),
            age: Some(Duration::from_secs(3600)),
            write_stall: Some(Duration::from_secs(30)),
            linger: Duration::from_secs(2),
            job: Some(Duration::from_secs(30)),
            stream_idle: None,
            ws_ping: Some(Duration::from_secs(30)),
            ws_pong: Some(Duration::from_secs(30)),
            ws_close: Duration::from_secs(5),
            inline_stall: Duration::from_millis(10),
            shed_async: Some(Duration::from_millis(50)),
            shed_all: Some(Duration::from_millis(200)),
            grace: Duration::from_secs(30),
            drain_idle: Duration::from_millis(100),
        }
    }
}
