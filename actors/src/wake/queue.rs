//! The queue of what was woken on a shard, and the doorbell that announces it.

use std::{mem, sync::Arc};

use super::doorbell::{Bell, Doorbell, Flag};
use crate::{
    os::EventFd,
    sync::{Mutex, MutexGuard, PoisonError},
};

impl Bell for EventFd {
    fn strike(&self) {
        self.signal();
    }
}

/// A shard's doorbell, and what was woken and not yet run, in order.
///
/// The queue is bounded by what can be woken: nothing is in it twice.
#[derive(Debug)]
pub(crate) struct WakeQueue<W> {
    pub(crate) bell: Doorbell<EventFd>,
    flag: Flag,
    queue: Mutex<Queue<W>>,
}

#[derive(Debug)]
struct Queue<W> {
    woken: Vec<Arc<W>>,
    closed: bool,
}

impl<W> WakeQueue<W> {
    pub(crate) fn new(bell: EventFd) -> Arc<Self> {
        let queue = Queue { woken: Vec::new(), closed: false };
        Arc::new(Self { bell: Doorbell::new(bell), flag: Flag::new(), queue: Mutex::new(queue) })
    }

    /// Queues what was woken and rings, unless something is queued already: then whoever queued that has rung, under
    /// the same lock, and the shard has not looked since. So an event with a thousand subscribers rings once.
    pub(super) fn push(&self, woken: Arc<W>) {
        let mut queue = self.queue();
        if queue.closed {
            return;
        }
        let first = queue.woken.is_empty();
        queue.woken.push(woken);
        if first {
            self.flag.raise();
            self.bell.ring();
        }
    }

    /// Says whether something was woken.
    pub(crate) fn is_up(&self) -> bool {
        self.flag.is_up()
    }

    /// Exchanges the queue for the empty `batch`, so that neither is allocated anew.
    pub(crate) fn take(&self, batch: &mut Vec<Arc<W>>) {
        if self.flag.lower() {
            mem::swap(&mut self.queue().woken, batch);
        }
    }

    /// Throws away what was woken and all that will be: the shard has ended.
    pub(crate) fn close(&self) {
        let mut queue = self.queue();
        queue.closed = true;
        let woken = mem::take(&mut queue.woken);
        drop(queue);
        drop(woken);
    }

    fn queue(&self) -> MutexGuard<'_, Queue<W>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
