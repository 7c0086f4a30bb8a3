//! The queue between a handler and its connection, bounded in events and bytes.

use std::{
    any::Any,
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;

use super::{Closed, Overflow, Settings, SubscribeError};
use crate::{
    metrics::ShardCounters,
    proto::sse,
    pubsub::{
        broker::TopicStream,
        event::{Event, ServerSent, gap_between},
        stream::reconnect_millis,
    },
    replay::{Position, StoreError},
    routing::handler::panic_message,
};

/// The queue of one client.
pub(super) struct Queue {
    contents: Mutex<Contents>,
    pub(super) settings: Arc<Settings>,
    counters: Arc<ShardCounters>,
}

/// Phase of a queue. A queue only moves forward.
///
/// ```text
///  Open ──close──► Closed ──handler panicked──► Failed ──client gone──► Abandoned
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum QueuePhase {
    /// Accepts events.
    Open,
    /// Accepts no events. The queued ones are still sent.
    Closed,
    /// The response body ends with an error after the queued events.
    Failed,
    /// The connection has dropped the queue.
    Abandoned,
}

struct Contents {
    phase: QueuePhase,
    /// Reason why the handler has failed.
    failure: String,
    /// Encoded events and their weights, bytes.
    events: VecDeque<(Bytes, usize)>,
    /// Number of queued and reserved events.
    depth: usize,
    /// Weight of queued and reserved events, bytes.
    bytes: usize,
    /// Number of events that the overflow policy dropped.
    dropped: u64,
    /// First and last position of the stored events that were dropped after the last queued one.
    gap: Option<(Position, Position)>,
    /// Subscriptions that the connection has not taken yet.
    new_subscriptions: Vec<TopicStream<ServerSent>>,
    /// Number of subscriptions so far.
    subscriptions: usize,
    connection: Option<Waker>,
    /// Senders that wait for room, and tasks that wait for the end.
    waiting: Vec<Waker>,
}

/// Result of [`Queue::pop`].
pub(super) enum QueueItem {
    Event(Bytes),
    /// No event is queued. The waker is registered.
    Empty,
    /// The queue is closed and empty.
    Closed,
    /// The handler has failed, for this reason.
    Failed(String),
}

/// The sender's side.
impl Queue {
    pub(super) fn new(settings: Arc<Settings>, counters: Arc<ShardCounters>) -> Arc<Self> {
        let contents = Contents {
            phase: QueuePhase::Open,
            failure: String::new(),
            events: VecDeque::new(),
            depth: 0,
            bytes: 0,
            dropped: 0,
            gap: None,
            new_subscriptions: Vec::new(),
            subscriptions: 0,
            connection: None,
            waiting: Vec::new(),
        };
        Arc::new(Self { contents: Mutex::new(contents), settings, counters })
    }

    fn lock(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reserves room for an event of `weight` bytes. If the queue has none, applies the overflow policy.
    ///
    /// Gives `None` if the policy drops the event, and [`Closed`] if the queue is closed or the policy closes
    /// it. Waits if the policy is to wait.
    pub(super) fn poll_reserve(
        self: &Arc<Self>,
        event: &Event,
        weight: usize,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Reservation>, Closed>> {
        if let Some(result) = self.try_reserve(&mut self.lock(), weight) {
            return Poll::Ready(result.map(Some));
        }
        // The callback may call methods of the client, so the lock must be free.
        let overflow = self.settings.overflow_of(event);
        let mut contents = self.lock();
        if let Some(result) = self.try_reserve(&mut contents, weight) {
            return Poll::Ready(result.map(Some));
        }
        match overflow {
            Overflow::Block => {
                contents.wait(cx.waker());
                Poll::Pending
            }
            Overflow::Drop => {
                contents.dropped += 1;
                self.counters.sse_overflows.add("drop");
                Poll::Ready(Ok(None))
            }
            Overflow::Close => {
                drop(contents);
                self.counters.sse_overflows.add("close");
                self.close();
                Poll::Ready(Err(Closed))
            }
        }
    }

    /// Reserves room for an event. Returns `None` if the queue has none, and an error if it is closed.
    fn try_reserve(
        self: &Arc<Self>,
        contents: &mut Contents,
        weight: usize,
    ) -> Option<Result<Reservation, Closed>> {
        if contents.phase != QueuePhase::Open {
            return Some(Err(Closed));
        }
        contents.has_room(&self.settings, weight).then(|| {
            contents.depth += 1;
            contents.bytes += weight;
            Ok(Reservation { queue: Some(Arc::clone(self)), weight })
        })
    }

    /// Records that a stored event was dropped. The client receives a gap before the next event that is
    /// queued.
    pub(super) fn record_dropped(&self, position: Position) {
        let mut contents = self.lock();
        let first = contents.gap.map_or(position, |(first, _)| first);
        contents.gap = Some((first, position));
    }

    /// Adds a topic's events to the stream. Fails if the stream is closed or has as many topics as its
    /// settings allow.
    pub(super) fn add_subscription(&self, events: TopicStream<ServerSent>) -> Result<(), SubscribeError> {
        let mut contents = self.lock();
        if contents.phase != QueuePhase::Open {
            return Err(SubscribeError::Closed);
        }
        if contents.subscriptions >= self.settings.subscriptions {
            return Err(SubscribeError::TooMany);
        }
        contents.subscriptions += 1;
        contents.new_subscriptions.push(events);
        let connection = contents.connection.clone();
        drop(contents);
        connection.into_iter().for_each(Waker::wake);
        Ok(())
    }

    /// Closes the queue: it accepts no events, and those in it are still sent.
    pub(super) fn close(&self) {
        self.advance(QueuePhase::Closed);
    }

    /// Closes the queue and ends the response body with an error.
    pub(super) fn fail(&self, reason: String) {
        self.lock().failure = reason;
        self.advance(QueuePhase::Failed);
    }

    /// Counts a panic of the handler and fails the queue.
    pub(super) fn handler_panicked(&self, payload: &(dyn Any + Send)) {
        self.counters.panics.add("handler");
        self.fail(format!("the handler of the event stream panicked: {}", panic_message(payload)));
    }

    fn advance(&self, phase: QueuePhase) {
        let mut contents = self.lock();
        contents.phase = contents.phase.max(phase);
        let (connection, waiting) = (contents.connection.clone(), std::mem::take(&mut contents.waiting));
        drop(contents);
        connection.into_iter().chain(waiting).for_each(Waker::wake);
    }

    /// Returns `Ready` if the queue is closed. Otherwise registers the task to be woken then.
    pub(super) fn poll_closed(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut contents = self.lock();
        if contents.phase != QueuePhase::Open {
            return Poll::Ready(());
        }
        contents.wait(cx.waker());
        Poll::Pending
    }

    pub(super) fn is_closed(&self) -> bool {
        self.lock().phase != QueuePhase::Open
    }

    /// Returns the number of queued and reserved events.
    pub(super) fn depth(&self) -> usize {
        self.lock().depth
    }

    /// Returns the number of events that the overflow policy dropped.
    pub(super) fn dropped(&self) -> u64 {
        self.lock().dropped
    }

    pub(super) fn count_store_error(&self, error: &StoreError) {
        self.counters.replay_errors.add(error.operation().as_str());
    }
}

/// The connection's side.
impl Queue {
    /// Removes and returns the next event, or the end of an empty queue. If there is neither, registers
    /// `waker` to be woken by the next of them.
    pub(super) fn pop(&self, waker: &Waker) -> QueueItem {
        let mut contents = self.lock();
        if let Some((event, weight)) = contents.events.pop_front() {
            contents.depth -= 1;
            contents.bytes -= weight;
            let waiting = std::mem::take(&mut contents.waiting);
            drop(contents);
            waiting.into_iter().for_each(Waker::wake);
            return QueueItem::Event(event);
        }
        match contents.phase {
            QueuePhase::Failed => QueueItem::Failed(std::mem::take(&mut contents.failure)),
            // A reserved event is still on its way through the store.
            QueuePhase::Closed | QueuePhase::Abandoned if contents.depth == 0 => QueueItem::Closed,
            QueuePhase::Open | QueuePhase::Closed | QueuePhase::Abandoned => {
                if !contents.connection.as_ref().is_some_and(|known| known.will_wake(waker)) {
                    contents.connection = Some(waker.clone());
                }
                QueueItem::Empty
            }
        }
    }

    /// Appends the new subscriptions to `topics`.
    pub(super) fn take_subscriptions(&self, topics: &mut Vec<TopicStream<ServerSent>>) {
        topics.append(&mut self.lock().new_subscriptions);
    }

    /// Drops all events and subscriptions, because the client has disconnected.
    pub(super) fn abandon(&self) {
        self.advance(QueuePhase::Abandoned);
        let mut contents = self.lock();
        let events = std::mem::take(&mut contents.events);
        let subscriptions = std::mem::take(&mut contents.new_subscriptions);
        (contents.depth, contents.bytes) = (0, 0);
        drop(contents);
        drop((events, subscriptions));
    }

    /// Encodes the reconnection delay that the stream ends with when the server drains, and counts the
    /// stream.
    pub(super) fn final_retry(&self) -> Bytes {
        let count = self.counters.sse_drained.value();
        self.counters.sse_drained.add(1);
        // Each shard counts its own streams. The address of its counters distinguishes the shards.
        let shard = (Arc::as_ptr(&self.counters) as usize / 128) as u64;
        let client = shard.wrapping_mul(0x1_0001).wrapping_add(count) as u32;
        let mut retry = Vec::new();
        sse::append_retry(&mut retry, reconnect_millis(client));
        retry.into()
    }
}

impl Contents {
    fn has_room(&self, settings: &Settings, weight: usize) -> bool {
        let events = settings.events.max(1);
        self.depth == 0 || (self.depth < events && self.bytes.saturating_add(weight) <= settings.bytes)
    }

    /// Registers a waker for room and for the end.
    fn wait(&mut self, waker: &Waker) {
        if !self.waiting.iter().any(|known| known.will_wake(waker)) {
            self.waiting.push(waker.clone());
        }
    }
}

/// Room for one event in a queue. Dropping it frees the room.
pub(super) struct Reservation {
    queue: Option<Arc<Queue>>,
    weight: usize,
}

impl Reservation {
    /// Queues the encoded event. A gap for dropped events goes first. Does nothing if the client has
    /// disconnected.
    pub(super) fn fill(mut self, event: Bytes) {
        let Some(queue) = self.queue.take() else { return };
        let mut contents = queue.lock();
        if contents.phase == QueuePhase::Abandoned {
            return;
        }
        if let Some((from, to)) = contents.gap.take() {
            contents.events.push_back((gap_between::<ServerSent>(from, to), 0));
            contents.depth += 1;
        }
        contents.events.push_back((event, self.weight));
        let connection = contents.connection.clone();
        drop(contents);
        connection.into_iter().for_each(Waker::wake);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let Some(queue) = self.queue.take() else { return };
        let mut contents = queue.lock();
        // Abandoning a queue resets its depth, so it may be less than the reservations.
        contents.depth = contents.depth.saturating_sub(1);
        contents.bytes = contents.bytes.saturating_sub(self.weight);
        let (connection, waiting) = (contents.connection.clone(), std::mem::take(&mut contents.waiting));
        drop(contents);
        connection.into_iter().chain(waiting).for_each(Waker::wake);
    }
}
