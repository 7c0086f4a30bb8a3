//! The callback behind [`Policy::Ask`](super::Policy::Ask), and the questions that wait for it.
//!
//! The callback runs on a pool, a bounded number of times at once. Each subscriber has at most one open
//! question, and at most 65,536 questions wait. A question beyond that is answered at once, and so are all
//! waiting questions when the pool refuses a job: the subscriber stays, and the next event that finds its
//! queue full asks again.

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
    future::catch_panic,
    pool::{BlockingJob, Pool, Refusal},
};

/// Maximum number of waiting questions. The limit bounds the memory for subscribers that subscribe, ask and
/// leave.
const MAX_WAITING: usize = 65_536;

/// Description of a subscriber whose queue is full, for the callback.
#[derive(Clone)]
#[non_exhaustive]
pub struct FullQueue {
    /// Identity of the subscriber, if it gave one when it subscribed.
    pub identity: Option<Identity>,
    /// Range of the events that did not fit.
    pub gap: Gap,
    /// Number of events in the queue.
    pub events: usize,
    /// Bytes of payload in the queue.
    pub bytes: usize,
    /// Time since the oldest event in the queue was published.
    pub oldest_age: Duration,
}

impl FullQueue {
    /// Returns the identity of the subscriber if it has this type.
    pub fn identity<T: 'static>(&self) -> Option<&T> {
        self.identity.as_deref()?.downcast_ref()
    }
}

impl fmt::Debug for FullQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("FullQueue");
        debug.field("gap", &self.gap).field("events", &self.events).field("bytes", &self.bytes);
        debug.field("oldest_age", &self.oldest_age).finish_non_exhaustive()
    }
}

/// Options of a [`Chooser`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChooserOptions {
    /// Maximum number of callbacks that run at once. Default: four for each CPU that this process may use.
    pub concurrency: usize,
    /// Treatment of a subscriber whose callback panicked. Default: it keeps its place and loses the event.
    pub on_panic: Overflow,
}

impl Default for ChooserOptions {
    fn default() -> Self {
        let cpus = thread::available_parallelism().map_or(1, usize::from);
        Self { concurrency: 4 * cpus, on_panic: Overflow::Drop }
    }
}

/// Asks a callback what happens to a subscriber whose queue is full. Clones share the callback and its
/// questions.
///
/// The callback may block, because it runs on the pool given to [`start`](Self::start). Without a pool it is
/// not called, and events are dropped.
#[derive(Clone)]
pub struct Chooser(Arc<Inner>);

struct Inner {
    callback: Box<dyn Fn(&FullQueue) -> Overflow + Send + Sync>,
    options: ChooserOptions,
    questions: Mutex<Questions>,
}

#[derive(Default)]
struct Questions {
    pool: Option<Pool>,
    /// Jobs that were submitted and have not ended.
    jobs: usize,
    waiting: VecDeque<Question>,
}

struct Question {
    queue: FullQueue,
    handler: Arc<dyn AnswerHandler>,
}

/// Answer to a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The treatment that the callback chose.
    Chosen(Overflow),
    /// The callback panicked. Holds [`ChooserOptions::on_panic`].
    Panicked(Overflow),
    /// The callback was not called: there is no pool, or no room for the question or its job.
    Refused,
}

/// Receiver of an answer.
pub(super) trait AnswerHandler: Send + Sync {
    /// Handles the answer. Called once.
    fn handle_answer(self: Arc<Self>, answer: Answer);
}

impl Chooser {
    /// Creates a chooser with default options.
    pub fn new(callback: impl Fn(&FullQueue) -> Overflow + Send + Sync + 'static) -> Self {
        Self::with(ChooserOptions::default(), callback)
    }

    /// Creates a chooser with these options. A `concurrency` of 0 counts as 1.
    pub fn with(
        options: ChooserOptions,
        callback: impl Fn(&FullQueue) -> Overflow + Send + Sync + 'static,
    ) -> Self {
        let options = ChooserOptions { concurrency: options.concurrency.max(1), ..options };
        Self(Arc::new(Inner { callback: Box::new(callback), options, questions: Mutex::default() }))
    }

    /// Lets the callback run on the blocking threads of `pool`, until [`stop`](Self::stop).
    pub fn start(&self, pool: &Pool) {
        self.lock().pool = Some(pool.clone());
    }

    /// Submits no more jobs, and drops the handle to the pool. Jobs that were submitted still run, and each
    /// may call the callback once more. When one of them ends, the waiting questions are refused.
    pub fn stop(&self) {
        let pool = self.lock().pool.take();
        // Dropping the last handle refuses jobs, which locks this chooser. So the lock is released first.
        drop(pool);
    }

    /// Asks about a subscriber. `handler` gets the answer, which may be during this call.
    pub(super) fn ask(&self, queue: FullQueue, handler: Arc<dyn AnswerHandler>) {
        let mut questions = self.lock();
        if questions.waiting.len() >= MAX_WAITING {
            drop(questions);
            return handler.handle_answer(Answer::Refused);
        }
        questions.waiting.push_back(Question { queue, handler });
        if questions.jobs < self.0.options.concurrency {
            questions.jobs += 1;
            self.submit(questions);
        }
    }

    /// Submits a job that answers one question. The caller has counted the job. Without a pool, or if the
    /// pool refuses the job, all waiting questions are refused.
    fn submit(&self, questions: MutexGuard<'_, Questions>) {
        let pool = questions.pool.clone();
        drop(questions);
        match pool.map(|pool| pool.submit_blocking(Box::new(self.clone()), None)) {
            Some(Ok(_)) => {}
            Some(Err(_)) | None => self.refuse_all(),
        }
    }

    /// Ends a counted job that did not run, and answers all waiting questions with a refusal.
    fn refuse_all(&self) {
        let mut questions = self.lock();
        questions.jobs -= 1;
        let refused = std::mem::take(&mut questions.waiting);
        drop(questions);
        refused.into_iter().for_each(|question| question.handler.handle_answer(Answer::Refused));
    }

    fn lock(&self) -> MutexGuard<'_, Questions> {
        self.0.questions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A job answers one question and submits the next job. So other jobs of the pool run in between.
impl BlockingJob for Chooser {
    fn run(self: Box<Self>) {
        let question = self.lock().waiting.pop_front();
        if let Some(Question { queue, handler }) = question {
            let chosen = catch_panic(|| (self.0.callback)(&queue));
            let panicked = |_| Answer::Panicked(self.0.options.on_panic);
            handler.handle_answer(chosen.map_or_else(panicked, Answer::Chosen));
        }
        let mut questions = self.lock();
        if questions.waiting.is_empty() {
            questions.jobs -= 1;
        } else {
            self.submit(questions);
        }
    }

    fn refuse(self: Box<Self>, _: Refusal) {
        self.refuse_all();
    }
}

impl PartialEq for Chooser {
    /// Returns `true` for clones of the same chooser.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Chooser {}

impl fmt::Debug for Chooser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let questions = self.lock();
        let mut debug = f.debug_struct("Chooser");
        debug.field("options", &self.0.options).field("jobs", &questions.jobs);
        debug.field("waiting", &questions.waiting.len()).finish_non_exhaustive()
    }
}
