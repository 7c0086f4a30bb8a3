//! The store trait.

use std::{future::poll_fn, task::Poll};

use bytes::Bytes;

use super::{
    Append, Durability, Page, Position, Query, StoreError,
    completion::{Completion, StoreFuture, completion},
};

/// Acknowledgement of an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Appended {
    /// Position of the event. No other event ever gets the same one.
    pub position: Position,
    /// Durability reached. It is below the requested one if the store cannot provide that.
    pub durability: Durability,
    /// Whether the log knew the idempotency key: nothing was appended, and `position` is that of the first
    /// event with the key.
    pub is_repeat: bool,
}

impl Appended {
    /// Creates the acknowledgement of a new event.
    pub fn new(position: Position, durability: Durability) -> Self {
        Self { position, durability, is_repeat: false }
    }

    /// Turns the acknowledgement into that of a repeated append.
    #[must_use]
    pub fn repeated(self) -> Self {
        Self { is_repeat: true, ..self }
    }
}

/// Append that was rejected because the store's queue is full. It contains everything the caller passed in.
#[must_use = "the event was not appended"]
pub struct RejectedAppend {
    /// Event to append.
    pub append: Append,
    /// Completion of the append. It has not been called.
    pub done: Completion<Appended>,
}

/// Store of the events of logs. It assigns positions and reads events back.
///
/// # Contract
///
/// - **Order.** Appends of one thread to one log are stored in the order of the calls. The completions of a
///   log run in the order of the positions, whichever threads appended, except those of repeats. So a caller
///   that delivers events from completions delivers them in order.
/// - **Positions.** Within an epoch, the position of a log increases by one with each event. A position
///   that a completion or a page has reported never stands for another event, not even after a crash. A store
///   that cannot know which positions it reported skips a range or starts a new epoch.
/// - **Failed appends leave a gap.** An append below [`Durability::Fsynced`] that fails, other than by a
///   [rejection](StoreError::is_rejection), may have reached subscribers. When the store works again it skips
///   one number for each such append, which readers see as a gap.
/// - **Read your writes.** An event is in every page requested after its completion ran, until retention
///   removes it.
/// - **Filters.** A page has exactly the events that its filter matches. It reports a gap only if an event
///   may be missing that the filter matches. Retention keeps the newest events of each label.
/// - **Keys.** Of the appends with one idempotency key to one log, within a window, only the first is stored.
///   The others get its position if their content is the same, and [`KeyReused`](super::ErrorKind::KeyReused)
///   otherwise. The window survives with the events.
/// - **No silent loss.** Pages are built by [`PageBuilder`](super::PageBuilder), so missing events are a gap.
/// - **No blocking.** [`append`](Self::append) and [`read`](Self::read) neither wait nor access a disk or a
///   socket, because shards call them. The work happens on other threads, in bounded queues.
///
/// A store that several servers share assigns positions by an atomic increment.
/// [`conformance`](super::conformance) tests a store against this contract.
pub trait ReplayStore: Send + Sync + 'static {
    /// Appends an event. Calls `done` with its position once the requested durability is reached.
    ///
    /// A failed append has no position. After an I/O error the event may still appear in the store later,
    /// because a failed write may have reached the disk. `done` receives every error except a full queue.
    ///
    /// # Errors
    ///
    /// The queue is full. The append is returned and `done` is not called.
    fn append(&self, append: Append, done: Completion<Appended>) -> Result<(), RejectedAppend>;

    /// Reads a page. A position that the store cannot continue from is not an error: the page reports it.
    fn read(&self, query: Query, done: Completion<Page>);

    /// Finds the earliest stored event of a log with this id, which its publisher chose. Calls `done` with
    /// `None` if there is none. Like [`read`](Self::read) it neither waits nor accesses a disk.
    ///
    /// Default: finds nothing, for stores that do not keep such ids.
    fn find_id(&self, log: Bytes, id: Bytes, done: Completion<Option<Position>>) {
        let _ = (log, id);
        done(Ok(None));
    }

    /// Returns the failure that the store has not recovered from, such as a full disk or a damaged file, or
    /// `None` if it works. Never blocks.
    ///
    /// A server is not [ready](crate::Operations::ready) while its store fails. Default: `None`.
    fn failure(&self) -> Option<StoreError> {
        None
    }

    /// Calls `ready` when a rejected append is worth a retry. The retry may be rejected again.
    ///
    /// Default: calls `ready` at once, for stores whose queue is never full.
    fn when_ready(&self, ready: Box<dyn FnOnce() + Send>) {
        ready();
    }

    /// Appends an event and blocks this thread until it is acknowledged. Not for shards.
    ///
    /// # Errors
    ///
    /// The error of the append.
    fn append_blocking(&self, append: Append) -> Result<Appended, StoreError> {
        let mut append = append;
        loop {
            let (done, result) = completion();
            match self.append(append, done) {
                Ok(()) => return result.wait(),
                Err(rejected) => append = rejected.append,
            }
            let (ready, readiness) = completion();
            self.when_ready(Box::new(move || ready(Ok(()))));
            // A store that is closing drops the callback uncalled. The next append reports that.
            drop(readiness.wait());
            // With many waiters the callback may run at once.
            std::thread::yield_now();
        }
    }

    /// Reads a page and blocks this thread until it is there. Not for shards.
    ///
    /// # Errors
    ///
    /// The error of the read.
    fn read_blocking(&self, query: Query) -> Result<Page, StoreError> {
        let (done, result) = completion();
        self.read(query, done);
        result.wait()
    }

    /// Finds an event by its id and blocks this thread until the answer is there. Not for shards.
    ///
    /// # Errors
    ///
    /// The error of the search.
    fn find_id_blocking(&self, log: Bytes, id: Bytes) -> Result<Option<Position>, StoreError> {
        let (done, result) = completion();
        self.find_id(log, id, done);
        result.wait()
    }
}

impl dyn ReplayStore {
    /// Appends an event and waits until it is acknowledged. Works on any executor.
    ///
    /// # Errors
    ///
    /// The error of the append.
    ///
    /// # Cancel safety
    ///
    /// Dropped while the queue is full, nothing is appended. Dropped later, the event is appended and the
    /// acknowledgement is discarded.
    pub async fn append_async(&self, append: Append) -> Result<Appended, StoreError> {
        let mut append = append;
        loop {
            let (done, result) = completion();
            match self.append(append, done) {
                Ok(()) => return result.await,
                Err(rejected) => append = rejected.append,
            }
            let (ready, readiness) = completion();
            self.when_ready(Box::new(move || ready(Ok(()))));
            drop(readiness.await);
            // With many waiters the callback may run at once. The task that makes room may need this thread.
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

    /// Finds an event by its id. Works on any executor.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future does not cancel the search; the answer is discarded.
    pub fn find_id_async(&self, log: Bytes, id: Bytes) -> StoreFuture<Option<Position>> {
        let (done, result) = completion();
        self.find_id(log, id, done);
        result
    }

    /// Reads a page. Works on any executor.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future does not cancel the read; the page is discarded.
    pub fn read_async(&self, query: Query) -> StoreFuture<Page> {
        let (done, result) = completion();
        self.read(query, done);
        result
    }
}
