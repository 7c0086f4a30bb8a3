//! What a store is, whoever makes it.

use std::{future::poll_fn, task::Poll};

use super::{
    Append, Page, Position, Query, StoreError,
    answer::{self, Answer},
};

/// Says how safe an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Durability {
    /// No promise: the event is gone with the process.
    None,
    /// The event is acknowledged at once and made safe within the store's interval. A crash loses at most that much,
    /// and readers are told the gap.
    Buffered,
    /// The event is on the disk before it is acknowledged: it survives `kill -9` and a power cut.
    Fsynced,
}

/// Acknowledges an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Appended {
    /// The event's position, which is never given to another.
    pub position: Position,
    /// How safe the event is; below what was asked for where the store can do no better.
    pub durability: Durability,
}

impl Appended {
    /// Makes an acknowledgement.
    pub fn new(position: Position, durability: Durability) -> Self {
        Self { position, durability }
    }
}

/// What is called with a store's answer, once.
///
/// It may run on the store's own threads or inside the call, with the store's locks held: it hands the answer on, and
/// neither blocks nor calls the store. A panic in it is caught by the stores here.
pub type Completion<T> = Box<dyn FnOnce(Result<T, StoreError>) + Send>;

/// An append that found the queue full, given back whole.
#[must_use = "the append was not taken"]
pub struct Refused {
    /// What was to be appended.
    pub append: Append,
    /// Who was to be told.
    pub done: Completion<Appended>,
}

/// Holds the events of topics, gives them positions, and reads them back.
///
/// # Contract
///
/// - **Order.** Appends of one thread to one topic are stored in the order of the calls. For one topic, the completions
///   run in the order of the positions, whatever threads appended: whoever hands events on from them hands them on in order.
/// - **Positions.** Within an epoch the positions of a topic rise by one from event to event. A position once told,
///   to a completion or in a page, never stands for another event, not even after a crash: a store that cannot know what
///   it told leaves out a range, or draws a new epoch.
/// - **Failures leave a mark.** An append below [`Durability::Fsynced`] that fails, other than by a
///   [refusal](StoreError::is_refusal), may have been handed to subscribers all the same: a store that goes on later leaves
///   a number out for it, which readers are told as a gap.
/// - **Read your writes.** What a completion has told is in every page asked for afterwards, until retention removes it.
/// - **Nothing is missing unannounced.** Pages are made as [`Extent::page`](super::Extent::page) makes them.
/// - **No blocking.** [`append`](Self::append) and [`read`](Self::read) neither wait nor touch a disk or a socket: they
///   are called on shards. The work is done elsewhere, within bounds.
///
/// Stores that several servers share allocate positions by atomic increment. [`conformance`](super::conformance) tests
/// a store against all this.
pub trait ReplayStore: Send + Sync + 'static {
    /// Appends an event and completes with its position, once it is as safe as was asked for.
    ///
    /// An event that failed has no position. One that failed with an I/O error may still be found in the store later:
    /// whether a write that failed has reached the disk cannot be known.
    ///
    /// # Errors
    ///
    /// The queue is full: the append comes back, and nothing was called. Every other trouble is told to `done`.
    fn append(&self, append: Append, done: Completion<Appended>) -> Result<(), Refused>;

    /// Reads a page. A position that cannot be continued from is no error but part of the answer.
    fn read(&self, query: Query, done: Completion<Page>);

    /// Calls `ready` when an append that was refused is worth trying again. Promises no place.
    ///
    /// Default: at once, for stores whose `append` is never full.
    fn when_ready(&self, ready: Box<dyn FnOnce() + Send>) {
        ready();
    }

    /// Appends an event on this thread, waiting for room and for the answer. Not for shards.
    ///
    /// # Errors
    ///
    /// What the completion is told.
    fn append_blocking(&self, append: Append) -> Result<Appended, StoreError> {
        let mut append = append;
        loop {
            let (done, answer) = answer::pair();
            match self.append(append, done) {
                Ok(()) => return answer.wait(),
                Err(refused) => append = refused.append,
            }
            let (ready, readiness) = answer::pair();
            self.when_ready(Box::new(move || ready(Ok(()))));
            // A store that dropped it unanswered is closing: the next append is told so.
            drop(readiness.wait());
            // It may be called at once, when too many wait.
            std::thread::yield_now();
        }
    }

    /// Reads a page on this thread, waiting for it. Not for shards.
    ///
    /// # Errors
    ///
    /// What the completion is told.
    fn read_blocking(&self, query: Query) -> Result<Page, StoreError> {
        let (done, answer) = answer::pair();
        self.read(query, done);
        answer.wait()
    }
}

impl dyn ReplayStore {
    /// Appends an event, waiting for room and for the answer. For any executor.
    ///
    /// # Errors
    ///
    /// What the completion is told.
    ///
    /// # Cancel safety
    ///
    /// Dropped while it waits for room, nothing was appended. Dropped later, the event is appended and nobody told.
    pub async fn append_async(&self, append: Append) -> Result<Appended, StoreError> {
        let mut append = append;
        loop {
            let (done, answer) = answer::pair();
            match self.append(append, done) {
                Ok(()) => return answer.await,
                Err(refused) => append = refused.append,
            }
            let (ready, readiness) = answer::pair();
            self.when_ready(Box::new(move || ready(Ok(()))));
            drop(readiness.await);
            // It may be called at once, when too many wait: whoever makes room may need this thread.
            let mut yielded = false;
            poll_fn(|cx| match std::mem::replace(&mut yielded, true) {
                true => Poll::Ready(()),
                false => {
                    cx.waker().wake_by_ref();
                    Poll::Pending
                }
            })
            .await;
        }
    }

    /// Reads a page. For any executor.
    ///
    /// # Cancel safety
    ///
    /// Dropped, the page is read and nobody told.
    pub fn read_async(&self, query: Query) -> Answer<Page> {
        let (done, answer) = answer::pair();
        self.read(query, done);
        answer
    }
}
