//! Replies to questions.

use std::fmt;

use tokio::sync::oneshot;

/// Sender of the answer to one question.
///
/// If it is dropped without an answer, the asker gets [`NoReply`](crate::error::AskError::NoReply).
pub struct Reply<R>(oneshot::Sender<R>);

impl<R> Reply<R> {
    /// Creates a reply and the future of its answer. The future fails if the reply is dropped.
    pub(crate) fn pair() -> (Self, oneshot::Receiver<R>) {
        let (sender, receiver) = oneshot::channel();
        (Self(sender), receiver)
    }

    /// Sends the answer. The answer is dropped if nobody awaits it.
    pub fn send(self, answer: R) {
        drop(self.0.send(answer));
    }

    /// Returns `true` until the asker stops waiting, for example at its timeout.
    pub fn is_awaited(&self) -> bool {
        !self.0.is_closed()
    }
}

impl<R> fmt::Debug for Reply<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply").field("is_awaited", &self.is_awaited()).finish()
    }
}
