//! A request body while it is received: collected, streamed to its handler, or discarded.

use std::{
    task::{Context, Poll, Waker},
    time::Instant,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::context::RoutedRequest;
use crate::{
    body::BodySender,
    conn::{env::Env, exchange::body_rate::BodyRate},
    proto::h1::{self as proto, Reject, Step},
};

/// Destination of a body.
#[allow(clippy::large_enum_variant, reason = "the body that it belongs to is boxed")]
pub(super) enum Sink {
    /// A buffer of at most `limit` bytes. The request's handler starts when the body is complete.
    Collect { request: RoutedRequest, bytes: Vec<u8>, limit: usize },
    /// A handler that is started without waiting for the body.
    Stream(BodySender),
    /// Nobody. At most `budget` more bytes are read.
    Discard { budget: usize },
}

/// Request body while it is received.
pub(super) struct Incoming {
    decoder: proto::Body,
    pub(super) sink: Sink,
    /// The handler's window is full, so nothing is decoded.
    paused: bool,
    rate: BodyRate,
}

/// Result of decoding some bytes of a body.
pub(super) enum Decoded {
    /// More of the body is to come.
    More,
    /// The body is complete.
    Complete,
    /// The body is larger than its destination accepts.
    TooLarge,
    /// The body's framing is invalid.
    Invalid(Reject),
}

impl Incoming {
    /// Collects up to `limit` bytes for a request that starts then. The buffer's initial capacity is the
    /// declared length, up to a bound.
    pub(super) fn collect(
        decoder: proto::Body,
        request: RoutedRequest,
        declared: usize,
        limit: usize,
        now: Instant,
    ) -> Self {
        /// Maximum capacity for a body that is only declared: a peer can make the server hold no more than
        /// this without sending anything.
        const TRUSTED_BYTES: usize = 64 * 1024;
        let bytes = Vec::with_capacity(declared.min(limit).min(TRUSTED_BYTES));
        Self::new(decoder, Sink::Collect { request, bytes, limit }, now)
    }

    /// Streams the body to a handler.
    pub(super) fn stream(decoder: proto::Body, sender: BodySender, now: Instant) -> Self {
        Self::new(decoder, Sink::Stream(sender), now)
    }

    /// Discards the body; it is too large if more than `budget` bytes come.
    pub(super) fn discard(decoder: proto::Body, budget: usize, now: Instant) -> Self {
        Self::new(decoder, Sink::Discard { budget }, now)
    }

    fn new(decoder: proto::Body, sink: Sink, now: Instant) -> Self {
        Self { decoder, sink, paused: false, rate: BodyRate::new(now) }
    }

    /// Returns `true` if reading waits for the handler to take what was received.
    pub(super) fn is_paused(&self) -> bool {
        self.paused
    }

    /// Returns `true` if no handler reads this body, and more than `budget` bytes of it are left or may be.
    pub(super) fn is_unwanted_beyond(&self, budget: usize) -> bool {
        let unwanted = match &self.sink {
            Sink::Collect { .. } => false,
            Sink::Stream(sender) => sender.is_closed(),
            Sink::Discard { .. } => true,
        };
        unwanted && self.decoder.remaining().is_none_or(|left| left > budget as u64)
    }

    /// Returns the time at which the peer will have been too slow; `None` while the handler is the one to
    /// wait for.
    pub(super) fn deadline(&self, env: &Env) -> Option<Instant> {
        if self.paused { None } else { self.rate.deadline(env) }
    }

    /// Checks the window of a handler that the body is streamed to; has no effect on other bodies. While it
    /// is full, decoding is paused, and `waker` is woken when the handler takes bytes. If the handler wants
    /// no more, up to `discard` bytes are discarded.
    pub(super) fn poll_window(&mut self, waker: impl FnOnce() -> Waker, discard: usize, now: Instant) {
        let Sink::Stream(sender) = &mut self.sink else { return };
        match sender.poll_ready(&mut Context::from_waker(&waker())) {
            Poll::Pending => self.paused = true,
            Poll::Ready(wanted) => {
                if !wanted {
                    self.sink = Sink::Discard { budget: discard };
                }
                if std::mem::take(&mut self.paused) {
                    // The time that the handler took does not count against the peer.
                    self.rate.restart(now);
                }
            }
        }
    }

    /// Decodes bytes up to the end of the next run of data. Returns how many were consumed.
    pub(super) fn decode(&mut self, bytes: &[u8], now: Instant) -> (usize, Decoded) {
        let (consumed, fits) = match self.decoder.decode(bytes) {
            Ok(Step::NeedMore) => {
                self.rate.received(0, now);
                (bytes.len(), true)
            }
            Ok(Step::Data { consumed, data }) => (consumed, self.write(&bytes[data], now)),
            Ok(Step::Done { consumed }) => return (consumed, Decoded::Complete),
            Err(reject) => return (bytes.len(), Decoded::Invalid(reject)),
        };
        if !fits || self.decoder.announced() > self.room() {
            (consumed, Decoded::TooLarge)
        } else if self.decoder.is_done() {
            (consumed, Decoded::Complete)
        } else {
            (consumed, Decoded::More)
        }
    }

    /// Returns how many more bytes of data the destination accepts.
    fn room(&self) -> u64 {
        match &self.sink {
            Sink::Collect { bytes, limit, .. } => (*limit - bytes.len()) as u64,
            Sink::Stream(_) => u64::MAX,
            Sink::Discard { budget } => *budget as u64,
        }
    }

    /// Passes data to the destination. Returns `false` if it is more than the destination accepts; a
    /// collected body then gets nothing of it.
    fn write(&mut self, data: &[u8], now: Instant) -> bool {
        self.rate.received(data.len(), now);
        match &mut self.sink {
            Sink::Collect { bytes, limit, .. } => {
                let fits = data.len() <= *limit - bytes.len();
                if fits {
                    bytes.extend_from_slice(data);
                }
                fits
            }
            Sink::Stream(sender) => {
                sender.push(Bytes::copy_from_slice(data));
                true
            }
            Sink::Discard { budget } => {
                let left = budget.checked_sub(data.len());
                *budget = left.unwrap_or(0);
                left.is_some()
            }
        }
    }

    /// Returns the trailers of a complete body, without those that are not valid fields; `None` if it has
    /// none.
    pub(super) fn trailers(&self) -> Option<HeaderMap> {
        let fields = self.decoder.trailers();
        if fields.is_empty() {
            return None;
        }
        let valid = |(name, value): (&[u8], &[u8])| {
            Some((HeaderName::from_bytes(name).ok()?, HeaderValue::from_bytes(value).ok()?))
        };
        Some(fields.iter().filter_map(valid).collect())
    }
}
