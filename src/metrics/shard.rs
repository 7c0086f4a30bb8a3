//! The counters of one shard.

use std::sync::atomic::{
    AtomicU64,
    Ordering::{Relaxed, SeqCst},
};

use super::{
    activity::Activity,
    counter::{Counter, LabeledCounter},
    labels::{DispatchKind, HttpVersion, TlsProtocol, TlsVersion},
};

/// Numbers of TLS sessions by version, ALPN protocol, and whether they resumed an earlier session.
#[derive(Debug, Default)]
pub(crate) struct TlsSessions([[[Counter; 2]; 3]; 2]);

impl TlsSessions {
    pub(crate) fn of(&self, version: TlsVersion, protocol: TlsProtocol, resumed: bool) -> &Counter {
        &self.0[version as usize][protocol as usize][usize::from(resumed)]
    }

    /// Returns every counter with its label values: version, protocol and whether the session was resumed.
    pub(crate) fn all(&self) -> impl Iterator<Item = ([&'static str; 3], &Counter)> {
        const LABELS: ([&str; 2], [&str; 3], [&str; 2]) =
            (["1.2", "1.3"], ["h2", "http/1.1", "none"], ["no", "yes"]);
        self.0.iter().zip(LABELS.0).flat_map(|(protocols, version)| {
            protocols.iter().zip(LABELS.1).flat_map(move |(resumed, protocol)| {
                resumed
                    .iter()
                    .zip(LABELS.2)
                    .map(move |(counter, resumed)| ([version, protocol, resumed], counter))
            })
        })
    }
}

/// The WebSocket counters of one shard.
#[cfg_attr(not(feature = "ws"), allow(dead_code, reason = "nothing is counted without WebSocket"))]
#[derive(Debug, Default)]
pub(crate) struct WsCounters {
    /// Open WebSockets.
    pub(crate) open: Counter,
    received_messages: Counter,
    received_bytes: Counter,
    sent_messages: Counter,
    sent_bytes: Counter,
    /// Messages that `try_send` refused because the client's queue was full.
    pub(crate) full: Counter,
    /// Closes that the peer started, by close code.
    pub(crate) closes_by_peer: LabeledCounter,
    /// Closes that the server started, by close code.
    pub(crate) closes_by_server: LabeledCounter,
    /// WebSockets whose connection ended without a close frame.
    pub(crate) lost: Counter,
    /// Refused handshakes, by cause.
    pub(crate) refused: LabeledCounter,
}

#[cfg_attr(not(feature = "ws"), allow(dead_code, reason = "nothing is counted without WebSocket"))]
impl WsCounters {
    /// Counts a received message.
    pub(crate) fn received(&self, bytes: usize) {
        self.received_messages.add(1);
        self.received_bytes.add(bytes as u64);
    }

    /// Counts a sent message.
    pub(crate) fn sent(&self, bytes: usize) {
        self.sent_messages.add(1);
        self.sent_bytes.add(bytes as u64);
    }

    /// Returns the direction label, the number of messages and the payload bytes, for both directions.
    pub(super) fn traffic(&self) -> [(&'static str, u64, u64); 2] {
        let received = (self.received_messages.value(), self.received_bytes.value());
        let sent = (self.sent_messages.value(), self.sent_bytes.value());
        [("in", received.0, received.1), ("out", sent.0, sent.1)]
    }
}

/// The counters of one shard. The alignment puts them on cache lines of their own.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct ShardCounters {
    pub(crate) activity: Activity,
    pub(crate) accepted: Counter,
    pub(crate) closed: Counter,
    /// Connections with a request in progress, without those whose request was answered at once.
    pub(crate) active: Counter,
    pub(crate) received_bytes: Counter,
    pub(crate) sent_bytes: Counter,
    /// Open HTTP/2 connections.
    pub(crate) h2_connections: Counter,
    /// HTTP/2 streams whose reply is not complete.
    pub(crate) h2_streams: Counter,
    /// Connections that were promoted by their first async request.
    pub(crate) promoted: Counter,
    dispatched: [[Counter; DispatchKind::ALL.len()]; HttpVersion::ALL.len()],
    /// Closed connections, by cause.
    pub(crate) closes: LabeledCounter,
    /// Requests and connections that a timer ended, by timer.
    pub(crate) timeouts: LabeledCounter,
    /// Protocol violations by peers, by kind.
    pub(crate) protocol_errors: LabeledCounter,
    /// Valid requests that were answered with 503 because of overload, by cause.
    pub(crate) refused: LabeledCounter,
    /// Requests whose credentials were refused or do not include the topic, by cause.
    pub(crate) auth_refused: LabeledCounter,
    /// Streams that ended with the identity of their client, by cause.
    pub(crate) auth_stream_ends: LabeledCounter,
    /// Disconnected subjects, by result.
    pub(crate) auth_disconnects: LabeledCounter,
    /// Tokens that were verified.
    pub(crate) auth_verified: Counter,
    /// Tokens that the cache has.
    pub(crate) auth_cached: Counter,
    /// Caught panics, by the code that panicked.
    pub(crate) panics: LabeledCounter,
    /// Failed accepts, by error.
    pub(crate) accept_errors: LabeledCounter,
    /// HTTP/2 streams that ended early, by cause.
    pub(crate) h2_resets: LabeledCounter,
    /// HTTP/2 connections that the server ended, by cause.
    pub(crate) h2_goaways: LabeledCounter,
    /// Events of handlers' own streams that found the queue full, by the policy applied.
    pub(crate) sse_overflows: LabeledCounter,
    /// Handlers' own streams that ended because the server drained.
    pub(crate) sse_drained: Counter,
    /// Failures of the replay stores of handlers' own streams, by operation.
    pub(crate) replay_errors: LabeledCounter,
    /// Jobs of static files on the pool, by kind.
    pub(crate) file_jobs: LabeledCounter,
    /// Static files that could not be served or sent to their end, by cause.
    pub(crate) file_errors: LabeledCounter,
    /// TLS handshakes that ended or were refused, by result.
    pub(crate) handshakes: LabeledCounter,
    /// TLS handshakes in progress.
    pub(crate) handshaking: Counter,
    pub(crate) tls_sessions: TlsSessions,
    pub(crate) ws: WsCounters,
    /// Connections that this shard accepted and handed over to another.
    pub(crate) handed_over: Counter,
    /// Connections that other shards are handing over to this one. Written by all shards.
    handovers: AtomicU64,
}

impl ShardCounters {
    /// Returns the number of open connections.
    pub(crate) fn open(&self) -> u64 {
        self.accepted.value().saturating_sub(self.closed.value())
    }

    /// Returns the number of open connections, plus those that other shards are handing over to this one.
    pub(crate) fn load(&self) -> usize {
        (self.open() + self.handovers.load(Relaxed)) as usize
    }

    /// Counts a connection that another shard is about to hand over.
    pub(crate) fn begin_handover(&self) {
        self.handovers.fetch_add(1, SeqCst);
    }

    /// Ends the handover of a connection, because it has arrived or will not be handed over.
    pub(crate) fn end_handover(&self) {
        self.handovers.fetch_sub(1, SeqCst);
    }

    /// Returns the number of connections that other shards are handing over.
    pub(crate) fn handovers(&self) -> u64 {
        self.handovers.load(SeqCst)
    }

    /// Returns the counter of requests of this version that were served in this way.
    pub(crate) fn dispatched(&self, version: HttpVersion, kind: DispatchKind) -> &Counter {
        &self.dispatched[version as usize][kind as usize]
    }

    /// Returns the number of all requests.
    pub(crate) fn dispatched_total(&self) -> u64 {
        self.dispatched.iter().flatten().map(Counter::value).sum()
    }
}
