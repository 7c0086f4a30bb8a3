//! What a handler's sends and its connection share: a queue bounded in events and bytes.

use std::{
    collections::VecDeque,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;

use super::{Closed, Settings, WhenFull};
use crate::{
    metrics::ShardCounters,
    proto::sse,
    pubsub::broker::{Event, ServerSent, Stream, range},
    replay::{Position, StoreError},
};

struct State {
    /// Pieces and what each weighs.
    items: VecDeque<(Bytes, usize)>,
    /// Events in `items`, and those that have a place there and are on their way through a store.
    events: usize,
    /// What they weigh.
    bytes: usize,
    dropped: u64,
    /// Events of the store that were dropped since the last one queued.
    lost: Option<(Position, Position)>,
    /// Nothing more is sent: the handler has returned, the stream was closed, or its client is gone.
    closed: bool,
    /// The handler panicked: the stream is cut short.
    failed: bool,
    /// The connection is gone: what still comes finds nobody.
    gone: bool,
    /// Subscriptions the connection has not taken up.
    joining: Vec<Stream<ServerSent>>,
    /// Subscriptions so far.
    joined: usize,
    consumer: Option<Waker>,
    /// Senders that wait for room, and whoever waits for the end.
    waiting: Vec<Waker>,
}

/// One client's queue.
pub(super) struct Queue {
    state: Mutex<State>,
    pub(super) settings: Arc<Settings>,
    counters: Arc<ShardCounters>,
}

/// What the connection finds.
pub(super) enum Next {
    Piece(Bytes),
    Nothing,
    Ended,
    Failed,
}

impl Queue {
    pub(super) fn new(settings: Arc<Settings>, counters: Arc<ShardCounters>) -> Arc<Self> {
        let state = State {
            items: VecDeque::new(),
            events: 0,
            bytes: 0,
            dropped: 0,
            lost: None,
            closed: false,
            failed: false,
            gone: false,
            joining: Vec::new(),
            joined: 0,
            consumer: None,
            waiting: Vec::new(),
        };
        Arc::new(Self { state: Mutex::new(state), settings, counters })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a place, as the policy says; `None` when the event is dropped.
    pub(super) fn poll_place(
        self: &Arc<Self>,
        event: &Event,
        weight: usize,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Place>, Closed>> {
        let mut state = self.lock();
        if state.closed {
            return Poll::Ready(Err(Closed));
        }
        if state.has_room(&self.settings, weight) {
            return Poll::Ready(Ok(Some(self.take_place(&mut state, weight))));
        }
        drop(state);
        // Without the lock: a callback may look at the client.
        let choice = self.settings.choice(event);
        let mut state = self.lock();
        if state.closed {
            return Poll::Ready(Err(Closed));
        }
        if state.has_room(&self.settings, weight) {
            return Poll::Ready(Ok(Some(self.take_place(&mut state, weight))));
        }
        match choice {
            WhenFull::Block => {
                state.wait(cx.waker());
                Poll::Pending
            }
            WhenFull::Drop => {
                state.dropped += 1;
                self.counters.sse_overflows.add("drop");
                Poll::Ready(Ok(None))
            }
            WhenFull::Close => {
                drop(state);
                self.counters.sse_overflows.add("close");
                self.close();
                Poll::Ready(Err(Closed))
            }
        }
    }

    fn take_place(self: &Arc<Self>, state: &mut State, weight: usize) -> Place {
        state.events += 1;
        state.bytes += weight;
        Place { queue: Some(Arc::clone(self)), weight }
    }

    /// Notes that an event of the store was dropped.
    pub(super) fn lose(&self, position: Position) {
        let mut state = self.lock();
        let first = state.lost.map_or(position, |(first, _)| first);
        state.lost = Some((first, position));
    }

    /// Sends nothing more from here on; what is queued still leaves.
    pub(super) fn close(&self) {
        self.end(false);
    }

    /// Cuts the stream short.
    pub(super) fn fail(&self) {
        self.end(true);
    }

    fn end(&self, failed: bool) {
        let mut state = self.lock();
        state.closed = true;
        state.failed |= failed;
        let (consumer, waiting) = (state.consumer.clone(), std::mem::take(&mut state.waiting));
        drop(state);
        consumer.into_iter().chain(waiting).for_each(Waker::wake);
    }

    /// Gives up what is queued: the client is gone.
    pub(super) fn abandon(&self) {
        self.close();
        let mut state = self.lock();
        let (items, joining) = (std::mem::take(&mut state.items), std::mem::take(&mut state.joining));
        (state.events, state.bytes, state.gone) = (0, 0, true);
        drop(state);
        drop((items, joining));
    }

    /// Takes up a subscription, unless there are as many as there may be.
    pub(super) fn join(&self, stream: Stream<ServerSent>) -> Result<(), super::SubscribeError> {
        let mut state = self.lock();
        if state.closed {
            return Err(super::SubscribeError::Closed);
        }
        if state.joined >= self.settings.subscriptions {
            return Err(super::SubscribeError::TooMany);
        }
        state.joined += 1;
        state.joining.push(stream);
        let consumer = state.consumer.clone();
        drop(state);
        consumer.into_iter().for_each(Waker::wake);
        Ok(())
    }

    /// Gives the connection the subscriptions that are new.
    pub(super) fn take_joining(&self, streams: &mut Vec<Stream<ServerSent>>) {
        let mut state = self.lock();
        if !state.joining.is_empty() {
            streams.append(&mut state.joining);
        }
    }

    /// Gives the connection what is next; with nothing there it is woken when there is.
    pub(super) fn next(&self, waker: &Waker) -> Next {
        let mut state = self.lock();
        if let Some((piece, weight)) = state.items.pop_front() {
            state.events -= 1;
            state.bytes -= weight;
            let waiting = std::mem::take(&mut state.waiting);
            drop(state);
            waiting.into_iter().for_each(Waker::wake);
            return Next::Piece(piece);
        }
        match (state.failed, state.closed && state.events == 0) {
            (true, _) => Next::Failed,
            (false, true) => Next::Ended,
            (false, false) => {
                if !state.consumer.as_ref().is_some_and(|known| known.will_wake(waker)) {
                    state.consumer = Some(waker.clone());
                }
                Next::Nothing
            }
        }
    }

    /// Waits until nothing more is sent.
    pub(super) fn poll_closed(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if state.closed {
            return Poll::Ready(());
        }
        state.wait(cx.waker());
        Poll::Pending
    }

    /// Returns events that wait, and those dropped so far.
    pub(super) fn figures(&self) -> (usize, u64) {
        let state = self.lock();
        (state.events, state.dropped)
    }

    /// Counts a failure of the store.
    pub(super) fn store_failed(&self, error: &StoreError) {
        self.counters.replay_errors.add(error.operation().as_str());
    }

    /// Notes that the handler panicked: the stream is cut short.
    pub(super) fn handler_panicked(&self) {
        self.counters.panics.add("handler");
        self.fail();
    }

    /// Makes what the stream ends with when the server ends: clients are told to come back at different times.
    pub(super) fn farewell(&self, millis: Range<u64>) -> Bytes {
        let count = self.counters.sse_drained.value();
        self.counters.sse_drained.add(1);
        // Shards count each by itself: where their counters lie parts them. Fibonacci hashing: what is near lands far.
        let place = (Arc::as_ptr(&self.counters) as usize / 128) as u64;
        let mixed = place.wrapping_mul(0x1_0001).wrapping_add(count) as u32;
        let spread = (u64::from(mixed.wrapping_mul(0x9e37_79b9)) * (millis.end - millis.start)) >> 32;
        let mut farewell = Vec::new();
        sse::append_retry(&mut farewell, millis.start + spread);
        farewell.into()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.lock().closed
    }
}

impl State {
    fn has_room(&self, settings: &Settings, weight: usize) -> bool {
        let events = settings.events.max(1);
        self.events == 0 || (self.events < events && self.bytes.saturating_add(weight) <= settings.bytes)
    }

    fn wait(&mut self, waker: &Waker) {
        if !self.waiting.iter().any(|known| known.will_wake(waker)) {
            self.waiting.push(waker.clone());
        }
    }
}

/// A place in a queue, given back when it is dropped.
pub(super) struct Place {
    queue: Option<Arc<Queue>>,
    weight: usize,
}

impl Place {
    /// Puts an event there; behind what is told of those that were dropped before it.
    pub(super) fn fill(mut self, piece: Bytes) {
        let Some(queue) = self.queue.take() else { return };
        let mut state = queue.lock();
        if state.gone {
            return;
        }
        if let Some((from, to)) = state.lost.take() {
            state.items.push_back((range::<ServerSent>(from, to), 0));
            state.events += 1;
        }
        state.items.push_back((piece, self.weight));
        let consumer = state.consumer.clone();
        drop(state);
        consumer.into_iter().for_each(Waker::wake);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(queue) = self.queue.take() else { return };
        let mut state = queue.lock();
        // An abandoned queue has no places.
        state.events = state.events.saturating_sub(1);
        state.bytes = state.bytes.saturating_sub(self.weight);
        let (consumer, waiting) = (state.consumer.clone(), std::mem::take(&mut state.waiting));
        drop(state);
        consumer.into_iter().chain(waiting).for_each(Waker::wake);
    }
}
