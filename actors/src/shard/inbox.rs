//! Messages from other threads to a shard's driver.

use std::{
    convert::Infallible,
    fmt,
    sync::{Arc, atomic::AtomicU64},
};

use super::{remote::Remote, stats::ShardStats};
use crate::{
    error::{Closed, TellError},
    future::block_on,
    mailbox::{Intake, Letter, Mailbox},
};

struct Inbox<M> {
    mailbox: Mailbox<M, Infallible>,
    shard: Arc<Remote>,
}

/// Sends messages to the driver of one shard. Each message rings the shard's doorbell.
pub struct ShardSender<M>(Arc<Inbox<M>>);

impl<M: Send + 'static> ShardSender<M> {
    pub(crate) fn new(shard: Arc<Remote>, capacity: usize, refused: Arc<AtomicU64>) -> Self {
        Self(Arc::new(Inbox { mailbox: Mailbox::new(capacity, refused), shard }))
    }

    /// Sends if there is room.
    ///
    /// # Errors
    ///
    /// The inbox is full or the shard has ended; the message comes back.
    pub fn try_send(&self, message: M) -> Result<(), TellError<M>> {
        self.0.mailbox.try_push(message)?;
        self.notify();
        Ok(())
    }

    /// Sends as soon as there is room.
    ///
    /// # Errors
    ///
    /// The shard has ended; the message comes back.
    ///
    /// # Cancel safety
    ///
    /// A dropped future may have sent the message or not.
    pub async fn send(&self, message: M) -> Result<(), Closed<M>> {
        self.0.mailbox.push(message).await?;
        self.notify();
        Ok(())
    }

    /// Sends as soon as there is room and blocks the thread until then. Not for a shard's thread.
    ///
    /// # Errors
    ///
    /// The shard has ended; the message comes back.
    pub fn send_blocking(&self, message: M) -> Result<(), Closed<M>> {
        if let Err(full) = self.try_send(message) {
            let message =
                if full.is_full() { full.into_message() } else { return Err(Closed(full.into_message())) };
            return block_on(self.send(message), None).unwrap_or(Ok(()));
        }
        Ok(())
    }

    /// Returns the index of the shard.
    pub fn shard(&self) -> usize {
        self.0.shard.index
    }

    /// Returns how many messages wait.
    pub fn depth(&self) -> usize {
        self.0.mailbox.len()
    }

    /// Returns how many messages may wait.
    ///
    /// From 16 on a busy driver may hold on to an eighth of the room, 32 at most: senders find the inbox full that much
    /// earlier.
    pub fn capacity(&self) -> usize {
        self.0.mailbox.capacity()
    }

    /// Returns the shard's counters.
    pub fn stats(&self) -> &ShardStats {
        &self.0.shard.stats
    }

    pub(crate) fn receive(&self, intake: &mut Intake<M, Infallible>) -> Option<M> {
        let (letter, room) = intake.next(&self.0.mailbox);
        self.0.mailbox.give_back(room);
        match letter? {
            Letter::Message(message) => Some(message),
            Letter::Notice(never) => match never {},
        }
    }

    /// Refuses messages from here on and drops those that wait.
    pub(crate) fn close(&self, intake: &mut Intake<M, Infallible>) {
        self.0.mailbox.close();
        self.0.mailbox.abandon();
        drop(intake.abandon(&self.0.mailbox));
    }

    fn notify(&self) {
        self.0.shard.inbox.raise();
        self.0.shard.line.bell.ring();
    }
}

impl<M> Clone for ShardSender<M> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<M> fmt::Debug for ShardSender<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShardSender").field("shard", &self.0.shard.index).finish_non_exhaustive()
    }
}
