//! The subscriber's side.

use std::{
    error::Error,
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

/// Why nobody can subscribe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TopicError {
    /// The topic was closed.
    Closed,
    /// The shard has as many events to hand out as it can hold; try again soon.
    Busy,
}

impl fmt::Display for TopicError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "the topic is closed",
            Self::Busy => "the shard is busy handing out events; try again soon",
        })
    }
}

impl Error for TopicError {}

/// A place among a topic's subscribers, given up when dropped.
///
/// It belongs to the shard it was made on: that one's relay fills its queue. It may be polled anywhere.
pub struct Subscription<P: Payload> {
    queue: Arc<Queue<P>>,
    /// The relays of all shards; its own is that of the queue's shard.
    relays: Arc<[RelayHandle<P>]>,
    start: u64,
    rests: bool,
}

impl<P: Payload> Subscription<P> {
    pub(super) fn new(queue: Arc<Queue<P>>, relays: Arc<[RelayHandle<P>]>, start: u64) -> Self {
        Self { queue, relays, start, rests: false }
    }

    /// Returns what tells this subscription from all others of the process.
    pub fn id(&self) -> u64 {
        self.queue.id
    }

    /// Returns the number of the last event before this subscription: those after it are delivered.
    pub fn start(&self) -> u64 {
        self.start
    }

    /// Waits for what is next.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Delivery<P> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// Polls for what is next.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Delivery<P>> {
        let (delivery, rests) = ready!(self.queue.poll(cx));
        self.rests = rests;
        Poll::Ready(delivery)
    }

    /// Says, right behind a delivery, that it was all there is, and that what comes wakes whoever polled: there is no need
    /// to poll again to find that out.
    pub fn rests(&self) -> bool {
        self.rests
    }

    /// Has events put into an outlet of this thread's shard while that is open, instead of the queue. For a subscription that
    /// gets events as they come.
    ///
    /// The outlet is [`ready`](crate::Outlet::ready) when the subscription [`rests`](Self::rests), or had nothing to
    /// deliver when polled. An event in the outlet counts as taken: the queue's bounds do not know it. False when the
    /// subscription belongs to another shard, or its relay has no room to be told at the moment.
    pub fn connect(&self, outlet: OutletKey) -> bool {
        self.relay().connect(&self.queue, outlet)
    }

    /// Goes over to live events, for a subscription made by [`Topic::subscribe_catching_up`](super::Topic::subscribe_catching_up)
    /// whose owner has read the history up to event `read`. The next delivery is the one after it.
    ///
    /// False when more came meanwhile than the queue holds: the history has it by now, so read on from `read` and
    /// call this again.
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
        self.relay().left(&self.queue);
    }
}

impl<P: Payload> fmt::Debug for Subscription<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").field("start", &self.start).finish_non_exhaustive()
    }
}
