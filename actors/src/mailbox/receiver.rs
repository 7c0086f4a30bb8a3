//! The receiver's side of a mailbox, of one thread: batches of messages, and room for that thread's own senders.

use std::{collections::VecDeque, mem};

use super::shared::{ABANDONED, Letter, Mailbox};
use crate::{error::TellError, sync::Ordering};

/// Messages taken one by one before the rest is taken as one: a single message shall not cost an allocation.
const SINGLES: usize = 4;

/// The receiver's side of a mailbox, of one thread: what it took out in one go, and room it has not given back.
///
/// A receiver on a shard is also where that shard's own senders push, past every lock: they find what came from
/// elsewhere before them in front of them, so that what happened first is handled first.
pub(crate) struct Intake<M, N> {
    batch: VecDeque<Letter<M, N>>,
    room: usize,
}

impl<M, N> Intake<M, N> {
    pub(crate) fn new() -> Self {
        Self { batch: VecDeque::new(), room: 0 }
    }

    /// Takes the next letter, and room to be [given back](Mailbox::give_back) once nothing is borrowed: it may wake.
    pub(crate) fn next(&mut self, mailbox: &Mailbox<M, N>) -> (Option<Letter<M, N>>, usize) {
        if self.batch.is_empty() {
            self.gather(mailbox);
        }
        let letter = self.batch.pop_front();
        let keep = match &letter {
            Some(Letter::Message(_)) => {
                self.room += 1;
                mailbox.spare()
            }
            Some(Letter::Notice(_)) => usize::MAX,
            None => 0,
        };
        let back = if self.room > keep { mem::take(&mut self.room) } else { 0 };
        mailbox.lent.store(self.room, Ordering::Relaxed);
        (letter, back)
    }

    /// Adds a message of the receiver's own thread.
    pub(crate) fn push(&mut self, message: M, mailbox: &Mailbox<M, N>) -> Result<(), TellError<M>> {
        if !mailbox.is_open() {
            return Err(TellError::Closed(message));
        }
        if self.room == 0 {
            self.room = mailbox.take_room();
        }
        if self.room == 0 {
            return Err(TellError::Full(message));
        }
        self.room -= 1;
        mailbox.lent.store(self.room, Ordering::Relaxed);
        self.put(message, mailbox);
        Ok(())
    }

    /// Adds a message of the receiver's own thread, whose room was taken before. A mailbox that was abandoned
    /// meanwhile gives it back: to be dropped outside of any borrow.
    #[must_use]
    pub(crate) fn push_with_room(&mut self, message: M, mailbox: &Mailbox<M, N>) -> Option<M> {
        if mailbox.state.load(Ordering::Relaxed) == ABANDONED {
            mailbox.refused.fetch_add(1, Ordering::Relaxed);
            return Some(message);
        }
        self.put(message, mailbox);
        None
    }

    fn put(&mut self, message: M, mailbox: &Mailbox<M, N>) {
        self.gather(mailbox);
        self.batch.push_back(Letter::Message(message));
    }

    /// Drops all that was taken out and not handled, and counts it. Returns it: to be dropped outside of any borrow.
    #[must_use]
    pub(crate) fn abandon(&mut self, mailbox: &Mailbox<M, N>) -> VecDeque<Letter<M, N>> {
        let batch = mem::take(&mut self.batch);
        let messages = batch.iter().filter(|letter| matches!(letter, Letter::Message(_))).count();
        mailbox.refused.fetch_add(messages as u64, Ordering::Relaxed);
        batch
    }

    /// Moves what came from elsewhere behind what is here.
    fn gather(&mut self, mailbox: &Mailbox<M, N>) {
        if !mailbox.arrived.load(Ordering::Acquire) {
            return;
        }
        mailbox.arrived.store(false, Ordering::Relaxed);
        for _ in 0..SINGLES {
            let Ok(letter) = mailbox.receiver.try_recv() else { return };
            self.batch.push_back(letter);
        }
        self.batch.extend(mailbox.receiver.drain());
    }
}
