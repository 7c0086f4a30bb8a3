//! The cells one shard writes and everybody may read.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
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
pub(crate) struct Causes(Mutex<BTreeMap<&'static str, u64>>);

impl Causes {
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
}

impl DispatchKind {
    pub(crate) const ALL: [Self; 3] = [Self::Static, Self::Inline, Self::Async];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Static => "static",
            Self::Inline => "inline",
            Self::Async => "async",
        }
    }
}

/// Which protocol a request came by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    /// HTTP/1.1 or 1.0.
    H1,
    /// HTTP/2.
    H2,
}

impl Wire {
    pub(crate) const ALL: [Self; 2] = [Self::H1, Self::H2];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::H1 => "h1",
            Self::H2 => "h2",
        }
    }
}

/// The cells of one shard, on cache lines of their own.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct ShardCells {
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
    dispatched: [[Counter; DispatchKind::ALL.len()]; Wire::ALL.len()],
    /// Connections by why they closed.
    pub(crate) closes: Causes,
    /// Requests and connections ended by a timer, by which.
    pub(crate) timeouts: Causes,
    /// Bytes that broke the protocol, by how.
    pub(crate) protocol_errors: Causes,
    /// Requests refused although they were valid, by why.
    pub(crate) refused: Causes,
    /// Panics contained, by whose code it was.
    pub(crate) panics: Causes,
    /// Failed accepts, by error.
    pub(crate) accept_errors: Causes,
    /// HTTP/2 streams that ended early, by why.
    pub(crate) h2_resets: Causes,
    /// HTTP/2 connections the server ended, by why.
    pub(crate) h2_goaways: Causes,
}

impl ShardCells {
    pub(crate) fn dispatched(&self, wire: Wire, kind: DispatchKind) -> &Counter {
        &self.dispatched[wire as usize][kind as usize]
    }

    pub(crate) fn dispatched_total(&self) -> u64 {
        self.dispatched.iter().flatten().map(Counter::value).sum()
    }
}
