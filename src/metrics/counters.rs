//! The counters one shard writes and everybody may read.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{
            AtomicU64,
            Ordering::{Relaxed, SeqCst},
        },
    },
};

/// A number with one writer: adding is a load and a store, no locked instruction.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, more: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(more), Relaxed);
    }

    pub(crate) fn sub(&self, less: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_sub(less), Relaxed);
    }

    pub(crate) fn value(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Rare events counted by cause; causes are texts of this program, never of a peer.
#[derive(Debug, Default)]
pub(crate) struct LabeledCounter(Mutex<BTreeMap<&'static str, u64>>);

impl LabeledCounter {
    pub(crate) fn add(&self, cause: &'static str) {
        self.add_many(cause, 1);
    }

    pub(crate) fn add_many(&self, cause: &'static str, more: u64) {
        if more > 0 {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(cause).or_default() += more;
        }
    }

    pub(crate) fn value(&self, cause: &str) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(cause).copied().unwrap_or_default()
    }

    pub(crate) fn all(&self) -> Vec<(&'static str, u64)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().map(|(c, n)| (*c, *n)).collect()
    }
}

/// How a request was served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DispatchKind {
    /// A prebuilt response.
    Static,
    /// On the connection's shard.
    Inline,
    /// On the pool.
    Async,
    /// With a stream of events.
    Sse,
    /// By a WebSocket: its handshake succeeded.
    Ws,
}

impl DispatchKind {
    pub(crate) const ALL: [Self; 5] = [Self::Static, Self::Inline, Self::Async, Self::Sse, Self::Ws];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Static => "static",
            Self::Inline => "inline",
            Self::Async => "async",
            Self::Sse => "sse",
            Self::Ws => "ws",
        }
    }
}

/// A version of TLS.
#[cfg_attr(not(feature = "tls"), allow(dead_code, reason = "nothing is agreed on without TLS"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TlsVersion {
    Tls12,
    Tls13,
}

/// What ALPN agreed on.
#[cfg_attr(not(feature = "tls"), allow(dead_code, reason = "nothing is agreed on without TLS"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TlsProtocol {
    H2,
    Http11,
    /// The client named nothing.
    None,
}

/// Sessions by what their handshakes agreed on.
#[derive(Debug, Default)]
pub(crate) struct TlsSessions([[[Counter; 2]; 3]; 2]);

impl TlsSessions {
    pub(crate) fn of(&self, version: TlsVersion, protocol: TlsProtocol, resumed: bool) -> &Counter {
        &self.0[version as usize][protocol as usize][usize::from(resumed)]
    }

    /// Returns every counter with its labels.
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

/// Which protocol a request came by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HttpVersion {
    /// HTTP/1.1 or 1.0.
    H1,
    /// HTTP/2.
    H2,
}

impl HttpVersion {
    pub(crate) const ALL: [Self; 2] = [Self::H1, Self::H2];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::H1 => "h1",
            Self::H2 => "h2",
        }
    }
}

/// What the WebSockets of one shard did.
#[cfg_attr(not(feature = "ws"), allow(dead_code, reason = "nothing is counted without WebSocket"))]
#[derive(Debug, Default)]
pub(crate) struct WsCounters {
    /// Sockets that are open.
    pub(crate) open: Counter,
    received_messages: Counter,
    received_bytes: Counter,
    sent_messages: Counter,
    sent_bytes: Counter,
    /// Messages that `try_send` had no room for.
    pub(crate) full: Counter,
    /// Closes by their code, where the peer said it first.
    pub(crate) closes_by_peer: LabeledCounter,
    /// Where the server did.
    pub(crate) closes_by_server: LabeledCounter,
    /// Sockets that ended without a Close of either side.
    pub(crate) lost: Counter,
    /// Handshakes refused, by why.
    pub(crate) refused: LabeledCounter,
}

#[cfg_attr(not(feature = "ws"), allow(dead_code, reason = "nothing is counted without WebSocket"))]
impl WsCounters {
    /// Counts a message that came.
    pub(crate) fn received(&self, bytes: usize) {
        self.received_messages.add(1);
        self.received_bytes.add(bytes as u64);
    }

    /// Counts a message that was sent.
    pub(crate) fn sent(&self, bytes: usize) {
        self.sent_messages.add(1);
        self.sent_bytes.add(bytes as u64);
    }

    /// Returns messages and payload bytes, by direction.
    pub(super) fn traffic(&self) -> [(&'static str, u64, u64); 2] {
        let received = (self.received_messages.value(), self.received_bytes.value());
        let sent = (self.sent_messages.value(), self.sent_bytes.value());
        [("in", received.0, received.1), ("out", sent.0, sent.1)]
    }
}

/// The counters of one shard, on cache lines of their own.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct ShardCounters {
    pub(crate) accepted: Counter,
    pub(crate) closed: Counter,
    /// Connections with a request in progress that the shard had to come back to.
    pub(crate) active: Counter,
    pub(crate) received_bytes: Counter,
    pub(crate) sent_bytes: Counter,
    /// Open connections that speak HTTP/2.
    pub(crate) h2_connections: Counter,
    /// Their streams whose reply is not complete.
    pub(crate) h2_streams: Counter,
    /// Connections that left pure-inline mode.
    pub(crate) promoted: Counter,
    dispatched: [[Counter; DispatchKind::ALL.len()]; HttpVersion::ALL.len()],
    /// Connections by why they closed.
    pub(crate) closes: LabeledCounter,
    /// Requests and connections ended by a timer, by which.
    pub(crate) timeouts: LabeledCounter,
    /// Bytes that broke the protocol, by how.
    pub(crate) protocol_errors: LabeledCounter,
    /// Requests refused although they were valid, by why.
    pub(crate) refused: LabeledCounter,
    /// Panics contained, by whose code it was.
    pub(crate) panics: LabeledCounter,
    /// Failed accepts, by error.
    pub(crate) accept_errors: LabeledCounter,
    /// HTTP/2 streams that ended early, by why.
    pub(crate) h2_resets: LabeledCounter,
    /// HTTP/2 connections the server ended, by why.
    pub(crate) h2_goaways: LabeledCounter,
    /// Events of handlers' streams that found their queue full, by what followed.
    pub(crate) sse_overflows: LabeledCounter,
    /// Handlers' streams that ended because the server did.
    pub(crate) sse_drained: Counter,
    /// Failures of the stores of handlers' streams, by what they were doing.
    pub(crate) replay_errors: LabeledCounter,
    /// TLS handshakes that ended, by how.
    pub(crate) handshakes: LabeledCounter,
    /// TLS handshakes that have begun and not ended.
    pub(crate) handshaking: Counter,
    pub(crate) tls_sessions: TlsSessions,
    pub(crate) ws: WsCounters,
    /// Connections accepted here and given to another shard.
    pub(crate) handed_over: Counter,
    /// Connections other shards have announced and this one has not opened. Written by all.
    announced: AtomicU64,
}

impl ShardCounters {
    /// Returns how many connections the shard has.
    pub(crate) fn open(&self) -> u64 {
        self.accepted.value().saturating_sub(self.closed.value())
    }

    /// Returns how many connections the shard has or is about to get from others.
    pub(crate) fn load(&self) -> usize {
        (self.open() + self.announced.load(Relaxed)) as usize
    }

    /// Announces a connection.
    pub(crate) fn announce(&self) {
        self.announced.fetch_add(1, SeqCst);
    }

    /// Notes that an announced connection has come, or will not.
    pub(crate) fn end_handover(&self) {
        self.announced.fetch_sub(1, SeqCst);
    }

    /// Returns how many announced connections have not come.
    pub(crate) fn announced(&self) -> u64 {
        self.announced.load(SeqCst)
    }

    pub(crate) fn dispatched(&self, version: HttpVersion, kind: DispatchKind) -> &Counter {
        &self.dispatched[version as usize][kind as usize]
    }

    pub(crate) fn dispatched_total(&self) -> u64 {
        self.dispatched.iter().flatten().map(Counter::value).sum()
    }
}
