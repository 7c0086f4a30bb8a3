//! Messages from other threads to the driver of a shard.

use std::{
    fmt,
    sync::{Arc, atomic::AtomicU64},
};

use super::{remote::Remote, stats::ShardStats};
use crate::{
    error::{Closed, TellError},
    future::block_on,
    mailbox::{Envelope, Mailbox, Receiver},
};

/// Receiver of a driver's inbox. Its signals are the messages that occupy no slot.
pub(crate) type InboxReceiver<M> = Receiver<M, M>;

struct Inbox<M> {
    mailbox: Mailbox<M, M>,
    shard: Arc<Remote>,
}

/// Sender of messages to the driver of one shard. Clones send to the same driver.
pub struct ShardSender<M>(Arc<Inbox<M>>);

impl<M: Send + 'static> ShardSender<M> {
    pub(crate) fn new(shard: Arc<Remote>, capacity: usize, dropped: Arc<AtomicU64>) -> Self {
        Self(Arc::new(Inbox { mailbox: Mailbox::new(capacity, dropped), shard }))
    }

    /// Sends a message if the inbox has a free slot.
    ///
    /// # Errors
    ///
    /// The inbox is full or the shard has ended. The error returns the message.
    pub fn try_send(&self, message: M) -> Result<(), TellError<M>> {
        self.0.mailbox.try_push(message)?;
        self.notify();
        Ok(())
    }

    /// Sends a message as soon as the inbox has a free slot.
    ///
    /// # Errors
    ///
    /// The shard has ended. The error returns the message.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it is ready, the message is dropped too and is not sent.
    pub async fn send(&self, message: M) -> Result<(), Closed<M>> {
        self.0.mailbox.push(message).await?;
        self.notify();
        Ok(())
    }

    /// Sends a message as soon as the inbox has a free slot. Blocks the calling thread until then.
    ///
    /// Do not call it on a shard's thread.
    ///
    /// # Errors
    ///
    /// The shard has ended. The error returns the message.
    pub fn send_blocking(&self, message: M) -> Result<(), Closed<M>> {
        match self.try_send(message) {
            Ok(()) => Ok(()),
            Err(TellError::Closed(message)) => Err(Closed(message)),
            // Without a deadline the future always completes.
            Err(TellError::Full(message)) => block_on(self.send(message)),
        }
    }

    /// Sends a message at once, even if the inbox is full: it occupies no slot. The caller must bound the
    /// number of such messages.
    ///
    /// # Errors
    ///
    /// The shard has ended. The error returns the message.
    pub fn send_without_slot(&self, message: M) -> Result<(), Closed<M>> {
        if !self.0.mailbox.is_open() {
            return Err(Closed(message));
        }
        self.0.mailbox.push_signal(message);
        self.notify();
        Ok(())
    }

    /// Returns the index of the shard.
    pub fn shard(&self) -> usize {
        self.0.shard.index
    }

    /// Returns the number of waiting messages. It is exact while nobody sends or receives.
    pub fn depth(&self) -> usize {
        self.0.mailbox.len()
    }

    /// Returns the maximum number of waiting messages.
    ///
    /// With a capacity of 16 or more, a busy driver may keep up to an eighth of the slots, at most 32, until
    /// it has handled its messages. Senders find the inbox full that much earlier.
    pub fn capacity(&self) -> usize {
        self.0.mailbox.capacity()
    }

    /// Returns the counters of the shard.
    pub fn stats(&self) -> &ShardStats {
        &self.0.shard.stats
    }

    /// Takes the next message, or returns `None` if the inbox is empty. Called on the thread of the shard
    /// only.
    pub(crate) fn receive(&self, receiver: &mut InboxReceiver<M>) -> Option<M> {
        let (envelope, slots) = receiver.pop(&self.0.mailbox);
        self.0.mailbox.release_slots(slots);
        let (Envelope::Message(message) | Envelope::Signal(message)) = envelope?;
        Some(message)
    }

    /// Refuses new messages from now on, drops the waiting ones and counts them.
    pub(crate) fn close(&self, receiver: &mut InboxReceiver<M>) {
        self.0.mailbox.close();
        self.0.mailbox.abandon();
        drop(receiver.abandon(&self.0.mailbox));
    }

    fn notify(&self) {
        self.0.shard.inbox_flag.raise();
        self.0.shard.wakes.doorbell.ring();
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
