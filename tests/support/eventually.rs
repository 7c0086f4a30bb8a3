//! Waiting for a condition, shared by all test suites.

use std::{
    thread,
    time::{Duration, Instant},
};

/// Maximum time that a test waits for a condition. It is long enough for a busy machine.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(30);

/// Waits until a condition holds, and panics after [`TIMEOUT`].
#[track_caller]
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + TIMEOUT;
    while !holds() {
        assert!(Instant::now() < until, "not within {TIMEOUT:?}: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}
