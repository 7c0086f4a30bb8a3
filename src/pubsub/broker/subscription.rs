//! The event stream of one subscriber: stored events first, then live ones.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use windlass_actors::{
    OutletKey,
    fanout::{Delivery, Gap, SubscribeOptions, Subscription, TopicError},
};

use super::{Shared, TopicFilter, log_table::is_shared, usage::Seat};
use crate::{
    body::{BoxError, OutletAnswer},
    proto::{h1::encode::SharedChunk, sse},
    pubsub::{
        event::{EncodedEvent, EventFormat, GapDetails, gap_between, in_outlet, unknown_id},
        stream::{EventStream, History, HistoryItem, PollNext, ResumePoint},
    },
    replay::{Position, StoreError},
};

/// State of a [`TopicStream`].
///
/// ```text
///  New ─┬─► Replaying ──history sent──► Live ─┬─► Removed ─┐
///       ├─► UnknownId ──reset sent───────▲    │            ▼
///       └────────────────────────────────┘    └─────────► Ended
/// ```
enum StreamState<F> {
    /// Not polled yet. The shard that polls it is not known.
    New(Option<ResumePoint>),
    /// Sends stored events, while live events wait in the subscription.
    Replaying(Subscription<EncodedEvent>, History<F>),
    /// Reports that the client's last event id is unknown.
    UnknownId(Subscription<EncodedEvent>),
    /// Sends live events.
    Live(Subscription<EncodedEvent>),
    /// The overflow policy removed the subscription. The stream stays open without events until the server
    /// drains.
    Removed,
    Ended,
}

/// A stream of a topic's events in the format `F`.
pub(crate) struct TopicStream<F> {
    /// Before `seat`: a subscription ends before the use of its log.
    state: StreamState<F>,
    filter: TopicFilter,
    options: SubscribeOptions,
    /// Number in the last heartbeat.
    last_heartbeat: u64,
    server_drains: bool,
    seat: Seat,
}

impl<F: EventFormat> TopicStream<F> {
    pub(super) fn new(
        seat: Seat,
        filter: TopicFilter,
        options: SubscribeOptions,
        resume: Option<ResumePoint>,
    ) -> Self {
        let state = StreamState::New(resume);
        Self { state, filter, options, last_heartbeat: 0, server_drains: false, seat }
    }

    fn broker(&self) -> &Shared {
        &self.seat.log.broker
    }

    /// Subscribes on the current shard.
    fn subscribe(&mut self, resume: Option<ResumePoint>) -> Result<(), TopicError> {
        let (log, options) = (&self.seat.log, self.options.clone());
        let is_shared = is_shared(&log.key);
        let interest = self.filter.interest(is_shared);
        let (store, key) = (&log.broker.store, &log.store_key);
        self.state = match resume {
            Some(ResumePoint::Stored(start)) => {
                let subscription = log.fanout.subscribe_catching_up(interest, options)?;
                let filter = self.filter.stored(is_shared);
                StreamState::Replaying(subscription, History::new(store.clone(), key.clone(), filter, start))
            }
            Some(ResumePoint::Latest(limit)) => {
                let subscription = log.fanout.subscribe_catching_up(interest, options)?;
                let filter = self.filter.stored(is_shared);
                let history = History::latest(store.clone(), key.clone(), filter, limit);
                StreamState::Replaying(subscription, history)
            }
            Some(ResumePoint::UnknownId) => {
                StreamState::UnknownId(log.fanout.subscribe_to(interest, options)?)
            }
            None => StreamState::Live(log.fanout.subscribe_to(interest, options)?),
        };
        Ok(())
    }

    /// Returns the reconnection delay that the stream starts with; `None` without one in the settings, or if
    /// the format cannot send it.
    fn first_retry(&self) -> Option<F::Output> {
        F::retry(u64::try_from(self.broker().settings.retry?.as_millis()).unwrap_or(u64::MAX))
    }

    /// Returns the reconnection delay that the stream ends with when the server drains; `None` if the format
    /// cannot send it.
    fn final_retry(&self) -> Option<F::Output> {
        F::retry(self.broker().next_reconnect_millis())
    }

    /// Returns `true` if the server drains.
    #[cfg(feature = "ws")]
    pub(crate) fn is_draining(&self) -> bool {
        self.broker().is_draining()
    }

    /// Polls for the next output. Returns `None` at the end of the stream.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> PollNext<F::Output> {
        loop {
            if let StreamState::Live(subscription) = &mut self.state {
                // The common case comes first and does not move the state.
                let delivery = ready!(subscription.poll_next(cx));
                return self.encode(delivery);
            }
            match std::mem::replace(&mut self.state, StreamState::Ended) {
                StreamState::New(resume) => {
                    if let Err(error) = self.subscribe(resume) {
                        return Poll::Ready(Some(Err(Box::new(error))));
                    }
                    if let Some(retry) = self.first_retry() {
                        return Poll::Ready(Some(Ok(retry)));
                    }
                }
                StreamState::UnknownId(subscription) => {
                    self.state = StreamState::Live(subscription);
                    return Poll::Ready(Some(Ok(unknown_id::<F>())));
                }
                StreamState::Replaying(subscription, history) => {
                    if let Some(polled) = self.poll_history(subscription, history, cx) {
                        return polled;
                    }
                }
                StreamState::Removed => return self.poll_removed(),
                StreamState::Live(_) | StreamState::Ended => return Poll::Ready(None),
            }
        }
    }

    /// Polls for stored events. Returns `None` after a change of state: the caller then polls again.
    fn poll_history(
        &mut self,
        mut subscription: Subscription<EncodedEvent>,
        mut history: History<F>,
        cx: &mut Context<'_>,
    ) -> Option<PollNext<F::Output>> {
        match history.poll_next(cx) {
            Poll::Pending => {
                self.state = StreamState::Replaying(subscription, history);
                Some(Poll::Pending)
            }
            Poll::Ready(Ok(HistoryItem::Output(output))) => {
                self.state = StreamState::Replaying(subscription, history);
                Some(Poll::Ready(Some(Ok(output))))
            }
            Poll::Ready(Ok(HistoryItem::End(position))) => {
                self.state = if subscription.caught_up(position.seq()) {
                    StreamState::Live(subscription)
                } else {
                    // The mailbox has overflowed in the meantime. The store has the missing events.
                    history.read_on();
                    StreamState::Replaying(subscription, history)
                };
                None
            }
            Poll::Ready(Err(error)) => Some(Poll::Ready(Some(Err(self.history_failed(error))))),
        }
    }

    /// Encodes a delivery for the client.
    fn encode(&mut self, delivery: Delivery<EncodedEvent>) -> PollNext<F::Output> {
        let output = match delivery {
            Delivery::Event(event) => F::live(event.payload()),
            Delivery::Gap(missed) => self.gap(missed),
            Delivery::Removed => return self.poll_removed(),
            Delivery::Closed => {
                self.state = StreamState::Ended;
                let retry = if self.broker().is_draining() { self.final_retry() } else { None };
                return Poll::Ready(retry.map(Ok));
            }
        };
        Poll::Ready(Some(Ok(output)))
    }

    /// See [`EventStream::rests`].
    fn rests(&self) -> bool {
        matches!(&self.state, StreamState::Live(subscription) if subscription.rests())
    }

    /// Connects an outlet if the stream is live.
    pub(crate) fn connect(&self, outlet: OutletKey) -> OutletAnswer<F::Shared> {
        match &self.state {
            StreamState::Live(subscription) if subscription.connect(outlet) => {
                OutletAnswer::Connected(in_outlet::<F>)
            }
            StreamState::Removed | StreamState::Ended => OutletAnswer::Never,
            StreamState::New(_)
            | StreamState::Replaying(..)
            | StreamState::UnknownId(_)
            | StreamState::Live(_) => OutletAnswer::Later,
        }
    }

    /// Waits for the server to drain. A removed subscription no longer receives the end of its topic.
    fn poll_removed(&mut self) -> PollNext<F::Output> {
        if self.server_drains {
            self.state = StreamState::Ended;
            return Poll::Ready(self.final_retry().map(Ok));
        }
        self.state = StreamState::Removed;
        Poll::Pending
    }

    /// Encodes the gap that a full mailbox left.
    fn gap(&self, missed: Gap) -> F::Output {
        let Gap { from, to, .. } = missed;
        // All positions of a topic have one epoch. The position of an event is recorded before its delivery.
        match self.seat.log.last().map(|last| move |seq| Position::new(last.epoch(), seq)) {
            // Events that the store failed to keep have no position. The gap names the position before them.
            Some(at) if missed.is_unnumbered() => F::gap(Some(at(to)), GapDetails::after(Some(at(to)))),
            Some(at) => gap_between::<F>(at(from), at(to)),
            None => F::gap(None, GapDetails::after(None)),
        }
    }

    /// Returns the position up to which a live stream has sent every event, if it has risen since the last
    /// heartbeat.
    fn heartbeat_position(&mut self) -> Option<Position> {
        let StreamState::Live(subscription) = &self.state else { return None };
        let seq = subscription.delivered_to().filter(|seq| *seq > self.last_heartbeat)?;
        let position = Position::new(self.seat.log.last()?.epoch(), seq);
        self.last_heartbeat = seq;
        Some(position)
    }

    fn history_failed(&self, error: StoreError) -> BoxError {
        self.broker().count_store_error(&error);
        let topic = &*self.seat.log.key;
        tracing::error!(%error, topic, "failed to read the stored events, ending the stream");
        Box::new(error)
    }
}

impl<F: EventFormat<Output = Bytes, Shared = SharedChunk>> EventStream for TopicStream<F> {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> PollNext<Bytes> {
        self.poll_next(cx)
    }

    fn rests(&self) -> bool {
        self.rests()
    }

    /// A quiet stream of a busy log sends the position of the log. A client that reconnects then does not ask
    /// for the events of other topics, which may have expired.
    fn heartbeat(&mut self) -> Bytes {
        let selects = is_shared(&self.seat.log.key) || !self.filter.interest(false).is_all();
        match self.heartbeat_position().filter(|_| selects) {
            Some(position) => {
                let mut output = Vec::with_capacity(sse::OVERHEAD_BYTES);
                sse::append_id(&mut output, &position);
                output.push(b'\n');
                output.into()
            }
            None => Bytes::from_static(sse::COMMENT),
        }
    }

    fn drain(&mut self) {
        self.server_drains = true;
    }

    fn connect(&self, outlet: OutletKey) -> OutletAnswer<SharedChunk> {
        self.connect(outlet)
    }
}
