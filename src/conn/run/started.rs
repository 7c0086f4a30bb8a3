//! A handler that was started.

use std::time::Instant;

use windlass_actors::{TaskHandle, pool::JobHandle};

use crate::conn::message::Outcome;

/// Result of starting a handler.
pub(in crate::conn) enum Started {
    /// The handler has replied, or cannot run.
    Done(Outcome),
    /// The handler runs on. Its reply comes as a message.
    Running(RunningHandler),
}

/// Handler that runs on.
pub(in crate::conn) enum RunningHandler {
    /// Task of the connection's shard.
    Shard(TaskHandle),
    /// Job of the pool, and the time at which the connection stops waiting for it.
    Pool(JobHandle, Option<Instant>),
    /// Stands for a handler in unit tests: its deadline, and whether it was cancelled.
    #[cfg(test)]
    Fake(Option<Instant>, std::rc::Rc<std::cell::Cell<bool>>),
}

impl RunningHandler {
    /// Returns the time at which the connection stops waiting.
    pub(in crate::conn) fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Shard(_) => None,
            Self::Pool(_, deadline) => *deadline,
            #[cfg(test)]
            Self::Fake(deadline, _) => *deadline,
        }
    }

    /// Cancels the handler because its time is over.
    pub(in crate::conn) fn expire(&self) {
        match self {
            Self::Pool(job, _) => job.expire(),
            _ => self.cancel(),
        }
    }

    /// Cancels the handler: its client is gone or has got another answer.
    pub(in crate::conn) fn cancel(&self) {
        match self {
            Self::Shard(task) => task.cancel(),
            Self::Pool(job, _) => job.cancel(),
            #[cfg(test)]
            Self::Fake(_, cancelled) => cancelled.set(true),
        }
    }
}
