//! A progress bar on standard error. Nothing is shown if that is no terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// Progress of a run with a known duration.
pub(super) struct Progress(ProgressBar);

impl Progress {
    /// Shows the bar.
    pub(super) fn new(duration: Duration) -> Self {
        let bar = ProgressBar::new(duration.as_secs().max(1));
        if let Ok(style) = ProgressStyle::with_template("{wide_bar} {pos}/{len} s  {msg}") {
            bar.set_style(style);
        }
        Self(bar)
    }

    /// Updates the bar with the elapsed time and the figures of the last second.
    pub(super) fn update(&self, elapsed: Duration, requests: u64, errors: u64) {
        self.0.set_position(elapsed.as_secs());
        self.0.set_message(format!("{requests} requests/s, {errors} errors"));
    }

    /// Removes the bar.
    pub(super) fn finish(&self) {
        self.0.finish_and_clear();
    }
}
