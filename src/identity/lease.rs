//! The end of a stream with an identity: the expiry of the identity, or the disconnect of its subject.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::SystemTime,
};

use windlass_actors::{Deadline, clock, sleep_until};

use super::{Identity, Subjects, subjects::Signal};
use crate::metrics::ShardCounters;

/// Right of a stream to continue. The stream polls it and ends when it does.
#[derive(Debug)]
pub(crate) struct Lease {
    /// `None`: the identity does not expire.
    expiry: Option<Deadline>,
    /// `None`: the identity is anonymous.
    entry: Option<Entry>,
    counters: Arc<ShardCounters>,
}

/// Entry of a stream in the table of its subject, until it is dropped.
#[derive(Debug)]
struct Entry {
    subjects: Subjects,
    subject: Arc<str>,
    id: u64,
    signal: Arc<Signal>,
    /// The waker that the signal has.
    waker: Option<Waker>,
}

/// Reason for the end of a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LeaseEnd {
    Expired,
    Disconnected,
}

impl Lease {
    /// Creates the lease of a stream that begins now.
    pub(crate) fn new(identity: &Identity, subjects: &Subjects, counters: Arc<ShardCounters>) -> Self {
        let left = identity.stream_end(SystemTime::now());
        // An expiry that the clock cannot represent is never reached.
        let expiry = left.and_then(|left| clock::now().checked_add(left)).map(sleep_until);
        let entry = identity.subject.as_ref().map(|subject| {
            let (id, signal) = subjects.open(subject, identity.issued);
            Entry { subjects: subjects.clone(), subject: subject.clone(), id, signal, waker: None }
        });
        Self { expiry, entry, counters }
    }

    /// Returns `Ready` when the stream must end, and counts the end. Call it once more only after `Pending`.
    pub(crate) fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<LeaseEnd> {
        let end = if self.entry.as_mut().is_some_and(|entry| entry.is_disconnected(cx)) {
            LeaseEnd::Disconnected
        } else if self.expiry.as_mut().is_some_and(|expiry| Pin::new(expiry).poll(cx).is_ready()) {
            LeaseEnd::Expired
        } else {
            return Poll::Pending;
        };
        self.counters.auth_stream_ends.add(end.label());
        Poll::Ready(end)
    }
}

impl LeaseEnd {
    fn label(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Disconnected => "disconnected",
        }
    }

    /// Returns the reason with which a WebSocket closes.
    #[cfg(feature = "ws")]
    pub(crate) fn close_reason(self) -> &'static str {
        match self {
            Self::Expired => "the token has expired",
            Self::Disconnected => "disconnected by the server",
        }
    }
}

impl Entry {
    fn is_disconnected(&mut self, cx: &Context<'_>) -> bool {
        if !self.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            self.signal.set_waker(cx.waker());
            self.waker = Some(cx.waker().clone());
        }
        self.signal.is_set()
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.subjects.close(&self.subject, self.id);
    }
}
