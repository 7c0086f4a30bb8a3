//! Settings of an event stream.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use super::Replay;
use crate::pubsub::event::Event;

/// Action when an event does not fit the client's queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Overflow {
    /// The sender waits for room.
    #[default]
    Block,
    /// The event is dropped and counted. The sender goes on.
    Drop,
    /// The event is dropped, and the stream ends after the events in the queue.
    Close,
}

type OverflowCallback = dyn Fn(&Event) -> Overflow + Send + Sync;

/// Settings of an event stream.
#[derive(Clone)]
pub struct Settings {
    pub(super) events: usize,
    pub(super) bytes: usize,
    overflow: Overflow,
    overflow_callback: Option<Arc<OverflowCallback>>,
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
            overflow: Overflow::default(),
            overflow_callback: None,
            subscriptions: 64,
            heartbeat: Some(Duration::from_secs(15)),
            retry: None,
            replay: None,
        }
    }
}

impl Settings {
    /// Creates the default settings.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the capacity of the queue, events. Default 64.
    ///
    /// Events that the connection is already sending do not count. With 0 the queue holds one event and every
    /// sender waits for room, whatever the overflow policy.
    #[must_use]
    pub fn queue(self, events: usize) -> Self {
        Self { events, ..self }
    }

    /// Sets the capacity of the queue, bytes. Default 256 KiB. An empty queue accepts one event of any size.
    #[must_use]
    pub fn queue_bytes(self, bytes: usize) -> Self {
        Self { bytes, ..self }
    }

    /// Sets the action when an event does not fit the queue. Default [`Overflow::Block`].
    #[must_use]
    pub fn overflow(self, overflow: Overflow) -> Self {
        Self { overflow, overflow_callback: None, ..self }
    }

    /// Sets a callback that selects the action for each event that does not fit the queue.
    ///
    /// The callback runs in the sender's task, which it must not block. If it panics, the event is dropped.
    /// Overrides [`overflow`](Self::overflow).
    #[must_use]
    pub fn overflow_by(self, callback: impl Fn(&Event) -> Overflow + Send + Sync + 'static) -> Self {
        Self { overflow_callback: Some(Arc::new(callback)), ..self }
    }

    /// Sets the maximum number of topics that the client can subscribe to. Default 64.
    #[must_use]
    pub fn subscriptions(self, topics: usize) -> Self {
        Self { subscriptions: topics, ..self }
    }

    /// Sets the interval of silence after which the stream sends a comment. Default 15 s.
    ///
    /// `None` and zero disable it. The server then notices a lost peer only when it sends the next event.
    #[must_use]
    pub fn heartbeat(self, heartbeat: Option<Duration>) -> Self {
        Self { heartbeat, ..self }
    }

    /// Sets the reconnection delay that is sent at the start of the stream. Default `None`: clients use their
    /// own.
    #[must_use]
    pub fn retry(self, retry: Option<Duration>) -> Self {
        Self { retry, ..self }
    }

    /// Stores all events, so that a client that reconnects receives the events it missed. Default: no store.
    #[must_use]
    pub fn replay(self, replay: Replay) -> Self {
        Self { replay: Some(replay), ..self }
    }

    /// Returns the action for an event that does not fit the queue.
    pub(super) fn overflow_of(&self, event: &Event) -> Overflow {
        if self.events == 0 {
            return Overflow::Block;
        }
        let Some(callback) = &self.overflow_callback else { return self.overflow };
        catch_unwind(AssertUnwindSafe(|| callback(event))).unwrap_or(Overflow::Drop)
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Settings");
        debug.field("events", &self.events).field("bytes", &self.bytes).field("overflow", &self.overflow);
        debug.finish_non_exhaustive()
    }
}
