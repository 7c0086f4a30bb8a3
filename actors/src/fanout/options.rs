//! What a subscriber has: how much its queue holds, what happens when it is full, and who it is.

use std::fmt;

use super::{
    chooser::Chooser,
    overflow::{Bounds, Identity, Overflow},
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
pub struct SubscribeOptions {
    /// How much the queue holds.
    pub bounds: Bounds,
    /// What happens when it is full.
    pub policy: Policy,
    /// Who the subscriber is. Default: nobody in particular.
    pub identity: Option<Identity>,
}

impl SubscribeOptions {
    /// Makes the terms of nobody in particular.
    pub fn new(bounds: Bounds, policy: impl Into<Policy>) -> Self {
        Self { bounds, policy: policy.into(), identity: None }
    }

    /// Says who the subscriber is.
    #[must_use]
    pub fn with_identity(self, identity: Identity) -> Self {
        Self { identity: Some(identity), ..self }
    }
}

impl fmt::Debug for SubscribeOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SubscribeOptions")
            .field("bounds", &self.bounds)
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}
