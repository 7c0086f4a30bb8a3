//! A bar on standard error while something takes its time; nothing where nobody looks.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// A bar as long as a duration.
pub(super) struct Progress(ProgressBar);

impl Progress {
    /// Shows it, if standard error is a terminal.
    pub(super) fn new(duration: Duration) -> Self {
        let bar = ProgressBar::new(duration.as_secs().max(1));
        if let Ok(style) = ProgressStyle::with_template("{wide_bar} {pos}/{len} s  {msg}") {
            bar.set_style(style);
        }
        Self(bar)
    }

    /// Tells how far it is and what the last second brought.
    pub(super) fn tell(&self, elapsed: Duration, requests: u64, errors: u64) {
        self.0.set_position(elapsed.as_secs());
        self.0.set_message(format!("{requests} requests/s, {errors} errors"));
    }

    /// Removes it.
    pub(super) fn end(&self) {
        self.0.finish_and_clear();
    }
}
