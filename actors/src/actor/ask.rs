//! Questions to actors.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{address::Addr, reply::Reply};
use crate::{
    error::AskError,
    future::{First, block_on, race},
    shard::{Deadline, Local},
    time::instant_after,
};

impl<M: Send + 'static> Addr<M> {
    /// Asks the actor something and waits for its answer, for `timeout` at most.
    ///
    /// `question` makes the message around a [`Reply`]. The timeout covers waiting for room in the mailbox too. It
    /// is kept by the timers of the shard this is awaited on, in a tokio runtime by tokio's, and anywhere else by
    /// the timers of the actor's shard, so it is late there while that shard is held up.
    ///
    /// An actor that asks itself, or one that asks it in turn, waits in vain until the timeout.
    ///
    /// # Errors
    ///
    /// The time is up, the actor ended, or it dropped the reply: by choice, by a panic, or by its end.
    ///
    /// # Panics
    ///
    /// Awaited in a tokio runtime whose timers are not enabled.
    ///
    /// # Cancel safety
    ///
    /// A dropped future may have asked or not; the answer is dropped.
    pub async fn ask<R: Send + 'static>(
        &self,
        question: impl FnOnce(Reply<R>) -> M,
        timeout: Duration,
    ) -> Result<R, AskError> {
        let until = Deadline::new(instant_after(Instant::now(), timeout), Arc::clone(&self.0.shard));
        match race(self.question(question), until).await {
            First::Left(answer) => answer,
            First::Right(()) => Err(AskError::Timeout),
        }
    }

    /// Asks the actor something and blocks the thread until it answers, for `timeout` at most.
    ///
    /// # Errors
    ///
    /// As [`ask`](Self::ask); and always on a shard's thread, which must not block.
    pub fn ask_blocking<R: Send + 'static>(
        &self,
        question: impl FnOnce(Reply<R>) -> M,
        timeout: Duration,
    ) -> Result<R, AskError> {
        if Local::current().is_some() {
            return Err(AskError::OnShard);
        }
        block_on(self.question(question), Some(instant_after(Instant::now(), timeout)))
            .unwrap_or(Err(AskError::Timeout))
    }

    async fn question<R>(&self, question: impl FnOnce(Reply<R>) -> M) -> Result<R, AskError> {
        let (reply, answer) = Reply::pair();
        self.tell(question(reply)).await.map_err(|_| AskError::Closed)?;
        answer.await.map_err(|_| AskError::NoReply)
    }
}
