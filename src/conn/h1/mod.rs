//! HTTP/1.1 on one connection: parses requests, starts their handlers, sends the replies in order.
//!
//! ```text
//!  bytes ─► reading ─► request ─► route ─┬─ static ─────────────► outbox   (if no reply is owed)
//!             │                          ├─ inline, ready ──────► outbox   (if no reply is owed)
//!             ▼                          ├─ inline, pending ─► task ──┐
//!  body, collected or streamed           └─ async ───────────► pool ──┴► replies ─► outbox, in request order
//! ```
//!
//! [`state`] has all states and transitions. The files around it do the work: [`parse`], [`request`] and
//! [`body`] on the reading side, [`reply`] on the writing side. Bytes after a request that has to wait stay
//! in `input` and are parsed when it may start. HTTP/1.1 must not know the other protocols; it only hands the
//! connection over to them.

mod body;
mod context;
mod h2c;
mod incoming;
mod parse;
mod reply;
mod request;
mod state;
mod streaming;
#[cfg(feature = "ws")]
mod upgrade;

use std::time::Instant;

use http::StatusCode;

use super::{env::Env, exchange::answers, io::Io, message::Outcome, protocol::Protocol, timers::Timer};
use crate::{net::Ending, proto::h1::Search};

pub(super) use state::NextProtocol;
use state::{Reading, Replies};

/// HTTP/1.1 state of one connection.
pub(super) struct H1 {
    reading: Reading,
    replies: Replies,
    input: Input,
    /// Position in `input` up to which the end of the next head was searched for.
    search: Search,
    promotion: Promotion,
    /// Time at which bytes were last received or sent, or a reply was last ready. Line ends before a request
    /// do not count.
    last_activity: Instant,
}

/// Bytes that were received and not parsed yet, and the FIN that may follow them.
#[derive(Default)]
pub(super) struct Input {
    pub(super) bytes: Vec<u8>,
    /// The peer's FIN follows `bytes`. It is acted on when they are parsed.
    pub(super) has_fin: bool,
    /// Number of received bytes behind the part that is being parsed. While it is parsed they are not in
    /// `bytes`.
    unparsed: usize,
}

/// Progress of a connection's promotion, which is counted once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Promotion {
    /// All requests so far were for static and inline routes.
    Inline,
    /// A request was for an async route.
    Promoted,
}

impl Protocol for H1 {
    fn received(&mut self, env: &mut Env, io: &mut Io, bytes: &[u8]) {
        let idle_since = self.is_idle().then_some(self.last_activity);
        let queued = io.outbox.len();
        self.last_activity = env.now;
        if self.input.bytes.is_empty() {
            let used = self.parse(env, io, bytes);
            self.input.bytes.extend_from_slice(&bytes[used..]);
        } else {
            self.input.bytes.extend_from_slice(bytes);
            self.parse_input(env, io);
        }
        if let Some(since) = idle_since
            && self.is_idle()
            && io.outbox.len() == queued
        {
            // Only line ends, which may come before a request.
            self.last_activity = since;
        }
    }

    fn fin_received(&mut self, env: &mut Env, io: &mut Io) {
        self.input.has_fin = true;
        self.advance(env, io);
    }

    fn reply_ready(&mut self, env: &mut Env, io: &mut Io, seq: u32, outcome: Outcome) {
        self.last_activity = env.now;
        if self.replies.ready(seq, outcome) {
            self.advance(env, io);
        }
    }

    fn advance(&mut self, env: &mut Env, io: &mut Io) {
        self.flush(env, io);
        self.parse_input(env, io);
    }

    fn sent(&mut self, env: &mut Env, io: &mut Io) {
        self.last_activity = env.now;
        self.advance(env, io);
    }

    fn rests(&mut self, env: &Env, io: &mut Io) -> bool {
        let is_idle = self.replies.is_empty();
        let awaits_body = || self.replies.streaming().is_some_and(|streaming| streaming.awaits_body());
        let rests = self.input.bytes.is_empty()
            && !self.input.has_fin
            && matches!(self.reading, Reading::Head | Reading::FirstHead | Reading::UpgradeOffered)
            && (is_idle || (awaits_body() && !env.is_draining()));
        if rests {
            self.last_activity = env.now;
            if is_idle {
                io.wants_read = true;
                io.start_idle(env, self.last_activity);
            } else {
                io.wants_read = self.wants_read(env, io);
            }
        }
        rests
    }

    fn deliver(&mut self, env: &mut Env, io: &mut Io) -> bool {
        if let Some(streaming) = self.replies.streaming_mut() {
            streaming.deliver(env, io);
        }
        true
    }

    fn timer_expired(&mut self, env: &mut Env, io: &mut Io, timer: Timer) {
        match timer {
            Timer::Stream => self.stream_timed_out(env, io),
            Timer::Job => {
                self.replies.expire(env.now);
                self.advance(env, io);
            }
            Timer::Body => self.body_too_slow(env, io),
            // There is no HTTP yet to answer in.
            _ if matches!(self.reading, Reading::Preamble) => io.end(Ending::Abort, timer.name()),
            _ => {
                let (status, text) = (StatusCode::REQUEST_TIMEOUT, "the request head arrived too slowly");
                let received = self.input.bytes.clone();
                self.refuse(env, io, &received, text, answers::invalid(status, text));
            }
        }
    }

    fn after_event(&mut self, env: &mut Env, io: &mut Io) {
        if io.ending == Ending::Open {
            self.check_body_window(env, io);
            if self.input.has_fin {
                self.handle_fin(env, io);
            }
            if let Some((ending, cause)) = state::ending(&self.reading, &self.replies) {
                io.end(ending, cause);
            }
        }
        if io.ending != Ending::Open {
            return io.timers.clear_requests();
        }
        io.wants_read = self.wants_read(env, io);
        io.timers.set_at(Timer::Job, self.replies.deadline());
        io.timers.set_at(Timer::Body, self.body_deadline(env));
        if self.is_idle() && !io.unsent && io.outbox.is_empty() {
            io.start_idle(env, self.last_activity);
        } else {
            io.timers.clear(Timer::Idle);
        }
        if self.awaits_head(env, io) {
            io.timers.start(Timer::Header, env.now, env.timeouts.header);
        } else {
            io.timers.clear(Timer::Header);
        }
    }

    fn is_active(&self) -> bool {
        !self.replies.is_empty() || matches!(self.reading, Reading::Body(..))
    }

    fn activity(&self, io: &Io) -> &'static str {
        match self.reading {
            _ if self.replies.awaits_handler() => "handler_running",
            _ if self.replies.streaming().is_some() => "reply_streaming",
            Reading::Body(..) => "body_incoming",
            _ if io.unsent || !io.outbox.is_empty() => "reply_unsent",
            _ if !self.input.bytes.is_empty() => "head_incoming",
            _ => "idle",
        }
    }

    fn closed(&mut self, env: &mut Env, io: &mut Io) {
        self.cancel_replies(env, io);
        self.drop_body(env, io);
        self.reading.stop();
    }
}

impl H1 {
    pub(super) fn new(is_proxied: bool, now: Instant) -> Self {
        Self {
            reading: Reading::new(is_proxied),
            replies: Replies::default(),
            input: Input::default(),
            search: Search::default(),
            promotion: Promotion::Inline,
            last_activity: now,
        }
    }

    /// Removes and returns the protocol that takes over, with the input that is for it; `None` if none does.
    pub(super) fn take_switch(&mut self) -> Option<(NextProtocol, Input)> {
        let next = self.reading.take_switch()?;
        Some((next, std::mem::take(&mut self.input)))
    }

    /// Answers an unencrypted request on a port that expects TLS.
    pub(super) fn refuse_plain(&mut self, env: &mut Env, io: &mut Io, bytes: &[u8]) {
        let text = "This port expects HTTPS, but the request was sent as plain HTTP.\n";
        self.refuse(env, io, bytes, text.trim_end(), answers::invalid(StatusCode::BAD_REQUEST, text));
    }

    /// Counts the connection as promoted when it has its first async request. Has no effect after that.
    fn promote(&mut self, env: &Env) {
        if self.promotion == Promotion::Inline {
            self.promotion = Promotion::Promoted;
            env.counters.promoted.add(1);
        }
    }

    /// Returns `true` if the header timer must run: a PROXY preamble, the preface of HTTP/2 or the rest of a
    /// head is to come, and the peer is the one to wait for.
    fn awaits_head(&self, env: &Env, io: &Io) -> bool {
        match self.reading {
            Reading::Preamble | Reading::Preface => true,
            Reading::FirstHead | Reading::Head => self.has_partial_head() && self.may_start_request(env, io),
            Reading::HeldHead
            | Reading::UpgradeOffered
            | Reading::Body(..)
            | Reading::Switched(_)
            | Reading::LastRequest
            | Reading::Discard(_)
            | Reading::Ended => false,
        }
    }

    fn wants_read(&self, env: &Env, io: &Io) -> bool {
        if self.input.has_fin {
            return false;
        }
        let has_room = self.input.bytes.len() < env.limits.head_bytes;
        match &self.reading {
            Reading::Preamble | Reading::Preface | Reading::Switched(_) => true,
            Reading::FirstHead | Reading::Head => has_room && self.may_start_request(env, io),
            Reading::HeldHead => false,
            Reading::UpgradeOffered => self.input.bytes.is_empty() && self.may_start_request(env, io),
            Reading::Body(incoming, _) => has_room && !incoming.is_paused(),
            Reading::LastRequest => env.limits.discard_bytes > 0,
            Reading::Discard(bytes) => *bytes < env.limits.discard_bytes,
            Reading::Ended => false,
        }
    }

    /// Returns `true` if no request is in progress and no part of one has come. Part of a PROXY preamble does
    /// not count.
    fn is_idle(&self) -> bool {
        let is_between_requests = match self.reading {
            Reading::Preamble => true,
            Reading::FirstHead | Reading::Head => !self.has_partial_head(),
            _ => false,
        };
        is_between_requests && self.replies.is_empty()
    }

    /// Returns `true` if the input holds the start of a request. Empty lines, which may come before one, do
    /// not count.
    fn has_partial_head(&self) -> bool {
        !self.input.bytes.is_empty() && self.search.has_begun()
    }

    /// Returns `true` if no reply is owed and no received byte is left to parse.
    fn owes_nothing(&self) -> bool {
        self.replies.is_empty() && self.input.bytes.is_empty()
    }
}
