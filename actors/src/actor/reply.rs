//! One answer to one question.

use std::fmt;

use tokio::sync::oneshot;

/// Answers one question, once. Dropped unanswered, it tells the asker [`NoReply`](crate::error::AskError::NoReply).
pub struct Reply<R>(oneshot::Sender<R>);

impl<R> Reply<R> {
    /// Makes a reply and the future of its answer; `Err` when the reply was dropped.
    pub(crate) fn pair() -> (Self, oneshot::Receiver<R>) {
        let (sender, receiver) = oneshot::channel();
        (Self(sender), receiver)
    }

    /// Answers. An answer nobody waits for any more is dropped.
    pub fn send(self, answer: R) {
        drop(self.0.send(answer));
    }

    /// Says whether the asker still waits.
    pub fn is_awaited(&self) -> bool {
        !self.0.is_closed()
    }
}

impl<R> fmt::Debug for Reply<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply").field("is_awaited", &self.is_awaited()).finish()
    }
}
