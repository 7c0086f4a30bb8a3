//! What a store holds, read page by page and told as events.

use std::{
    collections::VecDeque,
    future::Future,
    marker::PhantomData,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use bytes::Bytes;
use windlass_actors::{Deadline, Local};

use super::wire::{Wire, range};
use crate::replay::{
    self, Continuity, ErrorKind, Page, Position, Query, ReplayStore, Reset, Start, StoreError, StoreFuture,
};

/// How soon a store is asked again that had too many readers.
const READ_AGAIN: Duration = Duration::from_millis(100);

/// Reads what came after some position, up to its end.
pub(crate) struct History<F> {
    store: Arc<dyn ReplayStore>,
    key: Bytes,
    state: State,
    form: PhantomData<fn() -> F>,
}

enum State {
    Reading(Start, StoreFuture<Page>),
    /// The store has too many readers just now: it is asked again.
    Waiting(Start, Option<Deadline>),
    /// A page was read, and is being sent; then the next one, if there is more.
    Sending {
        events: VecDeque<replay::Event>,
        at: Position,
        more: bool,
    },
}

impl<F: Wire> History<F> {
    /// Begins to read.
    pub(crate) fn new(store: Arc<dyn ReplayStore>, key: Bytes, start: Start) -> Self {
        let state = State::Reading(start, store.read_async(Query::new(key.clone(), start)));
        Self { store, key, state, form: PhantomData }
    }

    /// Polls for the next events, or what is told of those that cannot be had. `Err` at the end: the position that was
    /// read up to.
    pub(crate) fn poll_piece(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Result<F::Piece, Position>, StoreError>> {
        loop {
            match &mut self.state {
                State::Reading(start, answer) => match ready!(Pin::new(answer).poll(cx)) {
                    Ok(page) => {
                        if let Some(gap) = self.take(page) {
                            return Poll::Ready(Ok(Ok(gap)));
                        }
                    }
                    Err(error) if error.kind() == ErrorKind::Full => {
                        let again = Local::current().map(|local| local.deadline(Instant::now() + READ_AGAIN));
                        self.state = State::Waiting(*start, again);
                    }
                    Err(error) => return Poll::Ready(Err(error)),
                },
                State::Waiting(start, again) => {
                    if let Some(again) = again {
                        ready!(Pin::new(again).poll(cx));
                    }
                    let start = *start;
                    self.read(start);
                }
                State::Sending { events, at, more } => match F::past(events) {
                    Some(piece) => return Poll::Ready(Ok(Ok(piece))),
                    None if *more => self.read_on(),
                    None => return Poll::Ready(Ok(Err(*at))),
                },
            }
        }
    }

    /// Reads on from where it came to.
    pub(crate) fn read_on(&mut self) {
        if let State::Sending { at, .. } = self.state {
            self.read(Start::After(at));
        }
    }

    fn read(&mut self, start: Start) {
        self.state = State::Reading(start, self.store.read_async(Query::new(self.key.clone(), start)));
    }

    /// Takes a page; returns what is told of events that cannot be had.
    fn take(&mut self, page: Page) -> Option<F::Piece> {
        let gap = match page.continuity {
            Continuity::Complete => None,
            Continuity::Gap(gap) => Some(range::<F>(gap.from, gap.to)),
            Continuity::Reset(why) => {
                let why = match why {
                    Reset::UnknownEpoch => "unknown_epoch",
                    Reset::BeyondEnd => "beyond_end",
                };
                Some(F::gap(Some(page.resume), &format!(r#"{{"reset":"{why}"}}"#)))
            }
        };
        let more = page.has_more();
        self.state = State::Sending { events: page.events.into(), at: page.resume, more };
        gap
    }
}

/// Where a client wants to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum From {
    /// As the store says.
    Store(Start),
    /// With the next event: what the client named is no position of any store of ours, which it is told.
    Unknown,
}

impl From {
    /// Reads what a client sent.
    pub(crate) fn parse(last: &[u8]) -> Self {
        match last {
            b"earliest" => Self::Store(Start::Earliest),
            text => Position::parse(text).map_or(Self::Unknown, |at| Self::Store(Start::After(at))),
        }
    }
}
