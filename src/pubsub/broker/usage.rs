//! Uses of open logs, counted as long as they last.

use std::{
    ops::Deref,
    sync::{Arc, atomic::Ordering},
};

use super::{Shared, log::OpenLog, subscribers::Place};

/// Use of an open log. The log stays open as long as it exists.
pub(super) struct LogUse {
    pub(super) broker: Arc<Shared>,
    pub(super) log: Arc<OpenLog>,
}

impl LogUse {
    /// Creates the use of a log whose user was counted.
    pub(super) fn new(broker: Arc<Shared>, log: Arc<OpenLog>) -> Self {
        Self { broker, log }
    }
}

impl Deref for LogUse {
    type Target = OpenLog;

    fn deref(&self) -> &OpenLog {
        &self.log
    }
}

impl Drop for LogUse {
    fn drop(&mut self) {
        if self.log.users.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.broker.registry().release(&self.log);
        }
    }
}

/// Use of an open log by a subscription, and the subscription's place within the limits.
pub(super) struct Seat {
    pub(super) log: LogUse,
    place: Place,
}

impl Seat {
    pub(super) fn new(log: LogUse, place: Place) -> Self {
        Self { log, place }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.log.broker.registry().subscribers.leave(&self.place);
    }
}
