//! How a handler's stream is.

use std::{fmt, sync::Arc, time::Duration};

use super::Replay;
use crate::pubsub::broker::Event;

/// What happens to an event that finds its client's queue full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum WhenFull {
    /// The sender waits for room.
    #[default]
    Block,
    /// The event is lost, and counted.
    Drop,
    /// The stream ends behind what is queued.
    Close,
}

type Choose = dyn Fn(&Event) -> WhenFull + Send + Sync;

/// How an event stream of a handler is.
#[derive(Clone)]
pub struct Settings {
    pub(super) events: usize,
    pub(super) bytes: usize,
    pub(super) when_full: WhenFull,
    choose: Option<Arc<Choose>>,
    pub(super) subscriptions: usize,
    pub(super) heartbeat: Option<Duration>,
    pub(super) retry: Option<Duration>,
    pub(super) replay: Option<Replay>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            events: 64,
            bytes: 256 * 1024,
            when_full: WhenFull::default(),
            choose: None,
            subscriptions: 64,
            heartbeat: Some(Duration::from_secs(15)),
            retry: None,
            replay: None,
        }
    }
}

impl Settings {
    /// Makes the usual settings.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets how many events may wait for the client, beside those the connection is sending. Default 64. With 0 every
    /// send waits until the one before it has been taken, whatever the policy.
    #[must_use]
    pub fn queue(self, events: usize) -> Self {
        Self { events, ..self }
    }

    /// Sets how many bytes of events may wait for the client. Default 256 KiB. An empty queue takes one event of any size.
    #[must_use]
    pub fn queue_bytes(self, bytes: usize) -> Self {
        Self { bytes, ..self }
    }

    /// Sets what happens to an event that finds the queue full. Default: its sender waits.
    #[must_use]
    pub fn when_full(self, when_full: WhenFull) -> Self {
        Self { when_full, choose: None, ..self }
    }

    /// Has a callback say for each event that finds the queue full what happens to it. It runs in the sender; if it
    /// panics, the event is dropped.
    #[must_use]
    pub fn when_full_by(self, choose: impl Fn(&Event) -> WhenFull + Send + Sync + 'static) -> Self {
        Self { choose: Some(Arc::new(choose)), ..self }
    }

    /// Sets how many topics the client may follow. Default 64.
    #[must_use]
    pub fn subscriptions(self, topics: usize) -> Self {
        Self { subscriptions: topics, ..self }
    }

    /// Sets how long the stream may be silent before a comment is sent. Default 15 s. `None`: a peer that is gone without a
    /// word is noticed with the next event.
    #[must_use]
    pub fn heartbeat(self, heartbeat: Option<Duration>) -> Self {
        Self { heartbeat, ..self }
    }

    /// Tells the client at the start how long to wait before it connects anew. Default `None`: as it likes.
    #[must_use]
    pub fn retry(self, retry: Option<Duration>) -> Self {
        Self { retry, ..self }
    }

    /// Keeps what is sent in a store, so that a client that comes back gets what it missed before the handler runs.
    #[must_use]
    pub fn replay(self, replay: Replay) -> Self {
        Self { replay: Some(replay), ..self }
    }

    /// Says what happens to an event that finds the queue full.
    pub(super) fn choice(&self, event: &Event) -> WhenFull {
        if self.events == 0 {
            return WhenFull::Block;
        }
        let Some(choose) = &self.choose else { return self.when_full };
        let chosen = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| choose(event)));
        chosen.unwrap_or(WhenFull::Drop)
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Settings");
        debug.field("events", &self.events).field("bytes", &self.bytes).field("when_full", &self.when_full);
        debug.finish_non_exhaustive()
    }
}
