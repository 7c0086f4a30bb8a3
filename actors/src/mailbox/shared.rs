//! Bounded mailboxes: many senders, one receiver, which is woken by its shard and never waits here.
//!
//! Room is counted apart from the queue, so that a shard can take it by the handful: see [`Intake`]. A mailbox ends in
//! order: closed to new messages, drained, then abandoned.
//!
//! What needs no room, besides messages, is of a type `N` that the mailbox does not know.

use std::{fmt, sync::Arc};

use crate::{
    error::{Closed, TellError},
    sync::{
        AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering, Semaphore, TryAcquireError, channel, fence,
    },
};

const OPEN: u8 = 0;
/// New messages are refused; those inside are still handled.
const CLOSED: u8 = 1;
/// Nobody takes messages out any more; whoever finds one drops it, so that replies inside are dropped too.
pub(super) const ABANDONED: u8 = 2;

/// Room a shard holds on to at most for its own senders.
const SPARE_MAX: usize = 32;
/// A smaller mailbox lends its shard no room, so that its bound is exact for everyone.
const LENDS_FROM: usize = 16;

/// What lies in a mailbox.
pub(crate) enum Letter<M, N> {
    /// Takes room.
    Message(M),
    /// Takes none: its receiver bounds how many there can be.
    Notice(N),
}

/// The side of a mailbox that every thread shares.
pub(crate) struct Mailbox<M, N> {
    sender: channel::Sender<Letter<M, N>>,
    pub(super) receiver: channel::Receiver<Letter<M, N>>,
    /// Up when the queue may hold something. Raised after the push, lowered before the queue is emptied; the queue's
    /// lock between the two orders them.
    pub(super) arrived: AtomicBool,
    room: Semaphore,
    /// Room that the receiver holds on to. Written by the receiver only.
    pub(super) lent: AtomicUsize,
    pub(super) state: AtomicU8,
    capacity: usize,
    /// Counts the messages that were taken in but never handled.
    pub(super) refused: Arc<AtomicU64>,
}

impl<M, N> Mailbox<M, N> {
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
    pub(crate) fn notify(&self, notice: N) {
        self.put(Letter::Notice(notice));
    }

    /// Leaves a full fence behind the push: the caller may look whether its receiver must be woken.
    fn put(&self, letter: Letter<M, N>) {
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
    pub(super) fn spare(&self) -> usize {
        if self.capacity < LENDS_FROM { 0 } else { (self.capacity / 8).min(SPARE_MAX) }
    }

    /// Takes room for one message at least, more if there is plenty. 0: there is none.
    pub(super) fn take_room(&self) -> usize {
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

    fn refuse(&self, letter: Letter<M, N>) {
        if matches!(letter, Letter::Message(_)) {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
        drop(letter);
    }
}

impl<M, N> fmt::Debug for Mailbox<M, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailbox").field("depth", &self.len()).field("capacity", &self.capacity).finish()
    }
}
