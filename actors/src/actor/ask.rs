//! Questions to actors, with an answer and a timeout.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{address::Addr, reply::Reply};
use crate::{
    error::AskError,
    future::{Either, block_on_until, race},
    shard::{Deadline, Local},
    time::{self, instant_after},
};

impl<M: Send + 'static> Addr<M> {
    /// Asks the actor a question and waits for the answer, for at most `timeout`.
    ///
    /// `question` builds the message around a [`Reply`]. The timeout includes the wait for a free slot in the
    /// mailbox. It uses the timers of the shard, or of the tokio runtime, where the future is polled. On any
    /// other thread it uses the timers of the actor's shard, so it expires late while that shard is busy.
    ///
    /// An actor that asks itself gets no answer, and neither does an actor that asks one that is asking it.
    /// Both wait until the timeout.
    ///
    /// # Errors
    ///
    /// The timeout has expired, the actor is draining or has exited, or the reply was dropped: by choice, by
    /// a panic, or because the actor exited.
    ///
    /// # Panics
    ///
    /// The future is polled in a tokio runtime whose timers are not enabled.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the question may or may not have been sent. An answer is dropped.
    pub async fn ask<R: Send + 'static>(
        &self,
        question: impl FnOnce(Reply<R>) -> M,
        timeout: Duration,
    ) -> Result<R, AskError> {
        let deadline = Deadline::new(instant_after(time::now(), timeout), Some(Arc::clone(&self.0.shard)));
        match race(self.ask_untimed(question), deadline).await {
            Either::Left(answer) => answer,
            Either::Right(()) => Err(AskError::Timeout),
        }
    }

    /// Asks the actor a question and blocks the calling thread until it answers, for at most `timeout`.
    ///
    /// # Errors
    ///
    /// The same as for [`ask`](Self::ask). On a shard's thread it always fails, because that thread must not
    /// block.
    pub fn ask_blocking<R: Send + 'static>(
        &self,
        question: impl FnOnce(Reply<R>) -> M,
        timeout: Duration,
    ) -> Result<R, AskError> {
        if Local::current().is_some() {
            return Err(AskError::OnShard);
        }
        block_on_until(self.ask_untimed(question), instant_after(Instant::now(), timeout))
            .unwrap_or(Err(AskError::Timeout))
    }

    async fn ask_untimed<R>(&self, question: impl FnOnce(Reply<R>) -> M) -> Result<R, AskError> {
        let (reply, answer) = Reply::pair();
        self.tell(question(reply)).await.map_err(|_| AskError::Closed)?;
        answer.await.map_err(|_| AskError::NoReply)
    }
}
