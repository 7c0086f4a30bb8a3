//! A subscriber's queue, bounded in events and bytes. The relay of its shard fills it, its subscription
//! empties it.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use super::{
    chooser::{Answer, AnswerHandler, Chooser, FullQueue},
    event::{Delivery, Event, Payload},
    gap::Gap,
    interest::Interest,
    options::{Policy, SubscribeOptions},
    overflow::{Bounds, Identity, Overflow},
    shared::TopicShared,
};

/// Id of the next queue.
static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// Outcome of an event at one queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PushOutcome {
    /// The queue accepted the event, or the subscriber has it already or will read it from the history. Holds
    /// the number of events in the queue.
    Delivered(usize),
    /// The subscriber lost the event. Holds the number of events in the queue.
    Dropped(usize),
    /// The event did not fit, so the subscriber was unregistered.
    Removed,
    /// The event did not fit, so the subscriber was closed.
    Closed,
    /// The filter of the event excludes the subscriber.
    Filtered,
    /// The subscriber had left or ended before.
    Gone,
}

/// Reason why a queue accepts no more events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum QueueEnd {
    Removed,
    Closed,
}

enum Item<P> {
    Event(Arc<Event<P>>),
    Gap(Gap),
}

struct QueueState<P> {
    items: VecDeque<Item<P>>,
    /// Number of events in `items`.
    events: usize,
    /// Bytes of payload in `items`.
    bytes: usize,
    /// Events that were lost after the last item.
    lost: Option<Gap>,
    /// Set while the subscription reads history. Events that do not fit are read from the history then.
    catching_up: bool,
    /// Events up to this number are not for this queue: they are older than the subscription, or were read
    /// from the history.
    after: u64,
    /// Set if events were discarded while catching up.
    overrun: bool,
    end: Option<QueueEnd>,
    /// Set when the subscription was dropped.
    left: bool,
    /// Set while a callback decides about the subscriber.
    asking: bool,
    /// Set while the subscriber counts as lagging: from its second waiting event until the queue is empty.
    lagging: bool,
    waker: Option<Waker>,
}

/// Queue of one subscriber.
pub(super) struct Queue<P: Payload> {
    /// Id of the subscription, unique in the process.
    pub(super) id: u64,
    state: Mutex<QueueState<P>>,
    bounds: Bounds,
    policy: Policy,
    pub(super) identity: Option<Identity>,
    pub(super) interest: Interest<P>,
    pub(super) topic: Arc<TopicShared>,
    /// The shard whose relay fills the queue.
    pub(super) shard: usize,
    /// Index in the topic's members. Only the relay uses it.
    pub(super) index: AtomicUsize,
    /// Set while the topic counts the subscriber.
    registered: AtomicBool,
}

impl<P: Payload> Queue<P> {
    /// Creates a queue on a shard for the events after number `after`.
    pub(super) fn new(
        topic: Arc<TopicShared>,
        options: SubscribeOptions,
        interest: Interest<P>,
        shard: usize,
        catching_up: bool,
        after: u64,
    ) -> Self {
        let state = QueueState {
            items: VecDeque::new(),
            events: 0,
            bytes: 0,
            lost: None,
            catching_up,
            after,
            overrun: false,
            end: None,
            left: false,
            asking: false,
            lagging: false,
            waker: None,
        };
        let SubscribeOptions { bounds, policy, identity } = options;
        Self {
            id: NEXT_ID.fetch_add(1, Relaxed),
            state: Mutex::new(state),
            bounds,
            policy,
            identity,
            interest,
            topic,
            shard,
            index: AtomicUsize::new(usize::MAX),
            registered: AtomicBool::new(true),
        }
    }

    fn lock(&self) -> MutexGuard<'_, QueueState<P>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends an event and wakes the subscriber, or applies the policy if the queue is full.
    ///
    /// If the policy asks a callback, `handler` creates the receiver of its answer.
    // Each event calls this for each subscriber. A call costs a tenth of it.
    #[inline(always)]
    pub(super) fn push(
        &self,
        event: &Arc<Event<P>>,
        weight: usize,
        handler: impl FnOnce() -> Arc<dyn AnswerHandler>,
    ) -> PushOutcome {
        let mut state = self.lock();
        if state.left || state.end.is_some() {
            return PushOutcome::Gone;
        }
        if event.is_numbered() && event.seq <= state.after {
            return PushOutcome::Delivered(state.events);
        }
        let fits = state.events == 0
            || (state.events < self.bounds.events && state.bytes.saturating_add(weight) <= self.bounds.bytes);
        if !fits {
            return self.overflow(state, event.as_gap(), handler);
        }
        if let Some(lost) = state.lost.take() {
            state.items.push_back(Item::Gap(lost));
        }
        state.items.push_back(Item::Event(Arc::clone(event)));
        state.events += 1;
        state.bytes += weight;
        if state.events == 2 && !state.lagging {
            state.lagging = true;
            self.topic.counters.lagging.fetch_add(1, Relaxed);
        }
        let waiting = state.events;
        state.wake();
        PushOutcome::Delivered(waiting)
    }

    /// Applies the policy for a range of events that the relay did not accept, as if they had found the queue
    /// full.
    pub(super) fn push_gap(&self, gap: Gap, handler: impl FnOnce() -> Arc<dyn AnswerHandler>) -> PushOutcome {
        let state = self.lock();
        if state.left || state.end.is_some() {
            return PushOutcome::Gone;
        }
        if gap.to <= state.after && !gap.is_unnumbered() {
            return PushOutcome::Delivered(state.events);
        }
        let gap = Gap { from: gap.from.max(state.after + 1), ..gap };
        self.overflow(state, gap, handler)
    }

    fn overflow(
        &self,
        mut state: MutexGuard<'_, QueueState<P>>,
        gap: Gap,
        handler: impl FnOnce() -> Arc<dyn AnswerHandler>,
    ) -> PushOutcome {
        if state.catching_up {
            // The subscription will read these events from the history, so nothing is lost.
            state.clear();
            self.end_lag(&mut state);
            state.overrun = true;
            return PushOutcome::Delivered(0);
        }
        match &self.policy {
            Policy::Always(Overflow::Drop) => {
                state.lose(gap);
                PushOutcome::Dropped(state.events)
            }
            Policy::Always(Overflow::Remove) => {
                state.lose(gap);
                state.end(QueueEnd::Removed);
                PushOutcome::Removed
            }
            Policy::Always(Overflow::Close) => {
                state.lose(gap);
                state.end(QueueEnd::Closed);
                PushOutcome::Closed
            }
            Policy::Ask(chooser) => {
                state.lose(gap);
                let waiting = state.events;
                if !std::mem::replace(&mut state.asking, true) {
                    self.ask(state, chooser, gap, handler());
                }
                PushOutcome::Dropped(waiting)
            }
        }
    }

    fn ask(
        &self,
        state: MutexGuard<'_, QueueState<P>>,
        chooser: &Chooser,
        gap: Gap,
        handler: Arc<dyn AnswerHandler>,
    ) {
        let queue = FullQueue {
            identity: self.identity.clone(),
            gap,
            events: state.events,
            bytes: state.bytes,
            oldest_age: state.oldest().map_or(Duration::ZERO, |oldest| oldest.elapsed()),
        };
        // The answer may come during the call, and it locks the state. So the lock is released first.
        drop(state);
        chooser.ask(queue, handler);
    }

    /// Applies the answer of a callback and counts it. Returns `true` if it ended the subscriber.
    pub(super) fn apply_answer(&self, answer: Answer) -> bool {
        let mut state = self.lock();
        state.asking = false;
        if state.left || state.end.is_some() {
            return false;
        }
        let overflow = match answer {
            Answer::Chosen(overflow) | Answer::Panicked(overflow) => overflow,
            Answer::Refused => Overflow::Drop,
        };
        match overflow {
            Overflow::Drop => {}
            Overflow::Remove => state.end(QueueEnd::Removed),
            Overflow::Close => state.end(QueueEnd::Closed),
        }
        drop(state);
        self.topic.counters.add_answer(answer, overflow);
        overflow != Overflow::Drop
    }

    /// Returns the number of the last event that is not for this queue.
    pub(super) fn after(&self) -> u64 {
        self.lock().after
    }

    /// Returns the number up to which the subscriber has all events, if nothing waits in the queue.
    pub(super) fn delivered_to(&self) -> Option<u64> {
        // Read first: these events are in the queue, if they have not been taken.
        let delivered = self.topic.delivered(self.shard);
        let state = self.lock();
        (state.rests() && !state.catching_up).then(|| delivered.max(state.after))
    }

    /// Closes the subscriber. It still gets the items in the queue.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.end.get_or_insert(QueueEnd::Closed);
        state.wake();
    }

    /// Returns the time at which the oldest waiting event was published.
    pub(super) fn oldest(&self) -> Option<Instant> {
        self.lock().oldest()
    }

    /// Takes the next delivery. The flag is `true` if nothing follows it now and the next push wakes the task
    /// of `cx`.
    pub(super) fn poll(&self, cx: &mut Context<'_>) -> Poll<(Delivery<P>, bool)> {
        let mut state = self.lock();
        if let Some(item) = state.items.pop_front() {
            let delivery = match item {
                Item::Gap(gap) => Delivery::Gap(gap),
                Item::Event(event) => {
                    state.events -= 1;
                    state.bytes -= event.payload.weight();
                    if state.events == 0 {
                        self.end_lag(&mut state);
                    }
                    Delivery::Event(event)
                }
            };
            let rests = state.rests() && state.will_wake(cx.waker());
            return Poll::Ready((delivery, rests));
        }
        // A gap at the end is delivered without waiting for the next event, which may be hours away. Until
        // then the subscriber would believe that it has the latest event.
        if let Some(lost) = state.lost.take() {
            let rests = state.rests() && state.will_wake(cx.waker());
            return Poll::Ready((Delivery::Gap(lost), rests));
        }
        if let Some(end) = state.end {
            let delivery = match end {
                QueueEnd::Removed => Delivery::Removed,
                QueueEnd::Closed => Delivery::Closed,
            };
            return Poll::Ready((delivery, false));
        }
        if !state.will_wake(cx.waker()) {
            state.waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Switches to live events after the history was read up to event `read`. Events up to that number leave
    /// the queue.
    ///
    /// Returns `false` if events were discarded while catching up. The history has them.
    pub(super) fn caught_up(&self, read: u64) -> bool {
        let mut state = self.lock();
        if std::mem::take(&mut state.overrun) {
            return false;
        }
        let QueueState { items, events, bytes, .. } = &mut *state;
        items.retain(|item| match item {
            // An event without a number is in no history, so it stays.
            Item::Event(event) if event.is_numbered() && event.seq <= read => {
                *events -= 1;
                *bytes -= event.payload.weight();
                false
            }
            _ => true,
        });
        if state.events == 0 {
            self.end_lag(&mut state);
        }
        (state.catching_up, state.after) = (false, read);
        true
    }

    /// Removes the subscriber from the topic's count. Repeated calls have no effect.
    pub(super) fn unregister(&self) {
        if self.registered.swap(false, Relaxed) {
            self.topic.unregister(self.shard);
        }
    }

    /// Returns `true` if the subscription was dropped.
    pub(super) fn has_left(&self) -> bool {
        self.lock().left
    }

    /// Drops all items, and refuses new ones. Called when the subscription is dropped.
    pub(super) fn leave(&self) {
        let mut state = self.lock();
        state.left = true;
        state.clear();
        state.waker = None;
        self.end_lag(&mut state);
    }

    fn end_lag(&self, state: &mut QueueState<P>) {
        if std::mem::take(&mut state.lagging) {
            self.topic.counters.lagging.fetch_sub(1, Relaxed);
        }
    }
}

impl<P> QueueState<P> {
    /// Returns `true` if the next push wakes the same task as `other`.
    fn will_wake(&self, other: &Waker) -> bool {
        self.waker.as_ref().is_some_and(|waker| waker.will_wake(other))
    }

    fn wake(&self) {
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }

    /// Returns `true` if there is nothing to deliver.
    fn rests(&self) -> bool {
        self.items.is_empty() && self.lost.is_none() && self.end.is_none()
    }

    fn lose(&mut self, gap: Gap) {
        self.lost = Some(self.lost.map_or(gap, |lost| lost.extend(gap)));
        if self.items.is_empty() {
            // Otherwise the subscriber takes the items first and then finds the gap.
            self.wake();
        }
    }

    fn end(&mut self, end: QueueEnd) {
        self.end = Some(end);
        self.wake();
    }

    fn oldest(&self) -> Option<Instant> {
        self.items.iter().find_map(|item| match item {
            Item::Event(event) => Some(event.published),
            Item::Gap(_) => None,
        })
    }

    fn clear(&mut self) {
        self.items.clear();
        (self.events, self.bytes) = (0, 0);
    }
}
