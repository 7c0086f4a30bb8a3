//! The subscriber's side of a subscription.

use std::{
    fmt,
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll, ready},
};

use super::{
    event::{Delivery, Payload},
    queue::Queue,
    relay::RelayHandle,
};
use crate::shard::OutletKey;

/// Subscription to a topic. Dropping it unsubscribes.
///
/// It belongs to the shard on which it was created, or to the first shard if it was created on another
/// thread. The relay of that shard fills its queue. It may be polled anywhere.
pub struct Subscription<P: Payload> {
    queue: Arc<Queue<P>>,
    /// Relays of all shards.
    relays: Arc<[RelayHandle<P>]>,
    start: u64,
    rests: bool,
}

impl<P: Payload> Subscription<P> {
    pub(super) fn new(queue: Arc<Queue<P>>, relays: Arc<[RelayHandle<P>]>, start: u64) -> Self {
        Self { queue, relays, start, rests: false }
    }

    /// Returns the id of the subscription, unique in the process.
    pub fn id(&self) -> u64 {
        self.queue.id
    }

    /// Returns the number of the last event before the subscription. Later events are delivered.
    pub fn start(&self) -> u64 {
        self.start
    }

    /// Waits for the next delivery.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, no delivery is lost.
    pub async fn next(&mut self) -> Delivery<P> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// Polls for the next delivery.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Delivery<P>> {
        let (delivery, rests) = ready!(self.queue.poll(cx));
        self.rests = rests;
        Poll::Ready(delivery)
    }

    /// Returns `true` if nothing followed the last delivery, and the next event wakes the task that polled.
    ///
    /// Valid right after a delivery. It saves the poll that would return `Pending`.
    pub fn rests(&self) -> bool {
        self.rests
    }

    /// Returns the number up to which the subscription has delivered every event of interest, or `None` if
    /// deliveries wait.
    ///
    /// It rises with events that are not of interest, too. With an outlet, call it only after the event in
    /// the outlet was taken.
    pub fn delivered_to(&self) -> Option<u64> {
        self.queue.delivered_to()
    }

    /// Connects the subscription to an outlet of the calling thread's shard.
    ///
    /// While the outlet is open, events go there instead of to the queue. An event in the outlet counts as
    /// delivered, and not against the bounds of the queue. The owner [opens](crate::Outlet::open) the outlet
    /// when the subscription [`rests`](Self::rests), or when a poll returned `Pending`. The first event still
    /// goes through the queue.
    ///
    /// Returns `false` if the subscription belongs to another shard, or if the mailbox of its relay is full
    /// or closed. A subscription that is still catching up must not be connected.
    pub fn connect(&self, outlet: OutletKey) -> bool {
        self.relay().connect(&self.queue, outlet)
    }

    /// Switches to live events after the owner has read the history up to event `read`. The next delivery
    /// follows it.
    ///
    /// For a subscription from [`Topic::subscribe_catching_up`](super::Topic::subscribe_catching_up). Returns
    /// `false` if more events came meanwhile than the queue holds. The history has them: read on after `read`
    /// and call this again.
    pub fn caught_up(&mut self, read: u64) -> bool {
        self.queue.caught_up(read)
    }

    fn relay(&self) -> &RelayHandle<P> {
        &self.relays[self.queue.shard]
    }
}

impl<P: Payload> Drop for Subscription<P> {
    fn drop(&mut self) {
        self.queue.leave();
        self.relay().leave(&self.queue);
    }
}

impl<P: Payload> fmt::Debug for Subscription<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").field("start", &self.start).finish_non_exhaustive()
    }
}
