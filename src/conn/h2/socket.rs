//! A WebSocket on a stream (RFC 8441): DATA frames carry its bytes, the stream's windows are its bounds.

use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::Version;

use super::{
    H2,
    engine::{Code, Gone, Inbound, Outbound, Piece},
    head,
    incoming::Incoming,
    reply::Progress,
    stream::{Exchange, Late, State, Stream, Wait},
};
use crate::{
    conn::{
        Env, Io,
        account::ENDED_FIRST,
        ws::{End, Endpoint},
    },
    limits::Timeouts,
    net::{Outbox, outbox::Segment},
    response::Response,
    ws::{Upgrade, Verdict},
};

/// Times that what was sent made room for more, in one go.
const ROUNDS_PER_CALL: usize = 16;

/// A socket's side of a stream.
pub(super) struct Tunnel {
    endpoint: Endpoint,
    /// None once the peer has ended its side.
    inbound: Option<Inbound>,
    out: Outbound,
    /// What the socket wrote.
    outbox: Outbox,
    /// What was taken of that and not sent yet.
    piece: Bytes,
    wait: Wait,
    /// Bytes sent, frame headers of the socket included.
    written: u64,
}

impl H2 {
    /// Opens the socket that a reply says is opened; any other reply, and the exchange, is given back.
    pub(super) fn open_socket(
        &mut self,
        env: &mut Env,
        io: &mut Io,
        mut exchange: Exchange,
        mut response: Response,
    ) -> Option<(Exchange, Response)> {
        match Verdict::take(&mut response, Version::HTTP_2) {
            Some(Verdict::Opened(upgrade)) if exchange.tunnel.is_some() => {
                let inbound = exchange.tunnel.take();
                self.start_socket(env, io, exchange, inbound, &response, *upgrade);
                return None;
            }
            Some(Verdict::Refused(refusal)) => env.counters.ws.refused.add(refusal.label()),
            _ => {}
        }
        Some((exchange, response))
    }

    fn start_socket(
        &mut self,
        env: &mut Env,
        io: &mut Io,
        exchange: Exchange,
        inbound: Option<Inbound>,
        response: &Response,
        upgrade: Upgrade,
    ) {
        let Exchange { id, mut account, reply, .. } = exchange;
        let mut sent = head::response(response, response.body(), false, env.date.value(env.now));
        // It is no message that has a length (RFC 9110 §9.3.6).
        sent.head.headers_mut().remove(http::header::CONTENT_LENGTH);
        let Ok(out) = reply.send(sent.head, false) else { return account.ended_first(env, io) };
        account.switched();
        account.count(env, response.status());
        let waker = self.woken.waker(id);
        let mut tunnel = Tunnel {
            endpoint: Endpoint::new(env, waker.clone(), upgrade, account.route_metrics(env).clone()),
            inbound,
            out,
            outbox: Outbox::default(),
            piece: Bytes::new(),
            wait: Wait::Nothing,
            written: 0,
        };
        tunnel.feed(|endpoint| endpoint.start(env));
        let mut stream = Stream::new(id, None, State::Socket(account, Box::new(tunnel)));
        stream.waker = Some(waker);
        self.advance(env, io, stream);
    }

    /// Goes on with a socket.
    pub(super) fn go_on_socket(
        &mut self,
        env: &mut Env,
        io: &mut Io,
        mut stream: Box<Stream>,
        cx: &mut Context<'_>,
    ) {
        let State::Socket(account, mut tunnel) = stream.state else { return };
        let (progress, error) = match tunnel.poll(env, cx) {
            Some(ended) => ended,
            None => {
                stream.state = State::Socket(account, tunnel);
                return self.put_back(env, stream);
            }
        };
        tunnel.endpoint.cancel(env);
        let sent = tunnel.endpoint.sent_bytes();
        account.finish(env, io, Some(http::StatusCode::OK), error, sent);
        match progress {
            Progress::Broken(cause) => {
                env.counters.h2_resets.add(cause);
                tunnel.out.reset(Code::Cancel);
                // The engine has to write that.
                stream.waker.iter().for_each(Waker::wake_by_ref);
            }
            Progress::Gone => env.counters.h2_resets.add("peer"),
            // The peer ends its side, too.
            Progress::Done | Progress::Waits => {
                let rest = tunnel
                    .inbound
                    .map(|inbound| Incoming::discard(inbound, env.limits.discard_bytes, env.now));
                self.read_on(env, io, stream.id, rest);
            }
        }
    }
}

impl Tunnel {
    fn feed(&mut self, feed: impl FnOnce(&mut Endpoint)) {
        self.endpoint.enter(&mut self.outbox, self.piece.len());
        feed(&mut self.endpoint);
        self.endpoint.leave(&mut self.outbox);
    }

    /// Moves bytes both ways; returns how it ended, once it has.
    fn poll(&mut self, env: &mut Env, cx: &mut Context<'_>) -> Option<(Progress, Option<&'static str>)> {
        if self.out.poll_gone(cx) {
            return Some((Progress::Gone, Some(ENDED_FIRST)));
        }
        self.feed(|endpoint| endpoint.woken(env));
        if env.is_draining() {
            self.feed(|endpoint| endpoint.drain(env));
        }
        for _ in 0..ROUNDS_PER_CALL {
            if self.read(env, cx).is_err() {
                return Some((Progress::Gone, Some(ENDED_FIRST)));
            }
            self.feed(|endpoint| endpoint.settle(env));
            match self.write(env, cx) {
                Err(Gone) => return Some((Progress::Gone, Some(ENDED_FIRST))),
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
                    self.feed(|endpoint| endpoint.ended(env));
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
        self.feed(|endpoint| endpoint.look_at_clock(env));
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
