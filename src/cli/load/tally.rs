//! Totals since the last report. The thread of the run adds to them, the reporting thread takes them.

use std::sync::{Arc, Mutex, PoisonError};

use crate::client::totals::Totals;

/// Totals since they were last taken. Clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally(Arc<Mutex<Totals>>);

impl Tally {
    /// Updates the totals.
    pub(super) fn update(&self, update: impl FnOnce(&mut Totals)) {
        // A panic between two additions leaves totals that are still valid.
        update(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Returns the totals since the last call and starts again from zero.
    pub(super) fn take(&self) -> Totals {
        let mut taken = Totals::default();
        self.update(|totals| std::mem::swap(totals, &mut taken));
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_are_taken_once() {
        let tally = Tally::default();
        tally.clone().update(|totals| totals.answered(None));
        assert_eq!((tally.take().requests, tally.take().requests), (1, 0));
    }
}
