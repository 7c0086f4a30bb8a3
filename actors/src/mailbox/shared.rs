//! The side of a mailbox that all threads share.
//!
//! A semaphore counts the free slots, apart from the queue. So a receiver can acquire several slots at once
//! for the senders on its own thread; see [`Receiver`](super::Receiver).
//!
//! A mailbox ends in three steps: it is closed to new messages, drained, and abandoned.

use std::{fmt, sync::Arc};

use crate::{
    error::{Closed, TellError},
    sync::{
        AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering, Semaphore, TryAcquireError, channel, fence,
    },
};

/// State of a mailbox that accepts messages.
const OPEN: u8 = 0;
/// State of a mailbox that refuses new messages. Messages in it are still handled.
const CLOSED: u8 = 1;
/// State of a mailbox from which nobody receives. A thread that finds a message drops it, and with it any
/// reply inside.
pub(super) const ABANDONED: u8 = 2;

/// Maximum number of slots that a receiver may reserve for the senders on its own thread.
const MAX_RESERVED: usize = 32;
/// Smallest capacity at which a receiver reserves slots. Below it the capacity is exact for every sender.
const MIN_CAPACITY_TO_RESERVE: usize = 16;

/// Entry of a mailbox: a message or a signal.
pub(crate) enum Envelope<M, S> {
    /// A message. It occupies a slot.
    Message(M),
    /// A signal from the runtime. It occupies no slot; the receiver bounds how many there can be.
    Signal(S),
}

/// Bounded mailbox for messages of type `M` and unbounded signals of type `S`.
pub(crate) struct Mailbox<M, S> {
    sender: channel::Sender<Envelope<M, S>>,
    pub(super) receiver: channel::Receiver<Envelope<M, S>>,
    /// Set when the channel may hold something: after the push, and cleared before the channel is emptied.
    /// The channel's own lock orders the two.
    pub(super) arrived: AtomicBool,
    free_slots: Semaphore,
    /// Free slots that the receiver has reserved. Only the receiver writes it.
    pub(super) reserved: AtomicUsize,
    pub(super) state: AtomicU8,
    capacity: usize,
    /// Counter of messages that were accepted but never handled.
    pub(super) dropped: Arc<AtomicU64>,
}

impl<M, S> Mailbox<M, S> {
    /// Creates a mailbox for `capacity` messages, at least one. `dropped` counts messages that nobody
    /// handles.
    pub(crate) fn new(capacity: usize, dropped: Arc<AtomicU64>) -> Self {
        let capacity = capacity.clamp(1, Semaphore::MAX_PERMITS);
        let (sender, receiver) = channel::unbounded();
        Self {
            sender,
            receiver,
            arrived: AtomicBool::new(false),
            free_slots: Semaphore::new(capacity),
            reserved: AtomicUsize::new(0),
            state: AtomicU8::new(OPEN),
            capacity,
            dropped,
        }
    }

    /// Pushes a message if a slot is free. A full fence follows the push, so the caller may check next
    /// whether the receiver needs a wake.
    pub(crate) fn try_push(&self, message: M) -> Result<(), TellError<M>> {
        if !self.is_open() {
            return Err(TellError::Closed(message));
        }
        match self.free_slots.try_acquire() {
            Ok(slot) => slot.forget(),
            Err(TryAcquireError::NoPermits) => return Err(TellError::Full(message)),
            Err(TryAcquireError::Closed) => return Err(TellError::Closed(message)),
        }
        self.put(Envelope::Message(message));
        Ok(())
    }

    /// Waits for a free slot and pushes a message.
    ///
    /// A full fence follows the push, so the caller may check next whether the receiver needs a wake.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future before it is ready drops the message.
    pub(crate) async fn push(&self, message: M) -> Result<(), Closed<M>> {
        if !self.acquire_slot().await {
            return Err(Closed(message));
        }
        self.push_acquired(message);
        Ok(())
    }

    /// Waits for a free slot and acquires it. Returns `false` if the mailbox is closed.
    pub(crate) async fn acquire_slot(&self) -> bool {
        let slot = self.free_slots.acquire().await;
        slot.map(|slot| slot.forget()).is_ok()
    }

    /// Pushes a message into a slot that the caller has acquired. A full fence follows the push.
    pub(crate) fn push_acquired(&self, message: M) {
        self.put(Envelope::Message(message));
    }

    /// Pushes a signal. A full fence follows the push. An abandoned mailbox drops the signal.
    pub(crate) fn push_signal(&self, signal: S) {
        self.put(Envelope::Signal(signal));
    }

    fn put(&self, envelope: Envelope<M, S>) {
        // Sending cannot fail: this struct holds the receiver.
        let _ = self.sender.send(envelope);
        if !self.arrived.load(Ordering::Relaxed) {
            self.arrived.store(true, Ordering::Release);
        }
        fence(Ordering::SeqCst);
        // If the mailbox was abandoned during the push, nobody else would drop the message.
        if self.state.load(Ordering::Relaxed) == ABANDONED {
            self.drop_all();
        }
    }

    /// Takes one message and frees its slot, or returns `None` if there is none. Drops signals. For receivers
    /// that take few messages; others use [`Receiver`](super::Receiver).
    pub(crate) fn pop(&self) -> Option<M> {
        loop {
            match self.receiver.try_recv().ok()? {
                Envelope::Message(message) => {
                    self.free_slots.add_permits(1);
                    return Some(message);
                }
                Envelope::Signal(_) => {}
            }
        }
    }

    /// Refuses new messages from now on, also those of senders that wait for a slot.
    pub(crate) fn close(&self) {
        self.state.fetch_max(CLOSED, Ordering::SeqCst);
        self.free_slots.close();
    }

    /// Abandons the mailbox: drops all messages in it and counts them. Does not wait for pushes in progress:
    /// a thread that finishes a push later drops and counts the message itself.
    pub(crate) fn abandon(&self) {
        self.state.store(ABANDONED, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        self.drop_all();
    }

    /// Returns `true` if the mailbox accepts messages.
    pub(crate) fn is_open(&self) -> bool {
        self.state.load(Ordering::Relaxed) == OPEN
    }

    /// Returns the number of waiting messages. It is exact while nobody sends or receives.
    pub(crate) fn len(&self) -> usize {
        let free = self.free_slots.available_permits() + self.reserved.load(Ordering::Relaxed);
        self.capacity.saturating_sub(free)
    }

    /// Returns the maximum number of waiting messages.
    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Returns how many free slots the receiver may reserve.
    pub(super) fn max_reserved(&self) -> usize {
        if self.capacity < MIN_CAPACITY_TO_RESERVE { 0 } else { (self.capacity / 8).min(MAX_RESERVED) }
    }

    /// Acquires several slots if that many are free, else one. Returns how many: 0 if the mailbox is full.
    pub(super) fn acquire_slots(&self) -> usize {
        let wanted = self.max_reserved().min(self.free_slots.available_permits()).max(1);
        // The number fits: it is at most `MAX_RESERVED`.
        for wanted in [wanted as u32, 1] {
            if let Ok(slots) = self.free_slots.try_acquire_many(wanted) {
                slots.forget();
                return wanted as usize;
            }
        }
        0
    }

    /// Frees slots and wakes senders that wait for one.
    pub(crate) fn release_slots(&self, slots: usize) {
        if slots > 0 {
            self.free_slots.add_permits(slots);
        }
    }

    fn drop_all(&self) {
        while let Ok(envelope) = self.receiver.try_recv() {
            if matches!(envelope, Envelope::Message(_)) {
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
            drop(envelope);
        }
    }
}

impl<M, S> fmt::Debug for Mailbox<M, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailbox").field("depth", &self.len()).field("capacity", &self.capacity).finish()
    }
}
