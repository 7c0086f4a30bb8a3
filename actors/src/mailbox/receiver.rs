//! The receiving side of a mailbox, which belongs to one thread.

use std::{collections::VecDeque, mem};

use super::shared::{ABANDONED, Envelope, Mailbox};
use crate::{error::TellError, sync::Ordering};

/// Number of envelopes taken one by one before the rest is taken as a whole, which allocates. A lone message
/// costs no allocation that way.
const TAKEN_SINGLY: usize = 4;

/// Receiver of a mailbox: a batch of envelopes taken from the channel, and reserved slots.
///
/// Senders on the receiver's own thread push here and take no lock. Their messages go behind whatever other
/// threads have pushed before, so what was sent first is handled first.
pub(crate) struct Receiver<M, S> {
    batch: VecDeque<Envelope<M, S>>,
    /// Free slots that this receiver holds for senders on its thread.
    reserved: usize,
}

impl<M, S> Receiver<M, S> {
    /// Creates a receiver with an empty batch.
    pub(crate) fn new() -> Self {
        Self { batch: VecDeque::new(), reserved: 0 }
    }

    /// Takes the next envelope, or `None` if the mailbox is empty.
    ///
    /// Returns also how many slots the caller must [release](Mailbox::release_slots). It does so after the
    /// end of all borrows, because the release may wake a task.
    pub(crate) fn pop(&mut self, mailbox: &Mailbox<M, S>) -> (Option<Envelope<M, S>>, usize) {
        if self.batch.is_empty() {
            self.refill(mailbox);
        }
        let envelope = self.batch.pop_front();
        let keep = match &envelope {
            Some(Envelope::Message(_)) => {
                self.reserved += 1;
                mailbox.max_reserved()
            }
            Some(Envelope::Signal(_)) => usize::MAX,
            None => 0,
        };
        let release = if self.reserved > keep { mem::take(&mut self.reserved) } else { 0 };
        mailbox.reserved.store(self.reserved, Ordering::Relaxed);
        (envelope, release)
    }

    /// Pushes a message from the receiver's own thread if a slot is free.
    pub(crate) fn push(&mut self, message: M, mailbox: &Mailbox<M, S>) -> Result<(), TellError<M>> {
        if !mailbox.is_open() {
            return Err(TellError::Closed(message));
        }
        if self.reserved == 0 {
            self.reserved = mailbox.acquire_slots();
        }
        if self.reserved == 0 {
            return Err(TellError::Full(message));
        }
        self.reserved -= 1;
        mailbox.reserved.store(self.reserved, Ordering::Relaxed);
        self.append(message, mailbox);
        Ok(())
    }

    /// Pushes a message from the receiver's own thread into a slot that the caller has acquired.
    ///
    /// Returns the message, counted as dropped, if the mailbox was abandoned meanwhile. The caller drops it
    /// after the end of all borrows, because that drop may run user code.
    #[must_use]
    pub(crate) fn push_acquired(&mut self, message: M, mailbox: &Mailbox<M, S>) -> Option<M> {
        if mailbox.state.load(Ordering::Relaxed) == ABANDONED {
            mailbox.dropped.fetch_add(1, Ordering::Relaxed);
            return Some(message);
        }
        self.append(message, mailbox);
        None
    }

    fn append(&mut self, message: M, mailbox: &Mailbox<M, S>) {
        self.refill(mailbox);
        self.batch.push_back(Envelope::Message(message));
    }

    /// Takes everything out of the batch and counts its messages as dropped.
    ///
    /// The caller drops the result after the end of all borrows, because that drop may run user code.
    #[must_use]
    pub(crate) fn abandon(&mut self, mailbox: &Mailbox<M, S>) -> VecDeque<Envelope<M, S>> {
        let batch = mem::take(&mut self.batch);
        let messages = batch.iter().filter(|envelope| matches!(envelope, Envelope::Message(_))).count();
        mailbox.dropped.fetch_add(messages as u64, Ordering::Relaxed);
        batch
    }

    /// Moves what other threads have pushed to the end of the batch.
    fn refill(&mut self, mailbox: &Mailbox<M, S>) {
        if !mailbox.arrived.load(Ordering::Acquire) {
            return;
        }
        mailbox.arrived.store(false, Ordering::Relaxed);
        for _ in 0..TAKEN_SINGLY {
            let Ok(envelope) = mailbox.receiver.try_recv() else { return };
            self.batch.push_back(envelope);
        }
        self.batch.extend(mailbox.receiver.drain());
    }
}
