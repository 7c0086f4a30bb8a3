//! Ranges of lost events. Imports nothing.

/// Range of events that a subscriber did not get, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Number of the first lost event.
    pub from: u64,
    /// Number of the last lost event. It is less than `from` if only events without a number were lost. They
    /// followed event `to`.
    pub to: u64,
}

impl Gap {
    /// Returns `true` if only events without a number were lost.
    pub fn is_unnumbered(self) -> bool {
        self.to < self.from
    }

    /// Returns the range from the beginning of this gap to the end of a later one.
    pub(super) fn extend(self, later: Self) -> Self {
        Self { from: self.from.min(later.from), to: self.to.max(later.to) }
    }
}
