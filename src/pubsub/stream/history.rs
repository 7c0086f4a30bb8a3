//! Stored events of a topic, read page by page.

use std::{
    collections::VecDeque,
    future::Future,
    marker::PhantomData,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use windlass_actors::{Deadline, Local, clock};

use crate::{
    pubsub::event::{EventFormat, gap_between},
    replay::{
        self, Continuity, ErrorKind, Filter, Page, Position, Query, ReplayStore, Start, StoreError,
        StoreFuture, Window,
    },
};

/// Delay before another attempt when the store has too many readers.
const READ_RETRY_DELAY: Duration = Duration::from_millis(100);

/// Bytes of events that are read at once. A client that does not read its stream holds so many.
const PAGE_BYTES: usize = 8 * 1024;

/// Bytes of events that a reader of the latest events keeps. A single larger event is kept.
const LATEST_BYTES: usize = 1024 * 1024;

/// A reader of stored events, from a start to the current end of the history.
pub(crate) struct History<F> {
    store: Arc<dyn ReplayStore>,
    /// Name of the log in the store.
    log: Bytes,
    filter: Filter,
    /// The latest events, if only these are sent.
    latest: Option<Latest>,
    state: ReadState,
    format: PhantomData<fn() -> F>,
}

/// State of a [`History`].
///
/// ```text
///  Reading ──page──► Sending ──page sent, more follow──► Reading
///     │ ▲
///     ▼ │ delay over
///  Waiting (too many readers)
/// ```
enum ReadState {
    Reading(Start, StoreFuture<Page>),
    Waiting(Start, Option<Deadline>),
    Sending {
        events: VecDeque<replay::Event>,
        /// The position to read from next.
        resume: Position,
        /// The store has more events after this page.
        has_more: bool,
    },
}

/// The latest events of a history, collected while it is read.
struct Latest {
    limit: usize,
    events: VecDeque<replay::Event>,
    bytes: usize,
}

impl Latest {
    /// Adds the events of a page. Drops the oldest ones beyond the limits.
    fn add(&mut self, page: Vec<replay::Event>) {
        for event in page {
            self.bytes += event.size_bytes();
            self.events.push_back(event);
            let is_over = self.events.len() > self.limit || self.bytes > LATEST_BYTES;
            if is_over && self.events.len() > 1 {
                self.bytes -= self.events.pop_front().map_or(0, |event| event.size_bytes());
            }
        }
    }
}

/// The next part of a history.
pub(crate) enum HistoryItem<T> {
    /// Encoded events, or a gap.
    Output(T),
    /// The end of the history. It was read up to this position.
    End(Position),
}

impl<F: EventFormat> History<F> {
    /// Starts to read the events of a log that the filter matches, from `start` on.
    pub(crate) fn new(store: Arc<dyn ReplayStore>, log: Bytes, filter: Filter, start: Start) -> Self {
        let state = ReadState::Reading(start, store.read_async(query(&log, &filter, PAGE_BYTES, start)));
        Self { store, log, filter, latest: None, state, format: PhantomData }
    }

    /// Creates a history of the latest events that the filter matches: at most `limit`, and of several at
    /// most [`LATEST_BYTES`]. Requests the first page at once, and reads the whole log before the first
    /// event.
    pub(crate) fn latest(store: Arc<dyn ReplayStore>, log: Bytes, filter: Filter, limit: usize) -> Self {
        let latest = Latest { limit, events: VecDeque::new(), bytes: 0 };
        Self { latest: Some(latest), ..Self::new(store, log, filter, Start::Earliest) }
    }

    /// Polls for the next events, or the gap in place of events that have expired.
    ///
    /// # Errors
    ///
    /// The store failed. Having too many readers is no failure: the read is tried again after a delay.
    pub(crate) fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<HistoryItem<F::Output>, StoreError>> {
        loop {
            match &mut self.state {
                ReadState::Reading(start, answer) => match ready!(Pin::new(answer).poll(cx)) {
                    Ok(page) => {
                        if let Some(gap) = self.accept_page(page) {
                            return Poll::Ready(Ok(HistoryItem::Output(gap)));
                        }
                    }
                    Err(error) if error.kind() == ErrorKind::Full => {
                        let retry_at = clock::now() + READ_RETRY_DELAY;
                        let delay = Local::current().map(|local| local.deadline(retry_at));
                        self.state = ReadState::Waiting(*start, delay);
                    }
                    Err(error) => return Poll::Ready(Err(error)),
                },
                ReadState::Waiting(start, delay) => {
                    if let Some(delay) = delay {
                        ready!(Pin::new(delay).poll(cx));
                    }
                    let start = *start;
                    self.read(start);
                }
                ReadState::Sending { events, resume, has_more } => match F::stored(events) {
                    Some(output) => return Poll::Ready(Ok(HistoryItem::Output(output))),
                    None if *has_more => self.read_on(),
                    None => return Poll::Ready(Ok(HistoryItem::End(*resume))),
                },
            }
        }
    }

    /// Reads the events that were stored after the [end](HistoryItem::End).
    pub(crate) fn read_on(&mut self) {
        if let ReadState::Sending { resume, .. } = self.state {
            self.read(Start::After(resume));
        }
    }

    fn read(&mut self, start: Start) {
        let bytes = if self.latest.is_some() { LATEST_BYTES } else { PAGE_BYTES };
        let query = query(&self.log, &self.filter, bytes, start);
        self.state = ReadState::Reading(start, self.store.read_async(query));
    }

    /// Starts to send a page. Returns the gap before its events, if any.
    fn accept_page(&mut self, page: Page) -> Option<F::Output> {
        if let Some(latest) = &mut self.latest {
            // What is missing before the latest events is no gap.
            let (resume, has_more) = (page.resume, page.has_more());
            latest.add(page.events);
            if has_more {
                self.read(Start::After(resume));
            } else if let Some(Latest { events, .. }) = self.latest.take() {
                self.state = ReadState::Sending { events, resume, has_more };
            }
            return None;
        }
        let gap = match page.continuity {
            Continuity::Complete => None,
            Continuity::Gap(gap) => Some(gap_between::<F>(gap.from, gap.to)),
            Continuity::Reset(reset) => Some(F::gap(Some(page.resume), reset.into())),
        };
        let has_more = page.has_more();
        self.state = ReadState::Sending { events: page.events.into(), resume: page.resume, has_more };
        gap
    }
}

fn query(log: &Bytes, filter: &Filter, bytes: usize, start: Start) -> Query {
    Query::new(log.clone(), start).filter(filter.clone()).window(Window { bytes, ..Window::default() })
}

/// The point at which a client continues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ResumePoint {
    /// A start in the stored history.
    Stored(Start),
    /// The next live event, because the client sent an id that is not a position. The stream reports a reset.
    UnknownId,
    /// At most this many of the latest stored events.
    Latest(usize),
}

impl ResumePoint {
    /// Parses a last event id: a position, or `earliest`. Returns `None` if it is empty.
    pub(crate) fn parse(last: &[u8]) -> Option<Self> {
        Some(match last {
            b"" => return None,
            b"earliest" => Self::Stored(Start::Earliest),
            text => {
                Position::parse(text).map_or(Self::UnknownId, |position| Self::Stored(Start::After(position)))
            }
        })
    }
}
