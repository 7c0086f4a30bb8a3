//! Bounds of a subscriber's queue, and what happens beyond them. Imports nothing of the crate.

use std::{any::Any, sync::Arc};

/// Treatment of an event that finds a subscriber's queue full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Overflow {
    /// The event is lost for this subscriber, which gets a gap before the next event.
    #[default]
    Drop,
    /// The subscriber is unregistered. It gets the events in its queue, then
    /// [`Delivery::Removed`](super::Delivery).
    Remove,
    /// The subscriber is closed. It gets the events in its queue, then [`Delivery::Closed`](super::Delivery).
    Close,
}

/// Bounds of a subscriber's queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Maximum number of events in the queue. Default: 64.
    pub events: usize,
    /// Maximum number of payload bytes in the queue. Default: 256 KiB. An empty queue accepts one event of
    /// any size.
    pub bytes: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { events: 64, bytes: 256 * 1024 }
    }
}

/// Identity of a subscriber, in a type that the application chooses. Callbacks and filters get it.
pub type Identity = Arc<dyn Any + Send + Sync>;
