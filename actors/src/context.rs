//! What an actor sees of the world while it runs.

use std::{
    fmt,
    future::poll_fn,
    sync::{Arc, atomic::Ordering},
    task::Poll,
    time::Duration,
};

use crate::{
    address::{Addr, Post},
    census::Census,
    local::Local,
    remote::Phase,
    sleep::Sleep,
};

/// Messages an actor handles in a row before others on its shard get their turn.
const MESSAGES_IN_A_ROW: u32 = 64;

/// An actor's own view: its address, its shard, its timers.
pub struct Context<M> {
    post: Arc<Post<M>>,
    local: Local,
    census: Arc<Census>,
    restarts: u64,
    in_a_row: u32,
}

impl<M: Send + 'static> Context<M> {
    pub(crate) fn new(post: Arc<Post<M>>, local: Local, census: Arc<Census>) -> Self {
        Self { post, local, census, restarts: 0, in_a_row: 0 }
    }

    /// Returns an address of this actor. As long as it is kept the actor does not end for lack of addresses.
    pub fn address(&self) -> Addr<M> {
        self.post.address()
    }

    /// Returns the shard this actor lives on.
    pub fn local(&self) -> &Local {
        &self.local
    }

    /// Returns the index of the shard this actor lives on.
    pub fn shard(&self) -> usize {
        self.local.shard()
    }

    /// Returns the name this actor was spawned with.
    pub fn name(&self) -> &str {
        &self.post.name
    }

    /// Returns how many times this actor was built anew.
    pub fn restarts(&self) -> u64 {
        self.restarts
    }

    /// Returns a future that ends after `duration`, by the shard's timers.
    pub fn sleep(&self, duration: Duration) -> Sleep {
        self.local.sleep(duration)
    }

    pub(crate) fn count_restart(&mut self) {
        self.restarts += 1;
    }

    pub(crate) fn phase(&self) -> Phase {
        self.post.shard.phase()
    }

    /// Waits until the system begins to stop.
    pub(crate) async fn stop_begins(&self) {
        poll_fn(|_| if self.phase() == Phase::Running { Poll::Pending } else { Poll::Ready(()) }).await;
    }

    /// Waits for the next message. `None`: there will be none, or they are not to be handled.
    pub(crate) async fn next(&mut self) -> Option<M> {
        poll_fn(|cx| {
            if self.in_a_row >= MESSAGES_IN_A_ROW {
                self.in_a_row = 0;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let next = self.poll_next();
            self.in_a_row = if next.is_pending() { 0 } else { self.in_a_row + 1 };
            next
        })
        .await
    }

    fn poll_next(&self) -> Poll<Option<M>> {
        // Every sender wakes the guest itself, so no waker is left anywhere.
        match self.phase() {
            Phase::Running => self.poll_running(),
            Phase::Drain => Poll::Ready(self.drain()),
            Phase::Refuse | Phase::Abort => Poll::Ready(None),
        }
    }

    fn poll_running(&self) -> Poll<Option<M>> {
        // Read before the mailbox: whoever dropped the last address had told what it had to tell.
        let forgotten = self.post.is_forgotten();
        match self.post.mailbox.pop() {
            Some(message) => Poll::Ready(Some(message)),
            None if forgotten => Poll::Ready(None),
            None => Poll::Pending,
        }
    }

    fn drain(&self) -> Option<M> {
        self.post.mailbox.close();
        let message = self.post.mailbox.pop()?;
        self.census.counters.drained.fetch_add(1, Ordering::Relaxed);
        Some(message)
    }
}

impl<M> fmt::Debug for Context<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("name", &self.post.name).field("local", &self.local).finish_non_exhaustive()
    }
}
