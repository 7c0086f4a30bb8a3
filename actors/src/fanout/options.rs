//! What a subscriber has: how much its queue holds, what happens when it is full, and who it is.

use std::fmt;

use super::{
    chooser::Chooser,
    overflow::{Bounds, Overflow, Who},
};

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
