//! A request's body on its way in: collected, streamed to its handler, or thrown away.

use std::{
    task::{Context, Poll},
    time::Instant,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::{H1, Reading, slots::Meta};
use crate::{
    body::{Body, BodyError, BodySender},
    conn::{
        Env, Io, Timer,
        account::Target,
        answers::too_large,
        pace::{Pace, TOO_SLOW},
    },
    proto::h1::{self as proto, Reject, Step},
    request::Head,
};

/// A request that waits for its body.
pub(super) struct Pending {
    pub(super) head: Head,
    pub(super) target: Target,
    pub(super) meta: Meta,
}

/// Where a body goes.
#[allow(clippy::large_enum_variant, reason = "the body it is a part of is boxed")]
enum Sink {
    Collect { pending: Pending, bytes: Vec<u8>, limit: usize },
    Stream(BodySender),
    Discard { budget: usize },
}

/// A body on its way in.
pub(super) struct Incoming {
    decoder: proto::Body,
    sink: Sink,
    /// The handler's window is full.
    paused: bool,
    pace: Pace,
}

impl Incoming {
    /// Collects up to `limit` bytes, then runs the request. The buffer starts with what was declared, within reason.
    pub(super) fn collect(
        decoder: proto::Body,
        pending: Pending,
        declared: usize,
        limit: usize,
        now: Instant,
    ) -> Self {
        /// A peer that only declares a large body makes us hold no more than this.
        const TRUSTED_BYTES: usize = 64 * 1024;
        let bytes = Vec::with_capacity(declared.min(limit).min(TRUSTED_BYTES));
        Self::new(decoder, Sink::Collect { pending, bytes, limit }, now)
    }

    pub(super) fn stream(decoder: proto::Body, sender: BodySender, now: Instant) -> Self {
        Self::new(decoder, Sink::Stream(sender), now)
    }

    pub(super) fn discard(decoder: proto::Body, budget: usize, now: Instant) -> Self {
        Self::new(decoder, Sink::Discard { budget }, now)
    }

    fn new(decoder: proto::Body, sink: Sink, now: Instant) -> Self {
        Self { decoder, sink, paused: false, pace: Pace::new(now) }
    }

    /// Says whether reading pauses because the handler has not taken what came.
    pub(super) fn is_paused(&self) -> bool {
        self.paused
    }

    /// Says whether nobody wants this body and more than `budget` bytes of it are known to be left.
    pub(super) fn is_unwanted_beyond(&self, budget: usize) -> bool {
        let unwanted = match &self.sink {
            Sink::Collect { .. } => false,
            Sink::Stream(sender) => sender.is_closed(),
            Sink::Discard { .. } => true,
        };
        unwanted && self.decoder.remaining().is_some_and(|left| left > budget as u64)
    }

    /// Looks at the handler's window; its taking bytes brings a message to the connection.
    fn check_window(&mut self, env: &Env, io: &mut Io) {
        let Sink::Stream(sender) = &mut self.sink else { return };
        let waker = io.waker(env);
        match sender.poll_ready(&mut Context::from_waker(&waker)) {
            Poll::Pending => self.paused = true,
            Poll::Ready(wanted) => {
                if !wanted {
                    self.sink = Sink::Discard { budget: env.limits.discard_bytes };
                }
                if std::mem::take(&mut self.paused) {
                    // The handler's time is not the peer's fault.
                    self.pace.restart(env.now);
                }
            }
        }
    }

    /// Takes data; false when it is more than the sink takes.
    fn take(&mut self, data: &[u8], now: Instant) -> bool {
        self.pace.moved(data.len(), now);
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
}

impl H1 {
    /// Decodes body bytes; returns how many were used, 0 while the handler's window is full.
    pub(super) fn body(&mut self, env: &mut Env, io: &mut Io, bytes: &[u8]) -> usize {
        let Reading::Body(incoming) = &mut self.reading else { return 0 };
        incoming.check_window(env, io);
        if incoming.paused {
            return 0;
        }
        match incoming.decoder.decode(bytes) {
            Ok(Step::NeedMore) => {
                incoming.pace.moved(0, env.now);
                bytes.len()
            }
            Ok(Step::Data { consumed, data }) => {
                if !incoming.take(&bytes[data], env.now) {
                    self.body_too_large(env, io);
                } else if incoming.decoder.is_done() {
                    self.body_done(env, io);
                }
                consumed
            }
            Ok(Step::Done { consumed }) => {
                self.body_done(env, io);
                consumed
            }
            Err(reject) => {
                self.body_broken(env, io, reject);
                bytes.len()
            }
        }
    }

    /// Takes the body out; reading goes on with the next head, or not at all.
    fn take_incoming(&mut self) -> Option<Box<Incoming>> {
        let next = if self.closing { Reading::Nothing } else { Reading::Head };
        match std::mem::replace(&mut self.reading, next) {
            Reading::Body(incoming) => Some(incoming),
            _ => None,
        }
    }

    /// Gives up a body that will never be complete, and the request that waits for it.
    pub(super) fn drop_incoming(&mut self, env: &Env, io: &Io) {
        let Some(incoming) = self.take_incoming() else { return };
        if let Sink::Collect { pending, .. } = incoming.sink {
            pending.meta.account.ended_first(env, io);
        }
    }

    fn body_done(&mut self, env: &mut Env, io: &mut Io) {
        let Some(incoming) = self.take_incoming() else { return };
        match incoming.sink {
            Sink::Collect { pending, bytes, .. } => self.start(env, io, pending, Body::from(bytes)),
            Sink::Stream(sender) => match trailers(&incoming.decoder) {
                Some(trailers) => sender.finish_with(trailers),
                None => sender.finish(),
            },
            Sink::Discard { .. } => {}
        }
    }

    fn body_too_large(&mut self, env: &mut Env, io: &mut Io) {
        let Some(incoming) = self.take_incoming() else { return };
        match incoming.sink {
            Sink::Collect { mut pending, .. } => {
                pending.meta.exchange.keep_alive = false;
                self.answer(env, io, pending.meta, too_large());
            }
            Sink::Stream(_) | Sink::Discard { .. } => self.close_after(),
        }
    }

    fn body_broken(&mut self, env: &mut Env, io: &mut Io, reject: Reject) {
        env.counters.protocol_errors.add(reject.label());
        self.body_failed(env, io, reject.status(), reject.text());
    }

    /// Ends a request whose body came too slowly.
    pub(super) fn body_too_slow(&mut self, env: &mut Env, io: &mut Io) {
        self.body_failed(env, io, StatusCode::REQUEST_TIMEOUT, TOO_SLOW);
    }

    /// Ends a request whose body is at fault: its handler is told if it runs already, else the peer.
    fn body_failed(&mut self, env: &mut Env, io: &mut Io, status: StatusCode, text: &'static str) {
        let Some(incoming) = self.take_incoming() else { return };
        self.close_after();
        match incoming.sink {
            Sink::Collect { mut pending, .. } => {
                pending.meta.exchange.keep_alive = false;
                self.answer(env, io, pending.meta, crate::response::plain(status, text).into());
            }
            Sink::Stream(sender) => sender.fail(BodyError::Peer(text)),
            Sink::Discard { .. } => {}
        }
    }

    /// Looks at the body after a call: its window, its timer, and whether it can still be completed.
    pub(super) fn settle_body(&mut self, env: &mut Env, io: &mut Io) {
        let Reading::Body(incoming) = &mut self.reading else { return io.timers.clear(Timer::Body) };
        // What waits in `input` is decoded before the window is looked at again: its room is what brings us back.
        if self.input.is_empty() {
            incoming.check_window(env, io);
        }
        if incoming.paused {
            return io.timers.clear(Timer::Body);
        }
        if self.ended {
            // The rest will never come.
            self.drop_incoming(env, io);
            self.close_after();
            return io.timers.clear(Timer::Body);
        }
        io.timers.set_at(Timer::Body, incoming.pace.deadline(&env.timeouts));
    }
}

fn trailers(decoder: &proto::Body) -> Option<HeaderMap> {
    let fields = decoder.trailers();
    if fields.is_empty() {
        return None;
    }
    let valid = |(name, value): (&[u8], &[u8])| {
        Some((HeaderName::from_bytes(name).ok()?, HeaderValue::from_bytes(value).ok()?))
    };
    Some(fields.iter().filter_map(valid).collect())
}
