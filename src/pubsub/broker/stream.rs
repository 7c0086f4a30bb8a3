//! A topic's events as the body of a response: what was missed, then what comes.

use std::{
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use windlass_actors::{
    Parcel,
    fanout::{self, Delivery, Gap, SubscribeOptions, Subscription, TopicError},
};

use super::{
    Shared,
    entry::Entry,
    event::Stamped,
    heartbeat::{Pieces, Polled},
    history::{From, History},
    wire::{ServerSent, Wire, range, unknown_id},
};
use crate::{
    body::{Answer, BoxError, Offer, Piece, Unpack},
    replay::{Position, StoreError},
};

enum State<F> {
    /// Nobody has polled it: it is not known on which shard it lives.
    New(Option<From>),
    /// History is read and sent.
    Behind(Subscription<Stamped>, History<F>),
    /// The client is told that what it named is unknown.
    Unknown(Subscription<Stamped>),
    /// Events are sent as they come.
    Live(Subscription<Stamped>),
    /// It was unregistered: nothing comes but comments, and the end of the server.
    Removed,
    Ended,
}

/// A subscription as pieces of what its client is sent.
pub(crate) struct Stream<F> {
    shared: Arc<Shared>,
    entry: Arc<Entry>,
    terms: SubscribeOptions,
    state: State<F>,
    /// The server ends.
    ending: bool,
}

impl<F: Wire> Stream<F> {
    pub(super) fn new(
        shared: Arc<Shared>,
        entry: Arc<Entry>,
        terms: SubscribeOptions,
        from: Option<From>,
    ) -> Self {
        Self { shared, entry, terms, state: State::New(from), ending: false }
    }

    /// Subscribes on the shard this is polled on.
    fn begin(&mut self, from: Option<From>) -> Result<(), BoxError> {
        let terms = self.terms.clone();
        self.state = match from {
            Some(From::Store(start)) => {
                let subscription = self.entry.topic.subscribe_catching_up(terms).map_err(refused)?;
                State::Behind(
                    subscription,
                    History::new(self.shared.store.clone(), self.entry.key.clone(), start),
                )
            }
            Some(From::Unknown) => State::Unknown(self.entry.topic.subscribe_with(terms).map_err(refused)?),
            None => State::Live(self.entry.topic.subscribe_with(terms).map_err(refused)?),
        };
        Ok(())
    }

    /// Returns what a stream begins with.
    fn retry(&self) -> Option<F::Piece> {
        F::retry(u64::try_from(self.shared.settings.retry?.as_millis()).unwrap_or(u64::MAX))
    }

    /// Returns what a stream ends with when the server ends.
    fn farewell(&self) -> Option<F::Piece> {
        F::retry(self.shared.come_back())
    }

    /// Says whether the server ends.
    #[cfg(feature = "ws")]
    pub(crate) fn is_draining(&self) -> bool {
        self.shared.draining.load(std::sync::atomic::Ordering::SeqCst)
    }

    /// Polls for the next piece; `None` when nothing more comes.
    pub(crate) fn poll_piece(&mut self, cx: &mut Context<'_>) -> Polled<F::Piece> {
        loop {
            if let State::Live(subscription) = &mut self.state {
                // Where it is, for it is what happens with every event.
                let delivery = ready!(subscription.poll_next(cx));
                return self.deliver(delivery);
            }
            match std::mem::replace(&mut self.state, State::Ended) {
                State::New(from) => {
                    if let Err(error) = self.begin(from) {
                        return Poll::Ready(Some(Err(error)));
                    }
                    if let Some(retry) = self.retry() {
                        return Poll::Ready(Some(Ok(retry)));
                    }
                }
                State::Unknown(subscription) => {
                    self.state = State::Live(subscription);
                    return Poll::Ready(Some(Ok(unknown_id::<F>())));
                }
                State::Behind(subscription, history) => {
                    if let Some(polled) = self.poll_behind(subscription, history, cx) {
                        return polled;
                    }
                }
                State::Removed => return self.poll_removed(),
                State::Live(_) | State::Ended => return Poll::Ready(None),
            }
        }
    }

    /// Sends history; `None` when the state moved on.
    fn poll_behind(
        &mut self,
        mut subscription: Subscription<Stamped>,
        mut history: History<F>,
        cx: &mut Context<'_>,
    ) -> Option<Polled<F::Piece>> {
        match history.poll_piece(cx) {
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

    /// Makes of a delivery what the client is sent.
    fn deliver(&mut self, delivery: Delivery<Stamped>) -> Polled<F::Piece> {
        let piece = match delivery {
            Delivery::Event(event) => F::live(event.payload()),
            Delivery::Gap(missed) => self.gap(missed),
            Delivery::Removed => return self.poll_removed(),
            Delivery::Closed => {
                self.state = State::Ended;
                let farewell = if self.shared.is_draining() { self.farewell() } else { None };
                return Poll::Ready(farewell.map(Ok));
            }
        };
        Poll::Ready(Some(Ok(piece)))
    }

    /// Says, right behind a piece, whether polling again would find nothing yet.
    fn rests(&self) -> bool {
        matches!(&self.state, State::Live(subscription) if subscription.rests())
    }

    /// Accepts an outlet for its events once they are sent as they come.
    pub(crate) fn accept(&self, offer: &mut Offer, unpack: Unpack) {
        offer.answer = match &self.state {
            State::Live(subscription) if subscription.connect(offer.outlet) => Answer::Accepted(unpack),
            State::Removed | State::Ended => Answer::Never,
            State::New(_) | State::Behind(..) | State::Unknown(_) | State::Live(_) => Answer::Later,
        };
    }

    /// Waits for the end of the server, which others hear of by their topic.
    fn poll_removed(&mut self) -> Polled<F::Piece> {
        if self.ending {
            self.state = State::Ended;
            return Poll::Ready(self.farewell().map(Ok));
        }
        self.state = State::Removed;
        Poll::Pending
    }

    /// Tells what a full queue lost.
    fn gap(&self, missed: Gap) -> F::Piece {
        let Gap { from, to, .. } = missed;
        // All positions of a topic have one epoch, and an event's is noted before the event is handed on.
        match self.entry.last().map(|last| move |seq| Position::new(last.epoch(), seq)) {
            // What the store did not keep has no id: all that can be told is behind which one it came.
            Some(at) if missed.is_unnumbered() => {
                F::gap(Some(at(to)), &format!(r#"{{"after":"{}"}}"#, at(to)))
            }
            Some(at) => range::<F>(at(from), at(to)),
            None => F::gap(None, r#"{"after":null}"#),
        }
    }

    fn unreadable(&self, error: StoreError) -> BoxError {
        self.shared.store_failed(&error);
        tracing::error!(%error, "a topic's history cannot be read; the stream ends");
        Box::new(error)
    }
}

fn refused(error: TopicError) -> BoxError {
    Box::new(error)
}

impl Pieces for Stream<ServerSent> {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Polled<Bytes> {
        self.poll_piece(cx)
    }

    fn rests(&self) -> bool {
        self.rests()
    }

    fn drain(&mut self) {
        self.ending = true;
    }

    fn offer(&self, offer: &mut Offer) {
        self.accept(offer, chunk);
    }
}

/// Returns what is sent of an event as a chunk of HTTP/1.1.
fn chunk(parcel: &Parcel) -> Option<Piece> {
    let Stamped { sse, chunk, .. } = stamped(parcel)?;
    Some(Piece { bytes: chunk.clone(), payload_bytes: sse.len() })
}

/// Returns what was put into an outlet of a topic's subscriber.
pub(super) fn stamped(parcel: &Parcel) -> Option<&Stamped> {
    parcel.downcast_ref::<fanout::Event<Stamped>>().map(fanout::Event::payload)
}
