//! A WebSocket's side of a stream (RFC 8441): DATA frames carry its bytes, the stream's windows are its
//! bounds.

use std::task::{Context, Poll};

use bytes::Bytes;

use super::{
    engine::{Code, Gone, Inbound, Outbound, Piece},
    streaming::Progress,
    wait::{Late, Wait},
};
use crate::{
    conn::{
        env::Env,
        exchange::telemetry::CONNECTION_ENDED,
        ws::{End, Endpoint},
    },
    limits::Timeouts,
    net::{Outbox, outbox::Segment},
};

/// Times that what was sent made room for more, in one go.
const ROUNDS_PER_CALL: usize = 16;

/// A socket's side of a stream.
pub(super) struct Tunnel {
    pub(super) endpoint: Endpoint,
    /// None once the peer has ended its side.
    pub(super) inbound: Option<Inbound>,
    pub(super) out: Outbound,
    /// Bytes that the socket wrote.
    outbox: Outbox,
    /// Bytes taken from the outbox and not sent yet.
    piece: Bytes,
    wait: Wait,
    /// Bytes sent, frame headers of the socket included.
    written: u64,
}

impl Tunnel {
    pub(super) fn new(endpoint: Endpoint, inbound: Option<Inbound>, out: Outbound) -> Self {
        Self {
            endpoint,
            inbound,
            out,
            outbox: Outbox::default(),
            piece: Bytes::new(),
            wait: Wait::Nothing,
            written: 0,
        }
    }

    pub(super) fn feed(&mut self, feed: impl FnOnce(&mut Endpoint)) {
        self.endpoint.enter(&mut self.outbox, self.piece.len());
        feed(&mut self.endpoint);
        self.endpoint.leave(&mut self.outbox);
    }

    /// Moves bytes both ways; returns how it ended, once it has.
    pub(super) fn poll(
        &mut self,
        env: &mut Env,
        cx: &mut Context<'_>,
    ) -> Option<(Progress, Option<&'static str>)> {
        if self.out.poll_gone(cx) {
            return Some((Progress::Gone, Some(CONNECTION_ENDED)));
        }
        self.feed(|endpoint| endpoint.woken(env));
        if env.is_draining() {
            self.feed(|endpoint| endpoint.drain(env));
        }
        for _ in 0..ROUNDS_PER_CALL {
            if self.read(env, cx).is_err() {
                return Some((Progress::Gone, Some(CONNECTION_ENDED)));
            }
            self.feed(|endpoint| endpoint.after_event(env));
            match self.write(env, cx) {
                Err(Gone) => return Some((Progress::Gone, Some(CONNECTION_ENDED))),
                Ok(true) => self.feed(|endpoint| endpoint.sent(env)),
                Ok(false) => return self.end(env),
            }
        }
        cx.waker().wake_by_ref();
        None
    }

    /// Hands over what came, while it is wanted: what is not taken keeps the peer's window closed.
    fn read(&mut self, env: &mut Env, cx: &mut Context<'_>) -> Result<(), Gone> {
        while self.endpoint.wants_read()
            && let Some(inbound) = &mut self.inbound
        {
            match inbound.poll(cx) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Err(Gone)) => return Err(Gone),
                Poll::Ready(Ok(Piece::Data(data))) => {
                    inbound.release(data.len());
                    self.feed(|endpoint| endpoint.received(env, &data));
                }
                Poll::Ready(Ok(Piece::End(_))) => {
                    self.inbound = None;
                    self.feed(|endpoint| endpoint.fin_received(env));
                }
            }
        }
        Ok(())
    }

    /// Sends what the peer has room for; says whether anything left.
    fn write(&mut self, env: &Env, cx: &mut Context<'_>) -> Result<bool, Gone> {
        let before = self.written;
        loop {
            if self.piece.is_empty() {
                let Some(segment) = self.outbox.take() else { break };
                self.piece = match segment {
                    Segment::Owned(bytes) | Segment::Lent(bytes) => bytes.into(),
                    Segment::Shared(bytes) => bytes,
                };
            }
            let Poll::Ready(room) = self.out.poll_some(self.piece.len(), cx)? else {
                self.wait.for_window(env.now, self.written);
                return Ok(self.written > before);
            };
            let bytes = self.piece.split_to(room.min(self.piece.len()));
            self.written += bytes.len() as u64;
            self.wait = Wait::Nothing;
            self.out.send(bytes, false)?;
        }
        Ok(self.written > before)
    }

    /// Ends the stream if the socket has ended and nothing waits for the peer.
    fn end(&mut self, env: &Env) -> Option<(Progress, Option<&'static str>)> {
        let end = self.endpoint.end(env.now)?;
        let error = end.error();
        if end == End::Silent {
            return Some((Progress::Broken("ws_pong"), error));
        }
        if !self.piece.is_empty() {
            // The peer has not opened its window for all of it: it has the time that closing has.
            return self.endpoint.is_late(env.now).then_some((Progress::Broken("ws_close"), error));
        }
        let done = self.out.send(Bytes::new(), true).is_ok();
        Some((if done { Progress::Done } else { Progress::Gone }, error))
    }

    /// Looks at the socket's clock.
    pub(super) fn look_at_clock(&mut self, env: &mut Env) {
        self.feed(|endpoint| endpoint.clock_due(env));
    }

    /// Returns when something is due: the socket's clock, or the peer's window.
    pub(super) fn deadline(&self, timeouts: &Timeouts) -> Option<(std::time::Instant, Late)> {
        let clock = self.endpoint.deadline().map(|at| (at, Late::Socket));
        clock.into_iter().chain(self.wait.deadline(timeouts)).min_by_key(|(at, _)| *at)
    }

    /// Gives the stream up; returns the payload bytes that were sent.
    pub(super) fn reset(mut self, env: &Env, code: Code) -> u64 {
        self.endpoint.cancel(env);
        self.out.reset(code);
        self.endpoint.sent_bytes()
    }
}
