//! A bounded queue between threads.

use std::sync::{PoisonError, RwLock};

use crate::{error::TellError, sync::channel};

/// Bounded queue with many senders and many receivers. Receivers wait for items, senders never wait.
pub(super) struct Queue<T> {
    /// `None` once the queue is closed. Only closing locks it for writing.
    sender: RwLock<Option<channel::Sender<T>>>,
    receiver: channel::Receiver<T>,
}

impl<T> Queue<T> {
    /// Creates a queue for `capacity` items, at least one.
    pub(super) fn new(capacity: usize) -> Self {
        let (sender, receiver) = channel::bounded(capacity.max(1));
        Self { sender: RwLock::new(Some(sender)), receiver }
    }

    /// Adds an item if there is room. Otherwise, or if the queue is closed, the item comes back.
    pub(super) fn try_push(&self, item: T) -> Result<(), TellError<T>> {
        let sender = self.sender.read().unwrap_or_else(PoisonError::into_inner);
        let Some(sender) = &*sender else { return Err(TellError::Closed(item)) };
        sender.try_send(item).map_err(|error| match error {
            channel::TrySendError::Full(item) => TellError::Full(item),
            channel::TrySendError::Disconnected(item) => TellError::Closed(item),
        })
    }

    /// Takes an item if there is one.
    pub(super) fn pop(&self) -> Option<T> {
        self.receiver.try_recv().ok()
    }

    /// Waits for an item. Returns `None` once the queue is closed and empty.
    pub(super) async fn next(&self) -> Option<T> {
        self.receiver.recv_async().await.ok()
    }

    /// Blocks the thread until there is an item. Returns `None` once the queue is closed and empty.
    pub(super) fn next_blocking(&self) -> Option<T> {
        self.receiver.recv().ok()
    }

    /// Refuses new items. Items in the queue can still be taken.
    pub(super) fn close(&self) {
        drop(self.sender.write().unwrap_or_else(PoisonError::into_inner).take());
    }

    /// Returns the number of items.
    pub(super) fn len(&self) -> usize {
        self.receiver.len()
    }
}
