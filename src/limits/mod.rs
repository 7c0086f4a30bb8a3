//! Limits on the sizes, counts and durations of what peers do; must not know the code that applies them.
//!
//! The documentation of a field states its unit, its default, and the effect of reaching the limit. Where it
//! is not obvious, it also states the cost of a larger value. `None` in [`Timeouts`] switches a timer off,
//! and the documentation states the consequence.

mod http2;
#[cfg(feature = "serde")]
mod text;

use std::time::Duration;

pub use http2::Http2Limits;

/// Limits on sizes and counts.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize), serde(deny_unknown_fields, default))]
#[non_exhaustive]
pub struct Limits {
    /// Maximum length of a request line, in bytes; over HTTP/2 that of the request target. Default 8 KiB. A
    /// longer one is answered with `414`.
    pub request_line_bytes: usize,
    /// Maximum length of a request head (request line and header fields), in bytes. Default 32 KiB, as much
    /// as common proxies forward, at most 64 KiB. A longer one is answered with `431`. Each connection may
    /// hold this much received data.
    pub head_bytes: usize,
    /// Maximum number of header fields in a head. Default 100. More are answered with `431`. It bounds the
    /// work for a head.
    pub headers: usize,
    /// Maximum length of a body's trailer section, in bytes. Default 4 KiB.
    ///
    /// A longer one is answered with `431`. A handler that reads the body as a stream gets an error instead.
    /// The same applies to more trailer fields than `headers`.
    pub trailer_bytes: usize,
    /// Maximum number of bytes of chunk extensions in a body. Default 1 KiB. More are answered with `400`.
    /// The server ignores the content of chunk extensions.
    pub chunk_extension_bytes: usize,
    /// Maximum size of a body that is collected before its handler runs, in bytes. Default 1 MiB. A larger
    /// one is answered with `413`. A route may have its own limit. A streaming route has none.
    pub body_bytes: usize,
    /// Maximum number of bytes of a streamed body that wait for the handler. Default 64 KiB. At the limit,
    /// the server stops reading the body. Each piece counts 128 bytes more than its content, so that tiny
    /// chunks are bounded too. The body of an async route's reply may run ahead of its connection as far;
    /// over HTTP/2 at most 16 KiB.
    pub body_window_bytes: usize,
    /// Maximum number of requests of a connection in progress at the same time (pipelining). Default 32. At
    /// the limit, the server stops reading.
    pub pipelined: usize,
    /// Maximum number of bytes of replies that wait for a peer. Default 256 KiB. At the limit, the server
    /// does not read the next requests.
    pub outbox_bytes: usize,
    /// Maximum number of bytes of a rejected or unread body that are read and discarded to keep the
    /// connection. Default 256 KiB. At the limit, the connection ends with the reply, or over HTTP/2 the
    /// stream is reset.
    ///
    /// After the reply of a connection that ends as many bytes are discarded, and more on
    /// [`lingering_connections`](Self::lingering_connections).
    pub discard_bytes: usize,
    /// Maximum number of connections of each shard that discard more than
    /// [`discard_bytes`](Self::discard_bytes) after their last reply. Default 256.
    ///
    /// A client that sends its whole body before it reads gets an early reply, such as `413`, only if the
    /// rest is read. The rate and the time are limited: see [`Timeouts::linger_max`]. On further connections
    /// such a client may see a reset instead of the reply.
    pub lingering_connections: usize,
    /// Maximum number of TLS handshakes in progress on one shard. Default 1024.
    ///
    /// A handshake counts from the client's first byte. At the limit, a new one takes the place of the one
    /// whose client has been silent for longest, and is refused if no client is silent. Each handshake holds
    /// up to 80 KiB of received bytes, and processing it takes time of the shard.
    pub tls_handshakes: usize,
    /// Maximum number of TLS handshakes of one client address in progress on one shard. Default 256.
    ///
    /// At the limit, a new one takes the place of another one of this address. All addresses of an IPv6
    /// network (64 bits) count as one. Raise it for a proxy that hides its clients' addresses and does not
    /// send a PROXY preamble.
    pub tls_handshakes_per_address: usize,
    /// Maximum number of connections of the server. Default `None`: 0.8 of the limit of open files.
    ///
    /// The number is divided among the shards and rounded up. From nine tenths on, the server closes idle
    /// connections, those first that have been idle longest, then those that have had no request for 10 s. At
    /// the limit it stops accepting, new connections wait in the kernel's backlog, and a connection without a
    /// request is closed after 1 s.
    ///
    /// Event streams and WebSockets use at most nine tenths: further ones are answered with `503`. The rest
    /// is for requests that end soon, such as those for health and metrics.
    pub connections: Option<usize>,
    /// Limits of HTTP/2 connections.
    pub http2: Http2Limits,
    /// Maximum size of a WebSocket message from a client, in bytes after decompression. Default 1 MiB. A
    /// larger one closes the WebSocket with code 1009. A compressed message may need twice as much memory. A
    /// route may have its own limit.
    pub ws_message_bytes: usize,
    /// Maximum number of bytes of messages that wait for a WebSocket client. Default 256 KiB.
    ///
    /// At the limit, `send` waits and `try_send` refuses the message. A message of any size is accepted when
    /// no other waits. A route may have its own limit.
    pub ws_outbound_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            request_line_bytes: 8 * 1024,
            head_bytes: 32 * 1024,
            headers: 100,
            trailer_bytes: 4 * 1024,
            chunk_extension_bytes: 1024,
            body_bytes: 1024 * 1024,
            body_window_bytes: 64 * 1024,
            pipelined: 32,
            outbox_bytes: 256 * 1024,
            discard_bytes: 256 * 1024,
            lingering_connections: 256,
            tls_handshakes: 1024,
            tls_handshakes_per_address: 256,
            connections: None,
            http2: Http2Limits::default(),
            ws_message_bytes: 1024 * 1024,
            ws_outbound_bytes: 256 * 1024,
        }
    }
}

impl Limits {
    /// Checks that each limit is valid and that they are consistent.
    ///
    /// # Errors
    ///
    /// Fails at the first invalid limit. The message names the limit and its valid range.
    pub fn check(&self) -> Result<(), String> {
        let invalid = |reason: &str| Err(format!("limits: {reason}"));
        match self {
            Self { head_bytes: ..256 | 65_537.., .. } => invalid("head_bytes must be from 256 to 65536"),
            _ if self.request_line_bytes >= self.head_bytes => {
                invalid("request_line_bytes must be below head_bytes")
            }
            Self { request_line_bytes: ..64, .. } => invalid("request_line_bytes must be at least 64"),
            Self { headers: 0 | 1025.., .. } => invalid("headers must be from 1 to 1024"),
            Self { pipelined: 0 | 10_001.., .. } => invalid("pipelined must be from 1 to 10000"),
            Self { body_window_bytes: 0, .. } => invalid("body_window_bytes must be at least 1"),
            Self { outbox_bytes: 0, .. } => invalid("outbox_bytes must be at least 1"),
            Self { tls_handshakes: 0, .. } => invalid("tls_handshakes must be at least 1"),
            Self { tls_handshakes_per_address: 0, .. } => {
                invalid("tls_handshakes_per_address must be at least 1")
            }
            Self { ws_message_bytes: 0, .. } => invalid("ws_message_bytes must be at least 1"),
            Self { ws_outbound_bytes: 0, .. } => invalid("ws_outbound_bytes must be at least 1"),
            Self { connections: Some(0), .. } => invalid("connections must be at least 1"),
            _ => self.http2.check(),
        }
    }
}

/// Limits on durations.
///
/// A time limit is applied only after everything was read that the peer has sent until then. It does not run
/// while the process is stopped or gets no core for longer than a tenth of a second.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize), serde(deny_unknown_fields, default))]
#[non_exhaustive]
pub struct Timeouts {
    /// Time from the first byte of a request to the end of its head. Default 10 s. Then the request is
    /// answered with `408`. Further bytes do not extend the time.
    ///
    /// It also bounds a PROXY preamble without TLS, and over HTTP/2 the preface and each frame and header
    /// block. After that time the connection ends.
    ///
    /// `None`: a peer may hold a connection with an incomplete head for ever.
    #[cfg_attr(feature = "serde", serde(deserialize_with = "text::duration_or_off"))]
    pub header: Option<Duration>,
    /// Time from the start of a connection to the end of its TLS handshake, including a PROXY preamble.
    /// Default 5 s. Then the connection closes. If the handshake has to wait for time of the shard, the time
    /// starts anew after the wait.
    ///
    /// `None`: a client may hold a connection and the memory of a handshake for ever.
    #[cfg_attr(feature = "serde", serde(deserialize_with = "text::duration_or_off"))]
    pub tls_handshake: Option<Duration>,
    /// Maximum time without a byte within a body. Default 30 s. Then the request is answered with `408`; a
    /// handler that reads the body as a stream gets an error instead.
    ///
    /// `None`: a peer that stops sending its body holds the request for ever.
    #[cfg_attr(feature = "serde", serde(deserialize_with = "text::duration_or_off"))]
    pub body_idle: Option<Duration>,
    /// Minimum rate of a body, in bytes per second. Default 500. A slower body has the same effect as
    /// [`body_idle`](Self::body_idle).
    ///
    /// It is the average over the whole body and applies after [`body_grace`](Self::body_grace). 0 switches
    /// it off: each byte of a slow body may then take as long as `body_idle`.
    pub body_rate: u32,
    /// Time during which a body may be slower than [`body_rate`](Self::body_rate). Default 10 s.
    #[cfg_attr(feature = "serde", serde(deserialize_with = "text::duration"))]
    pub body_grace: Duration,
    /// Time that a connection may wait for its next request. Default 75 s. Then the connection closes.
    ///
    /// It must be longer than the idle time of whatever keeps connections to this server open. Common load
    /// balancers, and upstream pools of NGINX, use a connection again for up to 60 s: a server that closes it
    /// at the same moment loses the request.
    ///
    /// `None`: idle connections stay open until their peer closes them.
    #[cfg_attr(feature = "serde", serde(deserialize_with = "text::duration_or_off"))]
    pub keep_alive: Option<Duration>,
    /// Maximum age of a connection. Default 1 h. The next reply closes the connection. The age is shortened
    /// by up to a tenth, differently for each connection, so that they do not all end at once.
    ///
    /// `None`: connections stay where they are when new servers are added behind a load balancer.
    #[cfg_attr(feature = "serde", serde(deserialize_with = "text::duration_or_off"))]
    pub age: Option<Duration>,
    /// Time that queued replies may wait while the peer takes no byte. Default 30 s. Then the connection is
    /// reset, or over HTTP/2 the stream that waits for the peer's flow-control window.
    ///
    /// `None`: a peer that never reads holds its replies for ever.
    #[cfg_attr(feature = "serde", serde(deserialize_with = "text::duration_or_off"))]
    pub write_stall: Option<Duration>,
    /// Time that a finished connection waits for the peer's FIN, or for further bytes to discard. Default
    /// 2 s.
    #[cfg_attr(feature = "serde", serde(deserialize_with = "text::duration"))]
    pub linger: Duration,
    /// Maximum time that a finished connection discards bytes, which must also arrive at
    /// [`body_rate`](Self::body_rate). Default 30 s. While the server drains, the maximum is
    /// [`linger`](Self::linger).
    #[cfg_attr(feature = "serde", serde(deserialize_with = "text::duration"))]
    pub linger_max: Duration,
    /// Time from the start of an async route's job to its response head, including the wait for a worker.
    /// Default 30 s. Then the request is answered with `503`.
    ///
    /// `None`: a job may wait and run for ever.
    #[cfg_attr(feature = "serde", serde(deserialize_with = "text::duration_or_off"))]
    pub job: Option<Duration>,
    /// Time that a streamed reply may wait for the next byte from its handler. Then the connection, or over
    /// HTTP/2 the stream, ends without completing the reply. Default `None`: there is no limit.
    #[cfg_attr(feature = "serde", serde(deserialize_with = "text::duration_or_off"))]
    pub stream_idle: Option<Duration>,
    /// Idle time after which the server sends a ping to a WebSocket client. Default 30 s. A route may have
    /// its own time.
    ///
    /// `None`: the server notices that a client is gone only when it sends something.
    #[cfg_attr(feature = "serde", serde(deserialize_with = "text::duration_or_off"))]
    pub ws_ping: Option<Duration>,
    /// Time that a WebSocket client may take to answer a ping. Default 30 s. Then the connection closes. A
    /// route may have its own time.
    ///
    /// `None`: there is no limit.
    #[cfg_attr(feature = "serde", serde(deserialize_with = "text::duration_or_off"))]
    pub ws_pong: Option<Duration>,
    /// Time that closing a WebSocket may take: until the client has answered and the handler has returned.
    /// Default 5 s. Then the connection closes. A route may have its own time.
    #[cfg_attr(feature = "serde", serde(deserialize_with = "text::duration"))]
    pub ws_close: Duration,
    /// Time that an inline handler may block its shard. Default 10 ms. A longer one is logged and counted in
    /// `windlass_inline_stalls_total`.
    #[cfg_attr(feature = "serde", serde(deserialize_with = "text::duration"))]
    pub inline_stall: Duration,
    /// Time after which a shard, or an async worker of the pool, that does not return from a piece of work
    /// counts as stuck. Default 10 s. It is logged with the route that runs there and counted in
    /// `windlass_stuck_threads_total`. A blocking thread has [`job`](Self::job) in addition.
    ///
    /// `None`: a lock that is held across an await, or an endless loop, is not reported.
    #[cfg_attr(feature = "serde", serde(deserialize_with = "text::duration_or_off"))]
    pub stuck: Option<Duration>,
    /// Time after which a stuck shard or async worker makes the health check fail, so that a supervisor
    /// restarts the process. Default 30 s.
    ///
    /// `None`: the health check never fails for this reason.
    #[cfg_attr(feature = "serde", serde(deserialize_with = "text::duration_or_off"))]
    pub stuck_unhealthy: Option<Duration>,
    /// Lag of a shard from which new async requests, event streams and WebSockets are answered with `503`.
    /// Default 50 ms.
    ///
    /// The lag is the shortest time that work waited for the shard during the last half second. `None`: such
    /// requests are accepted while the pool has room, even if their replies come late.
    #[cfg_attr(feature = "serde", serde(deserialize_with = "text::duration_or_off"))]
    pub shed_async: Option<Duration>,
    /// Lag of a shard from which every new request is answered with `503`. Default 200 ms.
    ///
    /// Routes that are [never shed](crate::Route::never_shed), such as metrics and health, are the exception.
    /// `None`: all requests are accepted.
    #[cfg_attr(feature = "serde", serde(deserialize_with = "text::duration_or_off"))]
    pub shed_all: Option<Duration>,
    /// Time that a draining server waits for requests in progress. Default 30 s. Then the remaining
    /// connections are reset.
    #[cfg_attr(feature = "serde", serde(deserialize_with = "text::duration"))]
    pub grace: Duration,
    /// Time between the moment at which a draining server stops being ready and the one at which it stops
    /// accepting. Default 0.
    ///
    /// Meanwhile it serves everything as before. Set it to the time that load balancers need to notice that
    /// the readiness check fails. It comes before [`grace`](Self::grace).
    #[cfg_attr(feature = "serde", serde(deserialize_with = "text::duration"))]
    pub drain_delay: Duration,
    /// Time that a draining server waits for a peer that takes no byte, or sends none of the body that it has
    /// begun. Default 5 s. Then the connection is cut and counted as `peer_stalled` in the report.
    ///
    /// It begins with the drain, and again with each progress. `None`: such a peer delays the end for up to
    /// [`grace`](Self::grace).
    #[cfg_attr(feature = "serde", serde(deserialize_with = "text::duration_or_off"))]
    pub drain_stall: Option<Duration>,
    /// Time that a connection stays open for another request after a reply while the server drains. Default
    /// 100 ms. The next request of a busy client is often already on its way.
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
            keep_alive: Some(Duration::from_secs(75)),
            age: Some(Duration::from_secs(3600)),
            write_stall: Some(Duration::from_secs(30)),
            linger: Duration::from_secs(2),
            linger_max: Duration::from_secs(30),
            job: Some(Duration::from_secs(30)),
            stream_idle: None,
            ws_ping: Some(Duration::from_secs(30)),
            ws_pong: Some(Duration::from_secs(30)),
            ws_close: Duration::from_secs(5),
            inline_stall: Duration::from_millis(10),
            stuck: Some(Duration::from_secs(10)),
            stuck_unhealthy: Some(Duration::from_secs(30)),
            shed_async: Some(Duration::from_millis(50)),
            shed_all: Some(Duration::from_millis(200)),
            grace: Duration::from_secs(30),
            drain_delay: Duration::ZERO,
            drain_stall: Some(Duration::from_secs(5)),
            drain_idle: Duration::from_millis(100),
        }
    }
}
