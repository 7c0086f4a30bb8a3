//! A topic's events as the body of a response: what was missed, then what comes.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use windlass_actors::fanout::{Delivery, Missed, SubscribeError, Subscription, Terms};

use super::{
    Shared,
    entry::Entry,
    event::Stamped,
    heartbeat::Heartbeat,
    history::{From, History, gap_event, told, unknown_id},
};
use crate::{
    body::{BoxError, Frame, Source},
    proto::sse,
    replay::{Epoch, Position, StoreError},
};

enum State {
    /// Nobody has polled it: it is not known on which shard it lives.
    New(Option<From>),
    /// History is read and sent.
    Behind(Subscription<Stamped>, History),
    /// Events are sent as they come.
    Live(Subscription<Stamped>),
    /// It was unregistered: nothing comes but comments.
    Removed,
    Ended,
}

/// A subscription as pieces of a body.
pub(crate) struct Stream {
    shared: Arc<Shared>,
    entry: Arc<Entry>,
    terms: Terms,
    state: State,
    epoch: Option<Epoch>,
}

impl Stream {
    pub(super) fn new(shared: Arc<Shared>, entry: Arc<Entry>, terms: Terms, from: Option<From>) -> Self {
        Self { shared, entry, terms, state: State::New(from), epoch: None }
    }

    /// Subscribes on the shard this is polled on. The first piece says when to come back, and what cannot be had.
    fn begin(&mut self, from: Option<From>) -> Result<Option<Bytes>, BoxError> {
        let terms = self.terms.clone();
        let mut first = Vec::new();
        if let Some(retry) = self.shared.settings.retry {
            sse::retry(&mut first, u64::try_from(retry.as_millis()).unwrap_or(u64::MAX));
        }
        self.state = match from {
            Some(From::Store(start)) => {
                let subscription = self.entry.topic.subscribe_behind(terms).map_err(refused)?;
                State::Behind(subscription, History::new(self.shared.store.clone(), self.entry.key.clone(), start))
            }
            Some(From::Unknown) | None => State::Live(self.entry.topic.subscribe_with(terms).map_err(refused)?),
        };
        if from == Some(From::Unknown) {
            first.extend_from_slice(&unknown_id());
        }
        Ok((!first.is_empty()).then(|| first.into()))
    }

    /// Polls for the next piece; `None` when nothing more comes.
    pub(crate) fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BoxError>>> {
        loop {
            match std::mem::replace(&mut self.state, State::Ended) {
                State::New(from) => match self.begin(from) {
                    Ok(None) => {}
                    Ok(Some(first)) => return Poll::Ready(Some(Ok(first))),
                    Err(error) => return Poll::Ready(Some(Err(error))),
                },
                State::Behind(subscription, history) => {
                    if let Some(polled) = self.poll_behind(subscription, history, cx) {
                        return polled;
                    }
                }
                State::Live(subscription) => return self.poll_live(subscription, cx),
                State::Removed => {
                    self.state = State::Removed;
                    return Poll::Pending;
                }
                State::Ended => return Poll::Ready(None),
            }
        }
    }

    /// Sends history; `None` when the state moved on.
    fn poll_behind(
        &mut self,
        mut subscription: Subscription<Stamped>,
        mut history: History,
        cx: &mut Context<'_>,
    ) -> Option<Poll<Option<Result<Bytes, BoxError>>>> {
        let polled = history.poll_piece(cx);
        self.epoch = history.epoch();
        match polled {
            Poll::Pending => {
                self.state = State::Behind(subscription, history);
                Some(Poll::Pending)
            }
            Poll::Ready(Ok(Ok(piece))) => {
                self.state = State::Behind(subscription, history);
                Some(Poll::Ready(Some(Ok(piece))))
            }
            Poll::Ready(Ok(Err(at))) => {
                self.state = if subscription.caught_up(at.seq()) {
                    State::Live(subscription)
                } else {
                    history.read_on();
                    State::Behind(subscription, history)
                };
                None
            }
            Poll::Ready(Err(error)) => Some(Poll::Ready(Some(Err(self.unreadable(error))))),
        }
    }

    fn poll_live(
        &mut self,
        mut subscription: Subscription<Stamped>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, BoxError>>> {
        let polled = subscription.poll_next(cx);
        let piece = match polled {
            Poll::Pending => None,
            Poll::Ready(Delivery::Event(event)) => {
                let stamped = event.payload();
                self.epoch = stamped.position.map(Position::epoch).or(self.epoch);
                Some(stamped.sse.clone())
            }
            Poll::Ready(Delivery::Gap(missed)) => Some(self.gap(missed)),
            Poll::Ready(Delivery::Removed) => {
                self.state = State::Removed;
                return Poll::Pending;
            }
            Poll::Ready(Delivery::Closed) => return Poll::Ready(self.shared.farewell().map(Ok)),
        };
        self.state = State::Live(subscription);
        piece.map_or(Poll::Pending, |piece| Poll::Ready(Some(Ok(piece))))
    }

    /// Tells what a full queue lost. The epoch is that of events before it, or of none: then numbers must do.
    fn gap(&self, missed: Missed) -> Bytes {
        let Missed { from, to, .. } = missed;
        match self.epoch.map(|epoch| move |seq| Position::new(epoch, seq)) {
            // What the store did not keep has no id: all that can be told is behind which one it came.
            Some(at) if missed.is_unnumbered() => told(Some(at(to)), &format!(r#"{{"after":"{}"}}"#, at(to))),
            Some(at) => gap_event(at(from), at(to)),
            None if missed.is_unnumbered() => told(None, &format!(r#"{{"after":{to}}}"#)),
            None => told(None, &format!(r#"{{"from":{from},"to":{to}}}"#)),
        }
    }

    fn unreadable(&self, error: StoreError) -> BoxError {
        self.shared.store_failed(&error);
        tracing::error!(%error, "a topic's history cannot be read; the stream ends");
        Box::new(error)
    }
}

fn refused(error: SubscribeError) -> BoxError {
    Box::new(error)
}

/// The body of a response that is one topic's stream.
pub(super) struct StreamBody {
    stream: Stream,
    heartbeat: Heartbeat,
}

impl StreamBody {
    pub(super) fn new(stream: Stream) -> Self {
        let heartbeat = Heartbeat::new(stream.shared.settings.heartbeat);
        Self { stream, heartbeat }
    }
}

impl Source for StreamBody {
    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BoxError>>> {
        match self.stream.poll_piece(cx) {
            Poll::Ready(piece) => {
                self.heartbeat.note_sent();
                Poll::Ready(piece.map(|piece| piece.map(Frame::Data)))
            }
            Poll::Pending => {
                ready!(self.heartbeat.poll(cx));
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
