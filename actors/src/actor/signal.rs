//! Signals: what an actor receives besides its messages.
//!
//! Signals go through the mailbox too. So a signal arrives after the messages that were sent before it.

use std::sync::Arc;

use super::{children::ParentLink, exit::ActorExit};

/// Signal to an actor, handled between two messages. The mailbox holds at most one for each watch, and for
/// each child at most one for its restarts and one for its exit.
pub(crate) enum Signal<M> {
    /// A watched actor has exited.
    Watched {
        /// Number of the watch. If the watch was removed or replaced meanwhile, the signal has no effect.
        watch: u64,
        exit: ActorExit,
        /// Makes the message that the watching actor handles.
        message: Box<dyn FnOnce(ActorExit) -> M + Send>,
    },
    /// A run of a child has ended. The link holds the report.
    Child(Arc<ParentLink>),
}
