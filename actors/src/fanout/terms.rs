//! What a subscriber has: how much its queue holds, what happens when it is full, and who it is.

use std::{any::Any, fmt, sync::Arc};

use super::chooser::Chooser;

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

/// Who says what happens at a full queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Policy {
    /// It is the same each time.
    Always(Overflow),
    /// A callback is asked, elsewhere. Until it has answered, events for that subscriber are dropped.
    Ask(Chooser),
}

impl Default for Policy {
    fn default() -> Self {
        Self::Always(Overflow::default())
    }
}

impl From<Overflow> for Policy {
    fn from(overflow: Overflow) -> Self {
        Self::Always(overflow)
    }
}

impl From<Chooser> for Policy {
    fn from(chooser: Chooser) -> Self {
        Self::Ask(chooser)
    }
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
pub type Who = Arc<dyn Any + Send + Sync>;

/// The terms of one subscription.
#[derive(Clone, Default)]
pub struct Terms {
    /// How much the queue holds.
    pub bounds: Bounds,
    /// What happens when it is full.
    pub policy: Policy,
    /// Who the subscriber is. Default: nobody in particular.
    pub who: Option<Who>,
}

impl Terms {
    /// Makes the terms of nobody in particular.
    pub fn new(bounds: Bounds, policy: impl Into<Policy>) -> Self {
        Self { bounds, policy: policy.into(), who: None }
    }

    /// Says who the subscriber is.
    #[must_use]
    pub fn with_who(self, who: Who) -> Self {
        Self { who: Some(who), ..self }
    }
}

impl fmt::Debug for Terms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Terms")
            .field("bounds", &self.bounds)
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

/// A range of events a subscriber did not get, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missed {
    /// The first one.
    pub from: u64,
    /// The last one. Before `from` when all that is missing are events without a number, behind event `to`.
    pub to: u64,
}

impl Missed {
    /// Says whether nothing that has a number is missing.
    pub fn is_unnumbered(self) -> bool {
        self.to < self.from
    }

    /// Adds a later range; what lies between belongs to it.
    pub(super) fn extend(self, later: Self) -> Self {
        Self { from: self.from.min(later.from), to: self.to.max(later.to) }
    }
}
