//! A bounded queue from many senders to many takers, which wait for it.

use std::sync::{PoisonError, RwLock};

use crate::{error::TellError, sync::channel};

/// A bounded queue from many senders to many takers, which wait for it.
pub(crate) struct Queue<T> {
    /// `None` once closed. The lock is written once in a queue's life.
    sender: RwLock<Option<channel::Sender<T>>>,
    receiver: channel::Receiver<T>,
}

impl<T> Queue<T> {
    pub(crate) fn new(capacity: usize) -> Self {
        let (sender, receiver) = channel::bounded(capacity.max(1));
        Self { sender: RwLock::new(Some(sender)), receiver }
    }

    pub(crate) fn try_push(&self, item: T) -> Result<(), TellError<T>> {
        let sender = self.sender.read().unwrap_or_else(PoisonError::into_inner);
        let Some(sender) = &*sender else { return Err(TellError::Closed(item)) };
        sender.try_send(item).map_err(|error| match error {
            channel::TrySendError::Full(item) => TellError::Full(item),
            channel::TrySendError::Disconnected(item) => TellError::Closed(item),
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
