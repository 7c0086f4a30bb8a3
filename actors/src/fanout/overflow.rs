//! How much a subscriber's queue holds, and what happens when it is full. Imports nothing.

use std::{any::Any, sync::Arc};

/// What happens to an event that finds a subscriber's queue full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Overflow {
    /// The event is lost for this subscriber, which is told so before the next one.
    #[default]
    Drop,
    /// The subscriber is unregistered: it gets what its queue holds, then nothing more.
    Remove,
    /// The subscriber is closed: it gets what its queue holds, then the end.
    Close,
}

/// How much a subscriber's queue holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Events. Default 64.
    pub events: usize,
    /// Bytes of payload. Default 256 KiB. An empty queue takes one event of any size.
    pub bytes: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { events: 64, bytes: 256 * 1024 }
    }
}

/// Who a subscriber is, in its owner's own type: callbacks and filters are shown it.
pub type Identity = Arc<dyn Any + Send + Sync>;
