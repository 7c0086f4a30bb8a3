//! The response body of an event stream: it has a first output at once, and sends heartbeats during silence.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker, ready},
    time::{Duration, Instant},
};

use bytes::Bytes;
use windlass_actors::{Deadline, Local, OutletKey, clock};

use crate::{
    body::{BoxError, Frame, OutletAnswer, Source},
    proto::{h1::encode::SharedChunk, sse},
};

/// Result of polling an event stream: the next output, or `None` at the end.
pub(crate) type PollNext<T> = Poll<Option<Result<T, BoxError>>>;

/// A stream of encoded server-sent events.
pub(crate) trait EventStream: Send + Unpin {
    /// Polls for the next encoded events. Returns `None` at the end of the stream.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> PollNext<Bytes>;

    /// See [`Source::rests`].
    fn rests(&self) -> bool {
        false
    }

    /// Returns the bytes to send after an interval of silence. Called only if nothing is left to send.
    fn heartbeat(&mut self) -> Bytes {
        Bytes::from_static(sse::COMMENT)
    }

    /// Called repeatedly while the server drains.
    fn drain(&mut self);

    /// See [`Source::connect`].
    fn connect(&self, _outlet: OutletKey) -> OutletAnswer<SharedChunk> {
        OutletAnswer::Never
    }
}

/// A response body that forwards an event stream and sends a heartbeat comment when the stream is silent.
///
/// A stream that has nothing to send at first starts with a comment. Many proxies forward the response head
/// only with the first byte of the body, and `EventSource` reports an open connection only with the head.
pub(crate) struct HeartbeatBody<S> {
    stream: S,
    heartbeat: Heartbeat,
    /// The first output has been returned.
    has_started: bool,
    /// Polling again right after the last output returns `Pending`.
    rests: bool,
}

impl<S: EventStream> HeartbeatBody<S> {
    /// Creates a body that sends a comment after each `interval` of silence. `None` and zero disable
    /// heartbeats.
    pub(crate) fn new(stream: S, interval: Option<Duration>) -> Self {
        Self { stream, heartbeat: Heartbeat::new(interval), has_started: false, rests: false }
    }
}

impl<S: EventStream> Source for HeartbeatBody<S> {
    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BoxError>>> {
        let is_first = !std::mem::replace(&mut self.has_started, true);
        match self.stream.poll_next(cx) {
            Poll::Ready(output) => {
                self.heartbeat.record_output();
                self.rests = self.stream.rests() && self.heartbeat.rests(cx);
                Poll::Ready(output.map(|output| output.map(Frame::Data)))
            }
            Poll::Pending => {
                let output = if is_first {
                    self.heartbeat.record_output();
                    Bytes::from_static(sse::COMMENT)
                } else {
                    ready!(self.heartbeat.poll(cx));
                    self.stream.heartbeat()
                };
                self.rests = false;
                Poll::Ready(Some(Ok(Frame::Data(output))))
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
        self.stream.drain();
    }

    fn connect(self: Pin<&mut Self>, outlet: OutletKey) -> OutletAnswer<SharedChunk> {
        self.stream.connect(outlet)
    }

    fn delivered(mut self: Pin<&mut Self>, at: Instant) {
        self.heartbeat.last_output = at;
    }
}

/// A timer that expires after an interval without output. Must be polled on a shard.
struct Heartbeat {
    interval: Option<Duration>,
    last_output: Instant,
    /// There was output since the last poll of the timer that returned `Pending`.
    had_output: bool,
    /// The running timer and its expiry time. Output does not restart the timer. When it expires too early,
    /// it is replaced.
    timer: Option<(Instant, Deadline)>,
    /// The waker that the timer wakes.
    waker: Option<Waker>,
}

impl Heartbeat {
    /// Creates a timer. `None` and zero disable it.
    fn new(interval: Option<Duration>) -> Self {
        let interval = interval.filter(|interval| !interval.is_zero());
        Self { interval, last_output: clock::now(), had_output: true, timer: None, waker: None }
    }

    /// Restarts the interval. Uses the shard's cached time, which is cheaper than the clock and drives its
    /// timers.
    fn record_output(&mut self) {
        let now = Local::current().map_or_else(clock::now, |local| local.now());
        (self.last_output, self.had_output) = (now, true);
    }

    /// Returns `true` if polling right after an output returns `Pending` and leaves nothing to set up.
    fn rests(&mut self, cx: &Context<'_>) -> bool {
        let rests = self.interval.is_none() || self.is_armed(cx);
        self.had_output &= !rests;
        rests
    }

    /// Returns `true` if the timer wakes this task and had not expired at the last output.
    fn is_armed(&self, cx: &Context<'_>) -> bool {
        let same_task = self.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker()));
        same_task && self.timer.as_ref().is_some_and(|(expiry, _)| self.last_output < *expiry)
    }

    /// Returns `Ready` when the interval has passed without output, and starts the next interval. Never
    /// without an interval.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(interval) = self.interval else { return Poll::Pending };
        if std::mem::take(&mut self.had_output) && self.is_armed(cx) {
            // The armed timer wakes this task. Reading the clock here would cost time with every event.
            return Poll::Pending;
        }
        self.waker = Some(cx.waker().clone());
        loop {
            let Some((_, deadline)) = &mut self.timer else {
                let expiry = self.last_output + interval;
                let Some(deadline) = Local::current().map(|local| local.deadline(expiry)) else {
                    return Poll::Pending;
                };
                self.timer = Some((expiry, deadline));
                continue;
            };
            ready!(Pin::new(deadline).poll(cx));
            self.timer = None;
            let now = clock::now();
            if now.saturating_duration_since(self.last_output) >= interval {
                self.last_output = now;
                return Poll::Ready(());
            }
        }
    }
}
