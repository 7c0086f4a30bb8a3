//! What an actor hears besides its messages: it lies in the mailbox too, so that it comes after what was told before.

use std::sync::Arc;

use super::{children::Tie, exit::ActorExit};

/// Heard by an actor between two messages. There is at most one for each watch and each child.
pub(crate) enum Notice<M> {
    /// A watched actor has ended.
    Watched {
        /// Names the watch; one that was taken back is not heard of.
        watch: u64,
        ended: ActorExit,
        message: Box<dyn FnOnce(ActorExit) -> M + Send>,
    },
    /// Something happened to a child; the tie says what.
    Child(Arc<Tie>),
}
