//! A topic's events as the body of a response: what was missed, then what comes.

use std::{
    collections::VecDeque,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
    time::{Duration, Instant},
};

use bytes::Bytes;
use windlass_actors::{
    Deadline,
    fanout::{Delivery, Missed, SubscribeError, Subscription},
};

use super::{PreparedEvent, Shared, entry::Entry};
use crate::{
    body::{BoxError, Frame, Source},
    proto::sse,
    replay::{self, Answer, ErrorKind, Page, Position, Query, Reset, Since, Start, StoreError},
};

/// Bytes of history put into one piece of the body at most, unless one event is larger.
const PIECE_BYTES: usize = 16 * 1024;

/// How soon a store is asked again that had too many readers.
const READ_AGAIN: Duration = Duration::from_millis(100);

/// Where a stream begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum From {
    /// As the store says.
    Store(Start),
    /// With the next event: what the client named is no position of any store of ours, which it is told.
    Unknown,
}

enum State {
    /// Nobody has polled it: it is not known on which shard it lives.
    New(Option<From>),
    /// History is being read.
    Reading(Subscription<PreparedEvent>, Start, Answer<Page>),
    /// The store has too many readers just now: it is asked again.
    Waiting(Subscription<PreparedEvent>, Start, Option<Deadline>),
    /// History was read, and is being sent.
    Sending(Subscription<PreparedEvent>, Position, VecDeque<replay::Event>, bool),
    /// Events are sent as they come.
    Live(Subscription<PreparedEvent>),
    /// It was unregistered: nothing comes but comments, and the end of the server.
    Removed(Option<Subscription<PreparedEvent>>),
    Ended,
}

/// The body of a subscription.
pub(super) struct Stream {
    shared: Arc<Shared>,
    entry: Arc<Entry>,
    state: State,
    /// When something was sent last.
    sent: Instant,
    /// Something was sent since nothing was there last.
    fresh: bool,
    heartbeat: Option<(Instant, Deadline)>,
    /// Whom the heartbeat wakes.
    waiter: Option<Waker>,
}

impl Stream {
    pub(super) fn new(shared: Arc<Shared>, entry: Arc<Entry>, from: Option<From>) -> Self {
        Self {
            shared,
            entry,
            state: State::New(from),
            sent: Instant::now(),
            fresh: true,
            heartbeat: None,
            waiter: None,
        }
    }

    /// Subscribes on the shard this is polled on. The first piece says when to come back, and what cannot be had.
    fn begin(&mut self, from: Option<From>) -> Result<Option<Bytes>, BoxError> {
        let (bounds, overflow) = (self.entry.policy.bounds(), self.entry.policy.overflow);
        let mut first = Vec::new();
        if let Some(retry) = self.shared.settings.retry {
            sse::retry(&mut first, u64::try_from(retry.as_millis()).unwrap_or(u64::MAX));
        }
        self.state = match from {
            Some(From::Store(start)) => {
                let subscription = self.entry.topic.subscribe_behind(bounds, overflow).map_err(refused)?;
                State::Reading(subscription, start, self.since(start))
            }
            Some(From::Unknown) | None => {
                let subscription = self.entry.topic.subscribe_with(bounds, overflow).map_err(refused)?;
                State::Live(subscription)
            }
        };
        if from == Some(From::Unknown) {
            sse::event(&mut first, None, Some(b"gap"), br#"{"reset":"unknown_id"}"#);
        }
        Ok((!first.is_empty()).then(|| first.into()))
    }

    fn since(&self, start: Start) -> Answer<Page> {
        self.shared.store.since_async(Query::new(self.entry.key.clone(), start))
    }

    /// Takes a page of history; the piece says what of it cannot be had.
    fn read(&mut self, subscription: Subscription<PreparedEvent>, page: Page) -> Option<Bytes> {
        let gap = match page.since {
            Since::Recovered => None,
            Since::Gap(gap) => {
                Some(format!(r#"{{"from":"{}","to":"{}"}}"#, gap.from, gap.to)).map(|text| (gap.to, text))
            }
            Since::Reset(why) => {
                let why = match why {
                    Reset::UnknownEpoch => "unknown_epoch",
                    Reset::BeyondEnd => "beyond_end",
                };
                Some((page.resume, format!(r#"{{"reset":"{why}"}}"#)))
            }
        };
        let more = page.has_more();
        self.state = State::Sending(subscription, page.resume, page.events.into(), more);
        gap.map(|(position, text)| gap_event(&position, &text))
    }

    /// Goes on after a page: with the next one, or with live events.
    fn read_on(&mut self, mut subscription: Subscription<PreparedEvent>, at: Position, more: bool) {
        self.state = if !more && subscription.caught_up(at.seq()) {
            State::Live(subscription)
        } else {
            let start = Start::After(at);
            State::Reading(subscription, start, self.since(start))
        };
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BoxError>>> {
        loop {
            match std::mem::replace(&mut self.state, State::Ended) {
                State::New(from) => match self.begin(from) {
                    Ok(None) => {}
                    Ok(Some(first)) => return Poll::Ready(Some(Ok(first))),
                    Err(error) => return Poll::Ready(Some(Err(error))),
                },
                State::Reading(subscription, start, mut answer) => match Pin::new(&mut answer).poll(cx) {
                    Poll::Pending => {
                        self.state = State::Reading(subscription, start, answer);
                        return Poll::Pending;
                    }
                    Poll::Ready(Ok(page)) => {
                        if let Some(gap) = self.read(subscription, page) {
                            return Poll::Ready(Some(Ok(gap)));
                        }
                    }
                    Poll::Ready(Err(error)) if error.kind() == ErrorKind::Full => {
                        let again = self.shared.deadline(Instant::now() + READ_AGAIN);
                        self.state = State::Waiting(subscription, start, again);
                    }
                    Poll::Ready(Err(error)) => return Poll::Ready(Some(Err(unreadable(error)))),
                },
                State::Waiting(subscription, start, mut again) => {
                    if again.as_mut().is_some_and(|again| Pin::new(again).poll(cx).is_pending()) {
                        self.state = State::Waiting(subscription, start, again);
                        return Poll::Pending;
                    }
                    self.state = State::Reading(subscription, start, self.since(start));
                }
                State::Sending(subscription, at, mut events, more) => {
                    if let Some(piece) = encode(&mut events) {
                        self.state = State::Sending(subscription, at, events, more);
                        return Poll::Ready(Some(Ok(piece)));
                    }
                    self.read_on(subscription, at, more);
                }
                State::Live(subscription) => return self.poll_live(subscription, cx),
                State::Removed(lobby) => return self.poll_removed(lobby, cx),
                State::Ended => return Poll::Ready(None),
            }
        }
    }

    fn poll_live(
        &mut self,
        mut subscription: Subscription<PreparedEvent>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, BoxError>>> {
        let polled = subscription.poll_next(cx);
        let piece = match polled {
            Poll::Pending => None,
            Poll::Ready(Delivery::Event(event)) => Some(event.payload().bytes().clone()),
            Poll::Ready(Delivery::Gap(missed)) => Some(self.gap(missed)),
            Poll::Ready(Delivery::Removed) => return self.poll_removed(self.shared.lobby(), cx),
            Poll::Ready(Delivery::Closed) => return Poll::Ready(self.shared.farewell().map(Ok)),
        };
        self.state = State::Live(subscription);
        piece.map_or(Poll::Pending, |piece| Poll::Ready(Some(Ok(piece))))
    }

    /// Waits for the end of the server.
    fn poll_removed(
        &mut self,
        mut lobby: Option<Subscription<PreparedEvent>>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, BoxError>>> {
        if lobby.as_mut().is_none_or(|lobby| lobby.poll_next(cx).is_ready()) {
            return Poll::Ready(self.shared.farewell().map(Ok));
        }
        self.state = State::Removed(lobby);
        Poll::Pending
    }

    /// Tells what a full queue lost.
    fn gap(&self, missed: Missed) -> Bytes {
        // All positions of a topic have one epoch, and an event's is noted before the event is handed on.
        let at =
            |seq| self.entry.last().map_or_else(String::new, |last| Position::new(last.epoch(), seq).to_string());
        let to = at(missed.to);
        gap_event(&to, &format!(r#"{{"from":"{}","to":"{to}"}}"#, at(missed.from)))
    }

    /// Sends a comment when nothing was sent for the interval.
    fn poll_heartbeat(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let interval = self.shared.settings.heartbeat.filter(|interval| !interval.is_zero());
        let Some(interval) = interval else { return Poll::Pending };
        let waits = self.waiter.as_ref().is_some_and(|waiter| waiter.will_wake(cx.waker()));
        let runs = waits && self.heartbeat.as_ref().is_some_and(|(due, _)| self.sent < *due);
        if std::mem::take(&mut self.fresh) && runs {
            // Right behind an event, with a timer that was not due then, there is no need to read the clock.
            return Poll::Pending;
        }
        self.waiter = Some(cx.waker().clone());
        loop {
            let Some((_, deadline)) = &mut self.heartbeat else {
                let due = self.sent + interval;
                let Some(deadline) = self.shared.deadline(due) else { return Poll::Pending };
                self.heartbeat = Some((due, deadline));
                continue;
            };
            ready!(Pin::new(deadline).poll(cx));
            self.heartbeat = None;
            if self.sent.elapsed() >= interval {
                return Poll::Ready(());
            }
        }
    }
}

impl Source for Stream {
    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BoxError>>> {
        match self.poll_piece(cx) {
            Poll::Ready(piece) => {
                (self.sent, self.fresh) = (Instant::now(), true);
                Poll::Ready(piece.map(|piece| piece.map(Frame::Data)))
            }
            Poll::Pending => {
                ready!(self.poll_heartbeat(cx));
                self.sent = Instant::now();
                Poll::Ready(Some(Ok(Frame::Data(Bytes::from_static(sse::HEARTBEAT)))))
            }
        }
    }

    fn travels(&self) -> bool {
        true
    }

    fn ends_with_peer(&self) -> bool {
        true
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

/// An event that tells of events the client will not get; its id is where the next one follows.
fn gap_event(position: &dyn std::fmt::Display, text: &str) -> Bytes {
    let mut event = Vec::new();
    sse::event(&mut event, Some(position), Some(b"gap"), text.as_bytes());
    event.into()
}

fn refused(error: SubscribeError) -> BoxError {
    Box::new(error)
}

fn unreadable(error: StoreError) -> BoxError {
    tracing::error!(%error, "a topic's history cannot be read; the stream ends");
    Box::new(error)
}
