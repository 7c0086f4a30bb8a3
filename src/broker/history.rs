//! What a store holds, read page by page and told as events.

use std::{
    collections::VecDeque,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;

use crate::{
    proto::sse,
    replay::{self, Answer, Epoch, Page, Position, Query, ReplayStore, Reset, Since, Start, StoreError},
};

/// Bytes of history put into one piece of the body at most, unless one event is larger.
const PIECE_BYTES: usize = 16 * 1024;

/// Reads what came after some position, up to its end.
pub(crate) struct History {
    store: Arc<dyn ReplayStore>,
    key: Bytes,
    state: State,
    epoch: Option<Epoch>,
}

enum State {
    Reading(Answer<Page>),
    /// A page was read, and is being sent; then the next one, if there is more.
    Sending {
        events: VecDeque<replay::Event>,
        at: Position,
        more: bool,
    },
}

impl History {
    /// Begins to read.
    pub(crate) fn new(store: Arc<dyn ReplayStore>, key: Bytes, start: Start) -> Self {
        let state = State::Reading(store.since_async(Query::new(key.clone(), start)));
        let epoch = if let Start::After(position) = start { Some(position.epoch()) } else { None };
        Self { store, key, state, epoch }
    }

    /// Returns the epoch of the store, as far as it is known.
    pub(crate) fn epoch(&self) -> Option<Epoch> {
        self.epoch
    }

    /// Polls for the next events, or what is told of those that cannot be had. `Err` at the end: the position that was
    /// read up to.
    pub(crate) fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Result<Bytes, Position>, StoreError>> {
        loop {
            match &mut self.state {
                State::Reading(answer) => match ready!(Pin::new(answer).poll(cx)) {
                    Ok(page) => {
                        if let Some(gap) = self.take(page) {
                            return Poll::Ready(Ok(Ok(gap)));
                        }
                    }
                    Err(error) => return Poll::Ready(Err(error)),
                },
                State::Sending { events, at, more } => match encode(events) {
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
            let query = Query::new(self.key.clone(), Start::After(at));
            self.state = State::Reading(self.store.since_async(query));
        }
    }

    /// Takes a page; returns what is told of events that cannot be had.
    fn take(&mut self, page: Page) -> Option<Bytes> {
        self.epoch = Some(page.end.epoch());
        let gap = match page.since {
            Since::Recovered => None,
            Since::Gap(gap) => Some(gap_event(gap.from, gap.to)),
            Since::Reset(why) => {
                let why = match why {
                    Reset::UnknownEpoch => "unknown_epoch",
                    Reset::BeyondEnd => "beyond_end",
                };
                Some(told(Some(page.resume), &format!(r#"{{"reset":"{why}"}}"#)))
            }
        };
        let more = page.has_more();
        self.state = State::Sending { events: page.events.into(), at: page.resume, more };
        gap
    }
}

/// Encodes events of a page, as many as make a piece.
fn encode(events: &mut VecDeque<replay::Event>) -> Option<Bytes> {
    let mut piece = Vec::new();
    while let Some(event) = events.front() {
        if !piece.is_empty() && piece.len() + event.data.len() > PIECE_BYTES {
            break;
        }
        sse::event(&mut piece, Some(&event.position), event.name.as_deref(), &event.data);
        events.pop_front();
    }
    (!piece.is_empty()).then(|| piece.into())
}

/// Makes the event that tells of a range the client will not get; its id is where the next event follows.
pub(crate) fn gap_event(from: Position, to: Position) -> Bytes {
    told(Some(to), &format!(r#"{{"from":"{from}","to":"{to}"}}"#))
}

/// Makes the event that says that what the client named is no position of any store.
pub(crate) fn unknown_id() -> Bytes {
    told(None, r#"{"reset":"unknown_id"}"#)
}

/// Makes an event that tells of others.
pub(crate) fn told(position: Option<Position>, text: &str) -> Bytes {
    let mut event = Vec::new();
    sse::event(&mut event, position.as_ref().map(|p| p as &dyn std::fmt::Display), Some(b"gap"), text.as_bytes());
    event.into()
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
