//! A request's body on its way in: collected, or streamed to its handler.

use std::{
    task::{Context, Poll},
    time::Instant,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::engine::{Gone, Inbound, Piece};
use crate::{
    body::{BodyError, BodySender},
    conn::{
        env::Env,
        exchange::body_rate::{BodyRate, TOO_SLOW},
    },
    limits::{Limits, Timeouts},
    proto::h1::{Reject, is_forbidden_trailer},
};

/// Destination of a body.
enum Sink {
    Collect { bytes: Vec<u8>, limit: usize },
    Stream(BodySender),
    Discard { budget: usize },
}

/// A body on its way in.
pub(super) struct Incoming {
    inbound: Inbound,
    sink: Sink,
    /// The handler's window is full.
    paused: bool,
    rate: BodyRate,
}

/// Progress of a body.
pub(super) enum Taken {
    /// The peer, or the handler, has to go on first.
    Part,
    /// It was collected.
    Whole(Bytes),
    /// The handler has all of it, or wants no more.
    Passed,
    /// It is larger than its limit.
    TooLarge,
    /// Its trailers are; a handler that reads it as it comes was told.
    Refused(Reject),
    /// The stream is over.
    Gone,
}

impl Incoming {
    /// Collects up to `limit` bytes. The buffer starts with what was declared, within reason.
    pub(super) fn collect(inbound: Inbound, declared: usize, limit: usize, now: Instant) -> Self {
        /// A peer that only declares a large body makes us hold no more than this.
        const TRUSTED_BYTES: usize = 64 * 1024;
        let bytes = Vec::with_capacity(declared.min(limit).min(TRUSTED_BYTES));
        Self::new(inbound, Sink::Collect { bytes, limit }, now)
    }

    pub(super) fn stream(inbound: Inbound, sender: BodySender, now: Instant) -> Self {
        Self::new(inbound, Sink::Stream(sender), now)
    }

    /// Throws up to `budget` bytes away: a client that is nearly done need not be stopped.
    pub(super) fn discard(inbound: Inbound, budget: usize, now: Instant) -> Self {
        Self::new(inbound, Sink::Discard { budget }, now)
    }

    /// Throws away what is left: nobody wants it.
    pub(super) fn unwanted(self, budget: usize, now: Instant) -> Self {
        Self::discard(self.inbound, budget, now)
    }

    fn new(inbound: Inbound, sink: Sink, now: Instant) -> Self {
        Self { inbound, sink, paused: false, rate: BodyRate::new(now) }
    }

    /// Takes what is there, as far as it is wanted. What is not taken keeps the peer's window closed.
    pub(super) fn take(&mut self, env: &Env, cx: &mut Context<'_>) -> Taken {
        loop {
            match self.is_wanted(env.now, cx) {
                Poll::Pending => return Taken::Part,
                Poll::Ready(false) => return Taken::Passed,
                Poll::Ready(true) => {}
            }
            match self.inbound.poll(cx) {
                Poll::Pending => return Taken::Part,
                Poll::Ready(Ok(Piece::Data(data))) => {
                    self.rate.received(data.len(), env.now);
                    self.inbound.release(data.len());
                    if !self.put(data) {
                        return Taken::TooLarge;
                    }
                }
                Poll::Ready(Ok(Piece::End(trailers))) => return self.end(trailers, &env.limits),
                Poll::Ready(Err(Gone)) => return Taken::Gone,
            }
        }
    }

    /// Looks at the handler's window.
    fn is_wanted(&mut self, now: Instant, cx: &mut Context<'_>) -> Poll<bool> {
        let Sink::Stream(sender) = &mut self.sink else { return Poll::Ready(true) };
        let wanted = sender.poll_ready(cx);
        if wanted.is_pending() {
            self.paused = true;
        } else if std::mem::take(&mut self.paused) {
            // The handler's time is not the peer's fault.
            self.rate.restart(now);
        }
        wanted
    }

    /// Passes data on; false when it is more than is taken.
    fn put(&mut self, data: Bytes) -> bool {
        match &mut self.sink {
            Sink::Collect { bytes, limit } => {
                let fits = data.len() <= *limit - bytes.len();
                if fits {
                    bytes.extend_from_slice(&data);
                }
                fits
            }
            Sink::Stream(sender) => {
                sender.push(data);
                true
            }
            Sink::Discard { budget } => {
                let left = budget.checked_sub(data.len());
                *budget = left.unwrap_or(0);
                left.is_some()
            }
        }
    }

    fn end(&mut self, trailers: Option<HeaderMap>, limits: &Limits) -> Taken {
        let refused = trailers.as_ref().and_then(|trailers| excess(trailers, limits));
        match (std::mem::replace(&mut self.sink, Sink::Discard { budget: 0 }), refused) {
            (Sink::Discard { .. }, _) => return Taken::Passed,
            (Sink::Collect { .. }, Some(reject)) => return Taken::Refused(reject),
            (Sink::Collect { bytes, .. }, None) => return Taken::Whole(bytes.into()),
            (Sink::Stream(sender), Some(reject)) => {
                sender.fail(BodyError::Peer(reject.text()));
                return Taken::Refused(reject);
            }
            (Sink::Stream(sender), None) => match trailers.map(permitted) {
                Some(trailers) if !trailers.is_empty() => sender.finish_with(trailers),
                _ => sender.finish(),
            },
        }
        Taken::Passed
    }

    /// Returns `true` if it waits for its handler, not for the peer.
    pub(super) fn is_paused(&self) -> bool {
        self.paused
    }

    /// Tells the handler that the rest comes too slowly.
    pub(super) fn fail_late(self) {
        if let Sink::Stream(sender) = self.sink {
            sender.fail(BodyError::Peer(TOO_SLOW));
        }
    }

    /// Returns when the peer will have been too slow.
    pub(super) fn deadline(&self, timeouts: &Timeouts) -> Option<Instant> {
        if self.paused { None } else { self.rate.deadline(timeouts) }
    }
}

/// Returns the limit that the trailers exceed. Their size is that in HTTP/1.1.
fn excess(trailers: &HeaderMap, limits: &Limits) -> Option<Reject> {
    const SEPARATORS_BYTES: usize = ": \r\n".len();
    let size =
        |(name, value): (&HeaderName, &HeaderValue)| name.as_str().len() + value.len() + SEPARATORS_BYTES;
    if trailers.iter().map(size).sum::<usize>() > limits.trailer_bytes {
        return Some(Reject::TrailersTooLong);
    }
    (trailers.len() > limits.headers).then_some(Reject::TooManyHeaders)
}

/// Leaves out what must not come as a trailer (RFC 9110 §6.5.1).
pub(super) fn permitted(trailers: HeaderMap) -> HeaderMap {
    if trailers.keys().any(|name| is_forbidden_trailer(name.as_str().as_bytes())) {
        let pairs = trailers.iter().filter(|(name, _)| !is_forbidden_trailer(name.as_str().as_bytes()));
        return pairs.map(|(name, value)| (name.clone(), value.clone())).collect();
    }
    trailers
}
