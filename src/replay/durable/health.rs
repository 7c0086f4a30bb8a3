//! Health of the store: the failure that it has not recovered from, logged once for each change.

use std::{
    error::Error,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use crate::replay::{ErrorKind, StoreError};

/// The failure that the store has not recovered from, if any.
#[derive(Default)]
pub(super) struct Health(Mutex<Option<Failing>>);

struct Failing {
    error: StoreError,
    since: Instant,
}

impl Health {
    /// Returns the failure that the store has not recovered from, or `None` if the store works.
    pub(super) fn failure(&self) -> Option<StoreError> {
        self.failing().as_ref().map(|failing| failing.error.clone())
    }

    /// Records a failure. Logs the first one, and each later one with another cause.
    pub(super) fn fail(&self, error: &StoreError) {
        let mut failing = self.failing();
        match &mut *failing {
            None => {
                *failing = Some(Failing { error: error.clone(), since: Instant::now() });
                tracing::error!(%error, "topic store failed, it takes no events until it works again");
            }
            // It only repeats that there was a failure.
            Some(_) if error.kind() == ErrorKind::Unavailable => (),
            Some(known) if cause(&known.error) == cause(error) => (),
            Some(known) => {
                known.error = error.clone();
                tracing::error!(%error, "topic store still fails, for another reason");
            }
        }
    }

    /// Records that the store works. Logs that if it had failed.
    pub(super) fn recover(&self) {
        if let Some(Failing { error, since }) = self.failing().take() {
            let after_ms = since.elapsed().as_millis() as u64;
            tracing::info!(after_ms, failure = %error, "topic store works again");
        }
    }

    fn failing(&self) -> MutexGuard<'_, Option<Failing>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the text of the innermost cause, which is the same whatever operation it fails.
fn cause(error: &StoreError) -> String {
    let mut cause: &dyn Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
