//! Bounded queues. The only file that names flume.
//!
//! A [`Mailbox`] has one receiver, which is woken by its shard and never waits here. It ends in order: closed to new
//! messages, drained, then abandoned. A [`Queue`] has many takers, which wait.

use std::{
    fmt,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU8, AtomicU64, Ordering, fence},
    },
};

use crate::error::{Closed, TellError};

const OPEN: u8 = 0;
/// New messages are refused; those inside are still handled.
const CLOSED: u8 = 1;
/// Nobody takes messages out any more; whoever finds one drops it, so that replies inside are dropped too.
const ABANDONED: u8 = 2;

/// A bounded queue from many senders to one receiver.
pub(crate) struct Mailbox<M> {
    sender: flume::Sender<M>,
    receiver: flume::Receiver<M>,
    state: AtomicU8,
    capacity: usize,
    /// Counts the messages that were taken in but never handled.
    refused: Arc<AtomicU64>,
}

impl<M> Mailbox<M> {
    /// Makes a mailbox for `capacity` messages, at least one.
    pub(crate) fn new(capacity: usize, refused: Arc<AtomicU64>) -> Self {
        let capacity = capacity.max(1);
        let (sender, receiver) = flume::bounded(capacity);
        Self { sender, receiver, state: AtomicU8::new(OPEN), capacity, refused }
    }

    pub(crate) fn try_push(&self, message: M) -> Result<(), TellError<M>> {
        if !self.is_open() {
            return Err(TellError::Closed(message));
        }
        match self.sender.try_send(message) {
            Ok(()) => {
                self.settle();
                Ok(())
            }
            Err(flume::TrySendError::Full(message)) => Err(TellError::Full(message)),
            Err(flume::TrySendError::Disconnected(message)) => Err(TellError::Closed(message)),
        }
    }

    /// Waits for room. Dropping the future before it is ready takes the message back, or drops it if it was taken.
    pub(crate) async fn push(&self, message: M) -> Result<(), Closed<M>> {
        if !self.is_open() {
            return Err(Closed(message));
        }
        let sent = self.sender.send_async(message).await;
        self.settle();
        sent.map_err(|error| Closed(error.into_inner()))
    }

    /// Waits for room, blocking the thread.
    pub(crate) fn push_blocking(&self, message: M) -> Result<(), Closed<M>> {
        if !self.is_open() {
            return Err(Closed(message));
        }
        let sent = self.sender.send(message);
        self.settle();
        sent.map_err(|error| Closed(error.into_inner()))
    }

    pub(crate) fn pop(&self) -> Option<M> {
        self.receiver.try_recv().ok()
    }

    /// Refuses new messages from here on.
    pub(crate) fn close(&self) {
        self.state.fetch_max(CLOSED, Ordering::SeqCst);
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

    pub(crate) fn len(&self) -> usize {
        self.receiver.len()
    }

    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    /// After a push: if the receiver went away in between, nobody else would drop the message.
    fn settle(&self) {
        fence(Ordering::SeqCst);
        if self.state.load(Ordering::Relaxed) == ABANDONED {
            self.refuse_all();
        }
    }

    fn refuse_all(&self) {
        while let Some(message) = self.pop() {
            self.refused.fetch_add(1, Ordering::Relaxed);
            drop(message);
        }
    }
}

impl<M> fmt::Debug for Mailbox<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailbox").field("depth", &self.len()).field("capacity", &self.capacity).finish()
    }
}

/// A bounded queue from many senders to many takers, which wait for it.
pub(crate) struct Queue<T> {
    /// `None` once closed. The lock is written once in a queue's life.
    sender: RwLock<Option<flume::Sender<T>>>,
    receiver: flume::Receiver<T>,
}

impl<T> Queue<T> {
    pub(crate) fn new(capacity: usize) -> Self {
        let (sender, receiver) = flume::bounded(capacity.max(1));
        Self { sender: RwLock::new(Some(sender)), receiver }
    }

    pub(crate) fn try_push(&self, item: T) -> Result<(), TellError<T>> {
        let sender = self.sender.read().unwrap_or_else(PoisonError::into_inner);
        let Some(sender) = &*sender else { return Err(TellError::Closed(item)) };
        sender.try_send(item).map_err(|error| match error {
            flume::TrySendError::Full(item) => TellError::Full(item),
            flume::TrySendError::Disconnected(item) => TellError::Closed(item),
        })
    }

    pub(crate) fn pop(&self) -> Option<T> {
        self.receiver.try_recv().ok()
    }

    /// Waits for an item. `None`: the queue is closed and empty.
    pub(crate) async fn next(&self) -> Option<T> {
        self.receiver.recv_async().await.ok()
    }

    /// Waits for an item, blocking the thread. `None`: the queue is closed and empty.
    pub(crate) fn next_blocking(&self) -> Option<T> {
        self.receiver.recv().ok()
    }

    /// Refuses new items; those inside can still be taken.
    pub(crate) fn close(&self) {
        drop(self.sender.write().unwrap_or_else(PoisonError::into_inner).take());
    }

    pub(crate) fn len(&self) -> usize {
        self.receiver.len()
    }
}
