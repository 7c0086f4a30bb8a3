//! A handler that was started.

use std::time::Instant;

use windlass_actors::{TaskHandle, pool::JobHandle};

use crate::conn::message::Outcome;

/// Result of starting a handler.
pub(in crate::conn) enum Started {
    Done(Outcome),
    Running(Task),
}

/// Running handler. Its reply comes as a message.
pub(in crate::conn) enum Task {
    /// Guest of the connection's shard.
    Guest(TaskHandle),
    /// Job of the pool, and the time at which the connection stops waiting for it.
    Job(JobHandle, Option<Instant>),
    /// Stands for a handler in unit tests: its deadline, and whether it was cancelled.
    #[cfg(test)]
    Fake(Option<Instant>, std::rc::Rc<std::cell::Cell<bool>>),
}

impl Task {
    /// Returns the time at which the connection stops waiting.
    pub(in crate::conn) fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Guest(_) => None,
            Self::Job(_, deadline) => *deadline,
            #[cfg(test)]
            Self::Fake(deadline, _) => *deadline,
        }
    }

    /// Cancels the handler: its client is gone or has got another answer.
    pub(in crate::conn) fn cancel(&self) {
        match self {
            Self::Guest(guest) => guest.cancel(),
            Self::Job(job, _) => job.cancel(),
            #[cfg(test)]
            Self::Fake(_, cancelled) => cancelled.set(true),
        }
    }
}
