//! Streams of events as bodies of responses: with comments where they are silent.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker, ready},
    time::{Duration, Instant},
};

use bytes::Bytes;
use windlass_actors::{Deadline, Local};

use crate::{
    body::{BoxError, Frame, Offer, Source},
    proto::sse,
};

/// What a stream has: a piece, nothing yet, or nothing more.
pub(crate) type Polled<P> = Poll<Option<Result<P, BoxError>>>;

/// A stream of events as pieces of what its client is sent.
pub(crate) trait Pieces: Send + Unpin {
    /// Returns the next piece; `None` when nothing more comes.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Polled<Bytes>;

    /// Says, right behind a piece, whether polling again would find nothing yet; see [`Source::rests`].
    fn rests(&self) -> bool {
        false
    }

    /// Is told, again and again, that the server ends.
    fn drain(&mut self);

    /// See [`Source::offer`].
    fn offer(&self, _offer: &mut Offer) {}
}

/// The body of a response that is such a stream, which is never silent for long.
pub(crate) struct Lively<P> {
    pieces: P,
    heartbeat: Heartbeat,
    /// There is nothing behind the last piece.
    rests: bool,
}

impl<P: Pieces> Lively<P> {
    /// Makes one with a comment after each `interval` of silence; `None` and zero: none.
    pub(crate) fn new(pieces: P, interval: Option<Duration>) -> Self {
        Self { pieces, heartbeat: Heartbeat::new(interval), rests: false }
    }
}

impl<P: Pieces> Source for Lively<P> {
    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BoxError>>> {
        match self.pieces.poll_piece(cx) {
            Poll::Ready(piece) => {
                self.heartbeat.note_sent();
                self.rests = self.pieces.rests() && self.heartbeat.rests(cx);
                Poll::Ready(piece.map(|piece| piece.map(Frame::Data)))
            }
            Poll::Pending => {
                ready!(self.heartbeat.poll(cx));
                self.rests = false;
                Poll::Ready(Some(Ok(Frame::Data(Bytes::from_static(sse::HEARTBEAT)))))
            }
        }
    }

    fn rests(&self) -> bool {
        self.rests
    }

    fn is_shard_safe(&self) -> bool {
        true
    }

    fn is_endless(&self) -> bool {
        true
    }

    fn drain(mut self: Pin<&mut Self>) {
        self.pieces.drain();
    }

    fn offer(self: Pin<&mut Self>, offer: &mut Offer) {
        self.pieces.offer(offer);
    }

    fn passed(mut self: Pin<&mut Self>, at: Instant) {
        self.heartbeat.sent = at;
    }
}

/// Says when a stream was silent for so long that a comment is due. Polled on a shard.
struct Heartbeat {
    interval: Option<Duration>,
    /// When something was sent last.
    sent: Instant,
    /// Something was sent since nothing was there last.
    fresh: bool,
    deadline: Option<(Instant, Deadline)>,
    /// Whom the deadline wakes.
    waiter: Option<Waker>,
}

impl Heartbeat {
    /// Makes one that is due after each `interval` of silence; `None` and zero: never.
    fn new(interval: Option<Duration>) -> Self {
        let interval = interval.filter(|interval| !interval.is_zero());
        Self { interval, sent: Instant::now(), fresh: true, deadline: None, waiter: None }
    }

    /// Notes that something is sent. The shard's time, by which its timers fire, costs less than a look at the clock.
    fn note_sent(&mut self) {
        let now = Local::current().map_or_else(Instant::now, |local| local.now());
        (self.sent, self.fresh) = (now, true);
    }

    /// Says, right behind what was noted as sent, that polling would find nothing due and that the timer, if there is one,
    /// wakes whoever polls.
    fn rests(&mut self, cx: &Context<'_>) -> bool {
        let rests = self.interval.is_none() || self.runs(cx);
        self.fresh &= !rests;
        rests
    }

    /// Says that the timer wakes this waker and was not due when something was sent last.
    fn runs(&self, cx: &Context<'_>) -> bool {
        let waits = self.waiter.as_ref().is_some_and(|waiter| waiter.will_wake(cx.waker()));
        waits && self.deadline.as_ref().is_some_and(|(due, _)| self.sent < *due)
    }

    /// Waits until a comment is due.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(interval) = self.interval else { return Poll::Pending };
        if std::mem::take(&mut self.fresh) && self.runs(cx) {
            // Right behind an event, with a timer that was not due then, there is no need to read the clock.
            return Poll::Pending;
        }
        self.waiter = Some(cx.waker().clone());
        loop {
            let Some((_, deadline)) = &mut self.deadline else {
                let due = self.sent + interval;
                let Some(deadline) = Local::current().map(|local| local.deadline(due)) else {
                    return Poll::Pending;
                };
                self.deadline = Some((due, deadline));
                continue;
            };
            ready!(Pin::new(deadline).poll(cx));
            self.deadline = None;
            if self.sent.elapsed() >= interval {
                self.sent = Instant::now();
                return Poll::Ready(());
            }
        }
    }
}
