//! A subscriber's queue: bounded in events and bytes, filled by its shard's relay, drained by its subscription.

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
    chooser::{Answer, Asked, Chooser, FullQueue},
    event::{Delivery, Event, Payload},
    gap::Gap,
    options::{Policy, SubscribeOptions},
    overflow::{Bounds, Identity, Overflow},
    shared::TopicShared,
};

/// What became of an event at one queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It waits there, as the last of so many.
    Taken(usize),
    /// It was lost; so many wait there.
    Dropped(usize),
    Removed,
    Closed,
    /// The event's filter left it out.
    Skipped,
    /// Nobody will ever take it: the subscriber has left.
    Gone,
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// Why nothing more comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Removed,
    Closed,
}

enum Item<P> {
    Event(Arc<Event<P>>),
    Gap(Gap),
}

struct State<P> {
    items: VecDeque<Item<P>>,
    /// Events in `items`.
    events: usize,
    /// What they weigh.
    bytes: usize,
    /// Events lost since the last one taken.
    lost: Option<Gap>,
    /// The subscription reads history: what does not fit is read from there too.
    catching_up: bool,
    /// Events up to this one are not for this queue: they came before the subscription, or were read from the history.
    after: u64,
    /// While catching up, events were thrown away.
    overrun: bool,
    end: Option<End>,
    /// The subscription is gone.
    gone: bool,
    /// A callback is deciding what becomes of the subscriber.
    asking: bool,
    /// Counted as lagging.
    lags: bool,
    waker: Option<Waker>,
}

/// One subscriber's queue.
pub(super) struct Queue<P: Payload> {
    /// Tells it from all others.
    pub(super) id: u64,
    state: Mutex<State<P>>,
    bounds: Bounds,
    policy: Policy,
    pub(super) identity: Option<Identity>,
    pub(super) topic: Arc<TopicShared>,
    /// Whose relay fills it.
    pub(super) shard: usize,
    /// Where it stands in its relay's list; that relay alone uses it.
    pub(super) place: AtomicUsize,
    /// It counts as a subscriber.
    registered: AtomicBool,
}

impl<P: Payload> Queue<P> {
    /// Makes a queue on a shard for the events behind number `after`.
    pub(super) fn new(
        topic: Arc<TopicShared>,
        terms: SubscribeOptions,
        shard: usize,
        catching_up: bool,
        after: u64,
    ) -> Self {
        let state = State {
            items: VecDeque::new(),
            events: 0,
            bytes: 0,
            lost: None,
            catching_up,
            after,
            overrun: false,
            end: None,
            gone: false,
            asking: false,
            lags: false,
            waker: None,
        };
        let SubscribeOptions { bounds, policy, identity } = terms;
        Self {
            id: NEXT_ID.fetch_add(1, Relaxed),
            state: Mutex::new(state),
            bounds,
            policy,
            identity,
            topic,
            shard,
            place: AtomicUsize::new(usize::MAX),
            registered: AtomicBool::new(true),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<P>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends an event, or does what the policy says. If a callback is to be asked, `asked` makes whom it is answered.
    pub(super) fn push(
        self: &Arc<Self>,
        event: &Arc<Event<P>>,
        weight: usize,
        asked: impl FnOnce() -> Arc<dyn Asked>,
    ) -> Outcome {
        let mut state = self.lock();
        if state.gone || state.end.is_some() {
            return Outcome::Gone;
        }
        if event.is_numbered() && event.seq <= state.after {
            return Outcome::Taken(state.events);
        }
        let fits = state.events == 0
            || (state.events < self.bounds.events && state.bytes.saturating_add(weight) <= self.bounds.bytes);
        if !fits {
            return self.overflow(state, event.as_missed(), asked);
        }
        if let Some(lost) = state.lost.take() {
            state.items.push_back(Item::Gap(lost));
        }
        state.items.push_back(Item::Event(Arc::clone(event)));
        state.events += 1;
        state.bytes += weight;
        if state.events == 2 && !state.lags {
            state.lags = true;
            self.topic.counts.lagging.fetch_add(1, Relaxed);
        }
        let waiting = state.events;
        state.wake();
        Outcome::Taken(waiting)
    }

    /// Notes that the shard never saw these events: a queue without room, as far as this subscriber can tell.
    pub(super) fn miss(self: &Arc<Self>, missed: Gap, asked: impl FnOnce() -> Arc<dyn Asked>) -> Outcome {
        let state = self.lock();
        if state.gone || state.end.is_some() {
            return Outcome::Gone;
        }
        if missed.to <= state.after && !missed.is_unnumbered() {
            return Outcome::Taken(state.events);
        }
        let missed = Gap { from: missed.from.max(state.after + 1), ..missed };
        self.overflow(state, missed, asked)
    }

    fn overflow(
        self: &Arc<Self>,
        mut state: MutexGuard<'_, State<P>>,
        missed: Gap,
        asked: impl FnOnce() -> Arc<dyn Asked>,
    ) -> Outcome {
        if state.catching_up {
            // The history has it: nothing is lost.
            state.forget();
            self.lags_no_more(&mut state);
            state.overrun = true;
            return Outcome::Taken(0);
        }
        match &self.policy {
            Policy::Always(Overflow::Drop) => {
                state.lose(missed);
                Outcome::Dropped(state.events)
            }
            Policy::Always(Overflow::Remove) => {
                state.lose(missed);
                state.end(End::Removed);
                Outcome::Removed
            }
            Policy::Always(Overflow::Close) => {
                state.lose(missed);
                state.end(End::Closed);
                Outcome::Closed
            }
            Policy::Ask(chooser) => {
                state.lose(missed);
                let waiting = state.events;
                if !std::mem::replace(&mut state.asking, true) {
                    self.ask(state, chooser, missed, asked());
                }
                Outcome::Dropped(waiting)
            }
        }
    }

    fn ask(&self, state: MutexGuard<'_, State<P>>, chooser: &Chooser, missed: Gap, asked: Arc<dyn Asked>) {
        let waited = state.oldest().map_or(Duration::ZERO, |oldest| oldest.elapsed());
        let full = FullQueue {
            identity: self.identity.clone(),
            gap: missed,
            events: state.events,
            bytes: state.bytes,
            oldest_age: waited,
        };
        // ChooserOptions may answer at once, which takes the lock.
        drop(state);
        chooser.ask(full, asked);
    }

    /// Returns the number of the last event that is not for this queue.
    pub(super) fn after(&self) -> u64 {
        self.lock().after
    }

    /// Ends the subscriber after what its queue holds.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.end.get_or_insert(End::Closed);
        state.wake();
    }

    /// Returns when the first event that waits was published.
    pub(super) fn oldest(&self) -> Option<Instant> {
        self.lock().oldest()
    }

    /// Takes what is next, and says whether that was all and whoever polls is woken by what follows.
    pub(super) fn poll(&self, cx: &mut Context<'_>) -> Poll<(Delivery<P>, bool)> {
        let mut state = self.lock();
        if let Some(item) = state.items.pop_front() {
            let delivery = match item {
                Item::Gap(missed) => Delivery::Gap(missed),
                Item::Event(event) => {
                    state.events -= 1;
                    state.bytes -= event.payload.weight();
                    if state.events == 0 {
                        self.lags_no_more(&mut state);
                    }
                    Delivery::Event(event)
                }
            };
            let rests = state.rests() && state.will_wake(cx.waker());
            return Poll::Ready((delivery, rests));
        }
        // What was lost last is told at once, not before the next event: that may be hours away, and until then the
        // subscriber would take what it has for the latest.
        if let Some(lost) = state.lost.take() {
            let rests = state.rests() && state.will_wake(cx.waker());
            return Poll::Ready((Delivery::Gap(lost), rests));
        }
        if let Some(end) = state.end {
            let delivery = match end {
                End::Removed => Delivery::Removed,
                End::Closed => Delivery::Closed,
            };
            return Poll::Ready((delivery, false));
        }
        if !state.will_wake(cx.waker()) {
            state.waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Goes over to live events after history was read up to `read`. False when events were thrown away meanwhile:
    /// they are in the history by now.
    pub(super) fn caught_up(&self, read: u64) -> bool {
        let mut state = self.lock();
        if std::mem::take(&mut state.overrun) {
            return false;
        }
        let State { items, events, bytes, .. } = &mut *state;
        items.retain(|item| match item {
            // What has no number is in no history.
            Item::Event(event) if event.is_numbered() && event.seq <= read => {
                *events -= 1;
                *bytes -= event.payload.weight();
                false
            }
            _ => true,
        });
        if state.events == 0 {
            self.lags_no_more(&mut state);
        }
        (state.catching_up, state.after) = (false, read);
        true
    }

    /// Takes the subscriber off the topic's books, once.
    pub(super) fn unregister(&self) {
        if self.registered.swap(false, Relaxed) {
            self.topic.unregister(self.shard);
        }
    }

    /// Says whether its subscription is gone.
    pub(super) fn is_gone(&self) -> bool {
        self.lock().gone
    }

    /// Gives up what waits; what still comes finds nobody.
    pub(super) fn leave(&self) {
        let mut state = self.lock();
        state.gone = true;
        state.forget();
        state.waker = None;
        self.lags_no_more(&mut state);
    }

    /// Does what a callback said about the subscriber. Returns whether the subscriber has ended by it.
    pub(super) fn answer(&self, answer: Answer) -> bool {
        let mut state = self.lock();
        state.asking = false;
        if state.gone || state.end.is_some() {
            return false;
        }
        let overflow = match answer {
            Answer::Chosen(overflow) | Answer::Panicked(overflow) => overflow,
            Answer::Refused => Overflow::Drop,
        };
        match overflow {
            Overflow::Drop => {}
            Overflow::Remove => state.end(End::Removed),
            Overflow::Close => state.end(End::Closed),
        }
        drop(state);
        self.topic.counts.answered(answer, overflow);
        overflow != Overflow::Drop
    }

    fn lags_no_more(&self, state: &mut State<P>) {
        if std::mem::take(&mut state.lags) {
            self.topic.counts.lagging.fetch_sub(1, Relaxed);
        }
    }
}

impl<P> State<P> {
    /// Says whether what comes wakes whom this waker does.
    fn will_wake(&self, other: &Waker) -> bool {
        self.waker.as_ref().is_some_and(|waker| waker.will_wake(other))
    }

    fn wake(&self) {
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }

    /// Says whether nothing is to be told until something more happens.
    fn rests(&self) -> bool {
        self.items.is_empty() && self.lost.is_none() && self.end.is_none()
    }

    fn lose(&mut self, missed: Gap) {
        self.lost = Some(self.lost.map_or(missed, |lost| lost.extend(missed)));
        if self.items.is_empty() {
            // Nothing that is still to be taken would lead to it.
            self.wake();
        }
    }

    fn end(&mut self, end: End) {
        self.end = Some(end);
        self.wake();
    }

    fn oldest(&self) -> Option<Instant> {
        self.items.iter().find_map(|item| match item {
            Item::Event(event) => Some(event.published),
            Item::Gap(_) => None,
        })
    }

    fn forget(&mut self) {
        self.items.clear();
        (self.events, self.bytes) = (0, 0);
    }
}
