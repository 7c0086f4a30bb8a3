//! Waiting for a state, shared by all test suites.

use std::{
    thread,
    time::{Duration, Instant},
};

/// How long a test waits for what must happen: far longer than it takes, also on a machine busy with other
/// things.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until something holds.
#[track_caller]
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < until, "not within {PATIENCE:?}: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}
