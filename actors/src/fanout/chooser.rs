//! A policy that asks: a callback decides what becomes of each slow subscriber, on a pool, so many at a time.
//!
//! A subscriber has one question open at most, and no more than 65,536 wait. A question that there is no room for, here
//! or on the pool, is answered at once: the subscriber stays, and its next full queue asks again.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use super::{
    gap::Gap,
    overflow::{Identity, Overflow},
};
use crate::{
    future::contain,
    pool::{BlockingJob, Pool, Refusal},
};

/// Questions that wait at most: subscribers that come, ask and go shall not fill the memory.
const MAX_WAITING: usize = 65_536;

/// A subscriber whose queue was full, as the callback is shown it.
#[derive(Clone)]
#[non_exhaustive]
pub struct FullQueue {
    /// Who it is, if that was said when it subscribed.
    pub identity: Option<Identity>,
    /// What it did not get.
    pub gap: Gap,
    /// Events that wait for it.
    pub events: usize,
    /// What they weigh, bytes.
    pub bytes: usize,
    /// How long ago the oldest of them was published.
    pub oldest_age: Duration,
}

impl FullQueue {
    /// Returns who it is, if that is of this type.
    pub fn identity<T: 'static>(&self) -> Option<&T> {
        self.identity.as_deref()?.downcast_ref()
    }
}

impl fmt::Debug for FullQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Full");
        debug.field("gap", &self.gap).field("events", &self.events).field("bytes", &self.bytes);
        debug.field("oldest_age", &self.oldest_age).finish_non_exhaustive()
    }
}

/// How a [`Chooser`] asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChooserOptions {
    /// Callbacks that run at once at most; 1 runs one after the other. Default: four for each CPU this process may use.
    pub concurrency: usize,
    /// What happens to a subscriber whose callback panicked. Default: it keeps its place.
    pub on_panic: Overflow,
}

impl Default for ChooserOptions {
    fn default() -> Self {
        let cpus = thread::available_parallelism().map_or(1, usize::from);
        Self { concurrency: 4 * cpus, on_panic: Overflow::Drop }
    }
}

/// Asks a callback what shall happen to a subscriber whose queue is full. Clones are one chooser.
///
/// The callback may block: it runs on the pool given to [`start`](Self::start). Without one nobody is asked, and events are
/// dropped.
#[derive(Clone)]
pub struct Chooser(Arc<Inner>);

struct Inner {
    choose: Box<dyn Fn(&FullQueue) -> Overflow + Send + Sync>,
    asking: ChooserOptions,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    pool: Option<Pool>,
    /// Jobs submitted that have not ended.
    running: usize,
    waiting: VecDeque<Question>,
}

struct Question {
    full: FullQueue,
    asked: Arc<dyn Asked>,
}

/// What came of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Chosen(Overflow),
    /// The callback panicked, and this holds instead.
    Panicked(Overflow),
    /// The pool had no room, or there is none.
    Refused,
}

/// Whom a question is about.
pub(super) trait Asked: Send + Sync {
    /// Takes the answer, once.
    fn answer(self: Arc<Self>, answer: Answer);
}

impl Chooser {
    /// Makes a chooser of a callback.
    pub fn new(choose: impl Fn(&FullQueue) -> Overflow + Send + Sync + 'static) -> Self {
        Self::with(ChooserOptions::default(), choose)
    }

    /// Makes a chooser that asks this way.
    pub fn with(
        asking: ChooserOptions,
        choose: impl Fn(&FullQueue) -> Overflow + Send + Sync + 'static,
    ) -> Self {
        let asking = ChooserOptions { concurrency: asking.concurrency.max(1), ..asking };
        Self(Arc::new(Inner { choose: Box::new(choose), asking, state: Mutex::default() }))
    }

    /// Has callbacks run on a pool's blocking threads, until [`stop`](Self::stop).
    pub fn start(&self, pool: &Pool) {
        self.lock().pool = Some(pool.clone());
    }

    /// Asks nobody from here on, and lets go of the pool.
    pub fn stop(&self) {
        let pool = self.lock().pool.take();
        // Outside of the lock: the last handle's drop refuses jobs, and those come here.
        drop(pool);
    }

    /// Asks about a subscriber.
    pub(super) fn ask(&self, full: FullQueue, asked: Arc<dyn Asked>) {
        let mut state = self.lock();
        if state.waiting.len() >= MAX_WAITING {
            drop(state);
            return asked.answer(Answer::Refused);
        }
        state.waiting.push_back(Question { full, asked });
        if state.running < self.0.asking.concurrency {
            state.running += 1;
            self.submit(state);
        }
    }

    /// Has the pool answer one more question.
    fn submit(&self, state: MutexGuard<'_, State>) {
        let pool = state.pool.clone();
        drop(state);
        match pool.map(|pool| pool.submit_blocking(Box::new(self.clone()), None)) {
            Some(Ok(_)) => {}
            Some(Err(_)) | None => self.refuse_all(),
        }
    }

    /// Answers whatever waits: nobody will.
    fn refuse_all(&self) {
        let mut state = self.lock();
        state.running -= 1;
        let refused = std::mem::take(&mut state.waiting);
        drop(state);
        refused.into_iter().for_each(|question| question.asked.answer(Answer::Refused));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One question a job, so that other jobs of the pool get their turn between two of them.
impl BlockingJob for Chooser {
    fn run(self: Box<Self>) {
        let question = self.lock().waiting.pop_front();
        if let Some(Question { full, asked }) = question {
            let chosen = contain(|| (self.0.choose)(&full));
            let panicked = |_| Answer::Panicked(self.0.asking.on_panic);
            asked.answer(chosen.map_or_else(panicked, Answer::Chosen));
        }
        let mut state = self.lock();
        if state.waiting.is_empty() {
            state.running -= 1;
        } else {
            self.submit(state);
        }
    }

    fn refuse(self: Box<Self>, _: Refusal) {
        self.refuse_all();
    }
}

impl PartialEq for Chooser {
    /// Says whether both are the same chooser.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Chooser {}

impl fmt::Debug for Chooser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        let mut debug = f.debug_struct("Chooser");
        debug.field("asking", &self.0.asking).field("running", &state.running);
        debug.field("waiting", &state.waiting.len()).finish_non_exhaustive()
    }
}
