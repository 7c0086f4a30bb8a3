//! A handler that was started.

use std::{sync::Arc, time::Instant};

use windlass_actors::{TaskHandle, pool::JobHandle};

use crate::{
    conn::{exchange::answers, message::Outcome},
    request::Request,
    routing::handler::{Chain, Kept},
};

/// Result of starting a handler.
pub(in crate::conn) enum Started {
    /// The handler has replied, or the server answered in its place.
    Done(Outcome),
    /// The handler runs on. Its reply comes later, by the number of its request.
    Running(RunningHandler),
}

/// Handler that runs on.
pub(in crate::conn) enum RunningHandler {
    /// Task of the connection's shard.
    Shard(TaskHandle),
    /// Job of the pool.
    Pool {
        job: JobHandle,
        /// Time at which the connection stops waiting for it.
        deadline: Option<Instant>,
        /// Parts for the response if the handler is late; `None` if the program does not shape the server's
        /// responses.
        late: Option<Box<LateAnswer>>,
    },
    /// Stands for a handler in unit tests: its deadline, and whether it was cancelled.
    #[cfg(test)]
    Fake(Option<Instant>, std::rc::Rc<std::cell::Cell<bool>>),
}

impl RunningHandler {
    /// Returns the time at which the connection stops waiting; `None` if it does not, as for every inline
    /// handler.
    pub(in crate::conn) fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Shard(_) => None,
            Self::Pool { deadline, .. } => *deadline,
            #[cfg(test)]
            Self::Fake(deadline, _) => *deadline,
        }
    }

    /// Cancels the handler because its deadline has passed. A waiting job of the pool is refused as expired.
    pub(in crate::conn) fn expire(&self) {
        match self {
            Self::Pool { job, .. } => job.expire(),
            _ => self.cancel(),
        }
    }

    /// Cancels the handler: its client is gone or has got another answer.
    pub(in crate::conn) fn cancel(&self) {
        match self {
            Self::Shard(task) => task.cancel(),
            Self::Pool { job, .. } => job.cancel(),
            #[cfg(test)]
            Self::Fake(_, cancelled) => cancelled.set(true),
        }
    }

    /// Returns the response to a request whose handler is late: 503, shaped by the program if it does that.
    pub(in crate::conn) fn late(&self) -> Outcome {
        match self {
            Self::Pool { late: Some(late), .. } => late.0.site.shaped(&late.1, answers::late()).into(),
            _ => answers::late().response.into(),
        }
    }
}

/// Route and kept parts of a late request, which shape its response.
pub(in crate::conn) struct LateAnswer(Arc<Chain>, Kept);

impl LateAnswer {
    /// Returns `None` if the program does not shape the server's responses.
    pub(super) fn new(chain: &Arc<Chain>, request: &Request) -> Option<Box<Self>> {
        chain.site.shapes_errors().then(|| Box::new(Self(chain.clone(), chain.site.keep(request))))
    }
}
