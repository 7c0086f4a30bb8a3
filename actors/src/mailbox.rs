//! Bounded mailboxes: many senders, one receiver, which is woken by its shard and never waits here.
//!
//! Room is counted apart from the queue, so that a shard can take it by the handful: see [`Intake`]. A mailbox ends in
//! order: closed to new messages, drained, then abandoned.
//!
//! `tests/mailbox_model.rs` compiles this file over loom's atomics and a stand-in for its channel.

use std::{collections::VecDeque, fmt, mem, sync::Arc};

use crate::{
    error::{Closed, TellError},
    notice::Notice,
    sync::{
        AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering, Semaphore, TryAcquireError, channel, fence,
    },
};

const OPEN: u8 = 0;
/// New messages are refused; those inside are still handled.
const CLOSED: u8 = 1;
/// Nobody takes messages out any more; whoever finds one drops it, so that replies inside are dropped too.
const ABANDONED: u8 = 2;

/// Room a shard holds on to at most for its own senders.
const SPARE_MAX: usize = 32;
/// A smaller mailbox lends its shard no room, so that its bound is exact for everyone.
const LENDS_FROM: usize = 16;
/// Messages taken one by one before the rest is taken as one: a single message shall not cost an allocation.
const SINGLES: usize = 4;

/// What lies in a mailbox.
pub(crate) enum Letter<M> {
    /// Takes room.
    Message(M),
    /// Takes none: its receiver bounds how many there can be.
    Notice(Notice<M>),
}

/// The side of a mailbox that every thread shares.
pub(crate) struct Mailbox<M> {
    sender: channel::Sender<Letter<M>>,
    receiver: channel::Receiver<Letter<M>>,
    /// Up when the queue may hold something. Raised after the push, lowered before the queue is emptied; the queue's
    /// lock between the two orders them.
    arrived: AtomicBool,
    room: Semaphore,
    /// Room that the receiver holds on to. Written by the receiver only.
    lent: AtomicUsize,
    state: AtomicU8,
    capacity: usize,
    /// Counts the messages that were taken in but never handled.
    refused: Arc<AtomicU64>,
}

impl<M> Mailbox<M> {
    /// Makes a mailbox for `capacity` messages, at least one.
    pub(crate) fn new(capacity: usize, refused: Arc<AtomicU64>) -> Self {
        let capacity = capacity.clamp(1, Semaphore::MAX_PERMITS);
        let (sender, receiver) = channel::unbounded();
        Self {
            sender,
            receiver,
            arrived: AtomicBool::new(false),
            room: Semaphore::new(capacity),
            lent: AtomicUsize::new(0),
            state: AtomicU8::new(OPEN),
            capacity,
            refused,
        }
    }

    pub(crate) fn try_push(&self, message: M) -> Result<(), TellError<M>> {
        if !self.is_open() {
            return Err(TellError::Closed(message));
        }
        match self.room.try_acquire() {
            Ok(room) => room.forget(),
            Err(TryAcquireError::NoPermits) => return Err(TellError::Full(message)),
            Err(TryAcquireError::Closed) => return Err(TellError::Closed(message)),
        }
        self.put(Letter::Message(message));
        Ok(())
    }

    /// Waits for room. Dropping the future before it is ready drops the message.
    pub(crate) async fn push(&self, message: M) -> Result<(), Closed<M>> {
        if !self.wait_for_room().await {
            return Err(Closed(message));
        }
        self.push_with_room(message);
        Ok(())
    }

    /// Waits for room for one message and takes it. False: the mailbox is closed.
    pub(crate) async fn wait_for_room(&self) -> bool {
        let room = self.room.acquire().await;
        room.map(|room| room.forget()).is_ok()
    }

    /// Adds a message whose room was taken before.
    pub(crate) fn push_with_room(&self, message: M) {
        self.put(Letter::Message(message));
    }

    /// Adds what needs no room. Dropped if nobody takes anything out any more.
    pub(crate) fn notify(&self, notice: Notice<M>) {
        self.put(Letter::Notice(notice));
    }

    /// Leaves a full fence behind the push: the caller may look whether its receiver must be woken.
    fn put(&self, letter: Letter<M>) {
        // It cannot fail: the receiver is in this struct.
        let _ = self.sender.send(letter);
        if !self.arrived.load(Ordering::Relaxed) {
            self.arrived.store(true, Ordering::Release);
        }
        fence(Ordering::SeqCst);
        // If the receiver went away in between, nobody else would drop the message.
        if self.state.load(Ordering::Relaxed) == ABANDONED {
            self.refuse_all();
        }
    }

    /// Takes one letter and makes room for the next. For receivers that take few; see [`Intake`] for the others.
    pub(crate) fn pop(&self) -> Option<M> {
        loop {
            match self.receiver.try_recv().ok()? {
                Letter::Message(message) => {
                    self.room.add_permits(1);
                    return Some(message);
                }
                Letter::Notice(_) => {}
            }
        }
    }

    /// Refuses new messages from here on.
    pub(crate) fn close(&self) {
        self.state.fetch_max(CLOSED, Ordering::SeqCst);
        self.room.close();
    }

    /// Drops what is inside and all that still comes in by a race.
    pub(crate) fn abandon(&self) {
        self.state.store(ABANDONED, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        self.refuse_all();
    }

    pub(crate) fn is_open(&self) -> bool {
        self.state.load(Ordering::Relaxed) == OPEN
    }

    /// Returns how many messages wait; exact while nobody sends or receives.
    pub(crate) fn len(&self) -> usize {
        let free = self.room.available_permits() + self.lent.load(Ordering::Relaxed);
        self.capacity.saturating_sub(free)
    }

    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Says how much room the receiver may hold on to.
    fn spare(&self) -> usize {
        if self.capacity < LENDS_FROM { 0 } else { (self.capacity / 8).min(SPARE_MAX) }
    }

    /// Takes room for one message at least, more if there is plenty. 0: there is none.
    fn take_room(&self) -> usize {
        let wanted = self.spare().min(self.room.available_permits()).max(1);
        // It is at most 32.
        for wanted in [wanted as u32, 1] {
            if let Ok(room) = self.room.try_acquire_many(wanted) {
                room.forget();
                return wanted as usize;
            }
        }
        0
    }

    /// Makes room for so many messages and wakes who waits for it.
    pub(crate) fn give_back(&self, room: usize) {
        if room > 0 {
            self.room.add_permits(room);
        }
    }

    fn refuse_all(&self) {
        while let Ok(letter) = self.receiver.try_recv() {
            self.refuse(letter);
        }
    }

    fn refuse(&self, letter: Letter<M>) {
        if matches!(letter, Letter::Message(_)) {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
        drop(letter);
    }
}

impl<M> fmt::Debug for Mailbox<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailbox").field("depth", &self.len()).field("capacity", &self.capacity).finish()
    }
}

/// The receiver's side of a mailbox, of one thread: what it took out in one go, and room it has not given back.
///
/// A receiver on a shard is also where that shard's own senders push, past every lock: they find what came from
/// elsewhere before them in front of them, so that what happened first is handled first.
pub(crate) struct Intake<M> {
    batch: VecDeque<Letter<M>>,
    room: usize,
}

impl<M> Intake<M> {
    pub(crate) fn new() -> Self {
        Self { batch: VecDeque::new(), room: 0 }
    }

    /// Takes the next letter, and room to be [given back](Mailbox::give_back) once nothing is borrowed: it may wake.
    pub(crate) fn next(&mut self, mailbox: &Mailbox<M>) -> (Option<Letter<M>>, usize) {
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
    pub(crate) fn push(&mut self, message: M, mailbox: &Mailbox<M>) -> Result<(), TellError<M>> {
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
    pub(crate) fn push_with_room(&mut self, message: M, mailbox: &Mailbox<M>) -> Option<M> {
        if mailbox.state.load(Ordering::Relaxed) == ABANDONED {
            mailbox.refused.fetch_add(1, Ordering::Relaxed);
            return Some(message);
        }
        self.put(message, mailbox);
        None
    }

    fn put(&mut self, message: M, mailbox: &Mailbox<M>) {
        self.gather(mailbox);
        self.batch.push_back(Letter::Message(message));
    }

    /// Drops all that was taken out and not handled, and counts it. Returns it: to be dropped outside of any borrow.
    #[must_use]
    pub(crate) fn abandon(&mut self, mailbox: &Mailbox<M>) -> VecDeque<Letter<M>> {
        let batch = mem::take(&mut self.batch);
        let messages = batch.iter().filter(|letter| matches!(letter, Letter::Message(_))).count();
        mailbox.refused.fetch_add(messages as u64, Ordering::Relaxed);
        batch
    }

    /// Moves what came from elsewhere behind what is here.
    fn gather(&mut self, mailbox: &Mailbox<M>) {
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
