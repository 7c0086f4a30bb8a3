//! Options of a subscription.

use std::fmt;

use super::{
    chooser::Chooser,
    overflow::{Bounds, Identity, Overflow},
};

/// Policy that decides what happens to an event that finds a subscriber's queue full.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Policy {
    /// The same treatment every time.
    Always(Overflow),
    /// A callback decides. Until it has decided, events for that subscriber are dropped.
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

/// Options of a subscription.
#[derive(Clone, Default)]
pub struct SubscribeOptions {
    /// Bounds of the queue.
    pub bounds: Bounds,
    /// Policy for a full queue.
    pub policy: Policy,
    /// Identity of the subscriber. Default: none.
    pub identity: Option<Identity>,
}

impl SubscribeOptions {
    /// Creates options without an identity.
    pub fn new(bounds: Bounds, policy: impl Into<Policy>) -> Self {
        Self { bounds, policy: policy.into(), identity: None }
    }

    /// Sets the identity of the subscriber.
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
