//! A subscriber's queue: bounded in events and bytes, filled by its shard's relay, drained by its subscription.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll, Waker},
};

use super::{
    event::{Event, Payload},
    subscription::Delivery,
    topic::Core,
};

/// What happens to an event that finds a subscriber's queue full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Overflow {
    /// The event is lost for this subscriber, which is told so before the next one.
    #[default]
    Drop,
    /// The subscriber is unregistered: it gets what its queue holds, then nothing more.
    Remove,
    /// The subscriber is closed: it gets what its queue holds, then the end.
    Close,
}

/// How much a subscriber's queue holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Events. Default 64.
    pub events: usize,
    /// Bytes of payload. Default 256 KiB. An empty queue takes one event of any size.
    pub bytes: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { events: 64, bytes: 256 * 1024 }
    }
}

/// A range of events a subscriber did not get, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missed {
    /// The first one.
    pub from: u64,
    /// The last one.
    pub to: u64,
}

impl Missed {
    /// Adds a later range; what lies between belongs to it.
    pub(super) fn extend(self, later: Self) -> Self {
        Self { from: self.from.min(later.from), to: self.to.max(later.to) }
    }
}

/// What became of an event at one queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It waits there, as the last of so many.
    Taken(usize),
    /// It was lost; so many wait there.
    Dropped(usize),
    Removed,
    Closed,
    /// Nobody will ever take it: the subscriber has left.
    Gone,
}

/// Why nothing more comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Removed,
    Closed,
}

enum Item<P> {
    Event(Arc<Event<P>>),
    Gap(Missed),
}

struct State<P> {
    items: VecDeque<Item<P>>,
    /// Events in `items`.
    events: usize,
    /// What they weigh.
    bytes: usize,
    /// Events lost since the last one taken.
    lost: Option<Missed>,
    /// The subscription reads history: what does not fit is read from there too.
    catching_up: bool,
    /// Events up to this one are not for this queue: they came before the subscription, or were read from the history.
    after: u64,
    /// While catching up, events were thrown away.
    overrun: bool,
    end: Option<End>,
    /// The subscription is gone.
    gone: bool,
    /// Counted as lagging.
    lags: bool,
    waker: Option<Waker>,
}

/// One subscriber's queue.
pub(super) struct Queue<P: Payload> {
    state: Mutex<State<P>>,
    bounds: Bounds,
    overflow: Overflow,
    pub(super) topic: Arc<Core<P>>,
    /// Where it stands in its relay's list; that relay alone uses it.
    pub(super) place: AtomicUsize,
    /// It counts as a subscriber.
    registered: AtomicBool,
}

impl<P: Payload> Queue<P> {
    /// Makes a queue for the events behind number `after`.
    pub(super) fn new(
        topic: Arc<Core<P>>,
        bounds: Bounds,
        overflow: Overflow,
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
            lags: false,
            waker: None,
        };
        Self {
            state: Mutex::new(state),
            bounds,
            overflow,
            topic,
            place: AtomicUsize::new(usize::MAX),
            registered: AtomicBool::new(true),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<P>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends an event, or does what the policy says.
    pub(super) fn push(&self, event: &Arc<Event<P>>, weight: usize) -> Outcome {
        let mut state = self.lock();
        if state.gone || state.end.is_some() {
            return Outcome::Gone;
        }
        if event.seq <= state.after {
            return Outcome::Taken(state.events);
        }
        let fits = state.events == 0
            || (state.events < self.bounds.events && state.bytes.saturating_add(weight) <= self.bounds.bytes);
        if !fits {
            return self.overflow(&mut state, Missed { from: event.seq, to: event.seq });
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
    pub(super) fn miss(&self, missed: Missed) -> Outcome {
        let mut state = self.lock();
        if state.gone || state.end.is_some() {
            return Outcome::Gone;
        }
        if missed.to <= state.after {
            return Outcome::Taken(state.events);
        }
        let missed = Missed { from: missed.from.max(state.after + 1), ..missed };
        self.overflow(&mut state, missed)
    }

    fn overflow(&self, state: &mut State<P>, missed: Missed) -> Outcome {
        if state.catching_up {
            // The history has it: nothing is lost.
            state.forget();
            self.lags_no_more(state);
            state.overrun = true;
            return Outcome::Taken(0);
        }
        let (end, outcome) = match self.overflow {
            Overflow::Drop => {
                state.lost = Some(state.lost.map_or(missed, |lost| lost.extend(missed)));
                return Outcome::Dropped(state.events);
            }
            Overflow::Remove => (End::Removed, Outcome::Removed),
            Overflow::Close => (End::Closed, Outcome::Closed),
        };
        state.lost = Some(missed);
        state.end = Some(end);
        state.wake();
        outcome
    }

    /// Ends the subscriber after what its queue holds.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.end.get_or_insert(End::Closed);
        state.wake();
    }

    /// Returns when the first event that waits was published.
    pub(super) fn oldest(&self) -> Option<std::time::Instant> {
        let state = self.lock();
        state.items.iter().find_map(|item| match item {
            Item::Event(event) => Some(event.published),
            Item::Gap(_) => None,
        })
    }

    /// Takes what is next.
    pub(super) fn poll(&self, cx: &mut Context<'_>) -> Poll<Delivery<P>> {
        let mut state = self.lock();
        if let Some(item) = state.items.pop_front() {
            return Poll::Ready(match item {
                Item::Gap(missed) => Delivery::Gap(missed),
                Item::Event(event) => {
                    state.events -= 1;
                    state.bytes -= event.payload.weight();
                    if state.events == 0 {
                        self.lags_no_more(&mut state);
                    }
                    Delivery::Event(event)
                }
            });
        }
        if let Some(end) = state.end {
            // What was lost last is told before the end, which would else look like all there was.
            return Poll::Ready(match (state.lost.take(), end) {
                (Some(lost), _) => Delivery::Gap(lost),
                (None, End::Removed) => Delivery::Removed,
                (None, End::Closed) => Delivery::Closed,
            });
        }
        if !state.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
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
        while let Some(Item::Event(event)) = state.items.front()
            && event.seq <= read
        {
            let weight = event.payload.weight();
            state.items.pop_front();
            state.events -= 1;
            state.bytes -= weight;
        }
        if state.events == 0 {
            self.lags_no_more(&mut state);
        }
        (state.catching_up, state.after) = (false, read);
        true
    }

    /// Says, to the first who asks, that it counts as a subscriber no more.
    pub(super) fn unregister(&self) -> bool {
        self.registered.swap(false, Relaxed)
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

    fn lags_no_more(&self, state: &mut State<P>) {
        if std::mem::take(&mut state.lags) {
            self.topic.counts.lagging.fetch_sub(1, Relaxed);
        }
    }
}

impl<P> State<P> {
    fn wake(&self) {
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }

    fn forget(&mut self) {
        self.items.clear();
        (self.events, self.bytes) = (0, 0);
    }
}
