//! Ranges of events that a subscriber did not get. Imports nothing.

/// A range of events a subscriber did not get, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The first one.
    pub from: u64,
    /// The last one. Before `from` when all that is missing are events without a number, behind event `to`.
    pub to: u64,
}

impl Gap {
    /// Says whether nothing that has a number is missing.
    pub fn is_unnumbered(self) -> bool {
        self.to < self.from
    }

    /// Adds a later range; what lies between belongs to it.
    pub(super) fn extend(self, later: Self) -> Self {
        Self { from: self.from.min(later.from), to: self.to.max(later.to) }
    }
}
