//! The queue of what was woken on a shard.

use std::{mem, sync::Arc};

use super::doorbell::{Doorbell, Flag, Notify};
use crate::{
    os::EventFd,
    sync::{Mutex, MutexGuard, PoisonError},
};

impl Notify for EventFd {
    fn notify(&self) {
        self.make_readable();
    }
}

/// Doorbell of a shard, and everything that other threads woke and the shard has not taken since, in order.
///
/// `W` is what can be woken. It is never queued twice, which bounds the queue.
#[derive(Debug)]
pub(crate) struct WakeQueue<W> {
    pub(crate) doorbell: Doorbell<EventFd>,
    flag: Flag,
    queue: Mutex<Queue<W>>,
}

#[derive(Debug)]
struct Queue<W> {
    woken: Vec<Arc<W>>,
    closed: bool,
}

impl<W> WakeQueue<W> {
    /// Creates an empty queue. `eventfd` is written when the shard sleeps and something is woken.
    pub(crate) fn new(eventfd: EventFd) -> Arc<Self> {
        let queue = Queue { woken: Vec::new(), closed: false };
        Arc::new(Self { doorbell: Doorbell::new(eventfd), flag: Flag::new(), queue: Mutex::new(queue) })
    }

    /// Queues `woken`, and rings the doorbell if the queue was empty. Does nothing once the queue is closed.
    ///
    /// If something was queued already, the thread that queued it has rung under the same lock, and the shard
    /// has not taken the queue since. So waking a thousand tasks for one event rings once.
    pub(super) fn push(&self, woken: Arc<W>) {
        let mut queue = self.lock();
        if queue.closed {
            return;
        }
        let was_empty = queue.woken.is_empty();
        queue.woken.push(woken);
        if was_empty {
            self.flag.raise();
            self.doorbell.ring();
        }
    }

    /// Returns `true` if the queue may hold something.
    pub(crate) fn is_raised(&self) -> bool {
        self.flag.is_raised()
    }

    /// Swaps the queue with `batch`, which must be empty. Neither allocates again that way.
    pub(crate) fn take(&self, batch: &mut Vec<Arc<W>>) {
        if self.flag.lower() {
            mem::swap(&mut self.lock().woken, batch);
        }
    }

    /// Drops the queue's contents and ignores every later wake. Called when the shard has ended.
    pub(crate) fn close(&self) {
        let mut queue = self.lock();
        queue.closed = true;
        let woken = mem::take(&mut queue.woken);
        drop(queue);
        drop(woken);
    }

    fn lock(&self) -> MutexGuard<'_, Queue<W>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
