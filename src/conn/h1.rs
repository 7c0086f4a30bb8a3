//! HTTP/1.1 on one connection: bytes to requests, requests to handlers, replies in order.
//!
//! ```text
//!  bytes ─► reading ─► request ─► route ─┬─ static ─────────────► outbox   (nothing ahead: at once)
//!             │                          ├─ inline, ready ──────► outbox
//!             ▼                          ├─ inline, pending ─► guest ─┐
//!  whole or streamed body                └─ async ───────────► pool ──┴► slot ─► outbox, in request order
//! ```
//!
//! A connection starts without slots: each reply goes straight to the outbox. The first reply that is not there at
//! once takes a slot, and from then on replies leave in slot order. Bytes behind a request that has to wait stay in
//! `input` and are parsed when it may start.

mod incoming;
mod reply;
mod request;
mod slots;
#[cfg(feature = "ws")]
mod upgrade;

use std::time::Instant;

use http::StatusCode;

use crate::{
    conn::{
        Env, Io, Outcome, Protocol, Timer, job,
        preamble::{self, Preamble},
    },
    net::Ending,
    proto::{
        h1::{self as proto, Reject, Search},
        h2::preface::{self, Begins},
    },
};

use incoming::Incoming;
use slots::{Slots, State};

/// What the next bytes are.
enum Reading {
    /// A PROXY preamble.
    Preamble,
    /// A request's head.
    Head,
    /// A request's body.
    Body(Box<Incoming>),
    /// The beginning of what may be the preface of HTTP/2.
    Preface,
    /// Another protocol's: they wait in `input` for it.
    HandOver(Next),
    /// Nothing any more: what comes is thrown away.
    Nothing,
}

/// The protocol that takes the connection over.
pub(super) enum Next {
    /// HTTP/2, whose preface is the first of the bytes (RFC 9113 §3.3).
    Http2,
    /// WebSocket, behind its handshake.
    #[cfg(feature = "ws")]
    Ws(Box<crate::conn::ws::Switch>),
}

/// The protocol's state.
pub(super) struct H1 {
    reading: Reading,
    search: Search,
    /// Bytes not parsed yet: a partial head, or what stands behind a request that has to wait.
    input: Vec<u8>,
    slots: Slots,
    /// No request was read yet.
    is_fresh: bool,
    /// The next request's head is complete and waits for earlier ones.
    held: bool,
    /// The last request offered another protocol: what follows may be that one's, so it waits for the answer.
    switching: bool,
    /// An async route was met.
    promoted: bool,
    /// The peer sent FIN.
    ended: bool,
    /// The last request's reply ends the connection: no further head is read.
    closing: bool,
    /// The peer said that the last request read is its last, and nothing of it is to come.
    last: bool,
    /// Bytes thrown away since nothing more is wanted.
    discarded: usize,
    /// When bytes or replies last moved.
    touched: Instant,
}

impl Protocol for H1 {
    fn received(&mut self, env: &mut Env, io: &mut Io, bytes: &[u8]) {
        self.touched = env.now;
        if self.input.is_empty() {
            let used = self.consume(env, io, bytes);
            self.input.extend_from_slice(&bytes[used..]);
        } else {
            self.input.extend_from_slice(bytes);
            self.consume_input(env, io);
        }
    }

    fn ended(&mut self, env: &mut Env, io: &mut Io) {
        self.ended = true;
        self.pump(env, io);
    }

    fn replied(&mut self, env: &mut Env, io: &mut Io, seq: u32, outcome: Outcome) {
        self.touched = env.now;
        if self.slots.fill(seq, outcome) {
            self.pump(env, io);
        }
    }

    fn pump(&mut self, env: &mut Env, io: &mut Io) {
        self.flush(env, io);
        self.consume_input(env, io);
    }

    fn sent(&mut self, env: &mut Env, io: &mut Io) {
        self.touched = env.now;
        self.pump(env, io);
    }

    fn rests(&mut self, env: &Env, io: &mut Io) -> bool {
        let rests = self.input.is_empty()
            && (self.slots.is_empty() || (self.slots.awaits_body() && !env.is_draining()))
            && matches!(self.reading, Reading::Head)
            && !self.ended;
        if rests {
            self.touched = env.now;
            if self.slots.is_empty() {
                io.wants_read = true;
                io.start_idle(env, self.touched);
            } else {
                io.wants_read = self.wants_read(env, io);
            }
        }
        rests
    }

    fn expired(&mut self, env: &mut Env, io: &mut Io, timer: Timer) {
        match timer {
            Timer::Stream => self.stream_idled(env, io),
            Timer::Job => {
                self.slots.expire(env.now, job::late);
                self.pump(env, io);
            }
            Timer::Body => self.body_too_slow(env, io),
            // Nobody who speaks HTTP is there.
            _ if matches!(self.reading, Reading::Preamble) => io.end(Ending::Abort, timer.name()),
            _ => self.refuse(env, io, StatusCode::REQUEST_TIMEOUT, "the request head came too slowly"),
        }
    }

    fn settle(&mut self, env: &mut Env, io: &mut Io) {
        if io.ending == Ending::Open {
            if self.ended {
                self.end_endless(env, io);
            }
            self.settle_body(env, io);
            self.note_end(env, io);
        }
        if io.ending != Ending::Open {
            return io.timers.clear_requests();
        }
        io.wants_read = self.wants_read(env, io);
        io.timers.set_at(Timer::Job, self.slots.deadline());
        if self.is_idle() && !io.unsent && io.outbox.is_empty() {
            io.start_idle(env, self.touched);
        } else {
            io.timers.clear(Timer::Idle);
        }
        if self.waits_for_head(env, io) {
            io.timers.start(Timer::Header, env.now, env.timeouts.header);
        } else {
            io.timers.clear(Timer::Header);
        }
    }

    fn is_active(&self) -> bool {
        !self.slots.is_empty() || matches!(self.reading, Reading::Body(_))
    }

    fn doing(&self, io: &Io) -> &'static str {
        match (self.slots.front().map(|slot| &slot.state), &self.reading) {
            (Some(State::Waiting(_)), _) => "handler_running",
            (Some(State::Streaming(_)), _) => "reply_streaming",
            (_, Reading::Body(_)) => "body_incoming",
            _ if io.unsent || !io.outbox.is_empty() => "reply_unsent",
            _ if !self.input.is_empty() => "head_incoming",
            _ => "idle",
        }
    }

    fn closed(&mut self, env: &mut Env, io: &mut Io) {
        self.close_slots(env, io);
        self.drop_incoming(env, io);
        self.reading = Reading::Nothing;
    }
}

impl H1 {
    pub(super) fn new(is_proxied: bool, now: Instant) -> Self {
        Self {
            reading: if is_proxied { Reading::Preamble } else { Reading::Head },
            search: Search::default(),
            input: Vec::new(),
            slots: Slots::default(),
            is_fresh: true,
            held: false,
            switching: false,
            promoted: false,
            ended: false,
            closing: false,
            last: false,
            discarded: 0,
            touched: now,
        }
    }

    fn consume_input(&mut self, env: &mut Env, io: &mut Io) {
        if self.input.is_empty() {
            return;
        }
        let mut input = std::mem::take(&mut self.input);
        let used = self.consume(env, io, &input);
        // Consuming never adds to `input`: it has the bytes.
        if used < input.len() {
            input.drain(..used);
            self.input = input;
        }
    }

    /// Parses and serves what is there; returns how many bytes were used up.
    fn consume(&mut self, env: &mut Env, io: &mut Io, bytes: &[u8]) -> usize {
        let mut at = 0;
        while at < bytes.len() {
            let used = match self.reading {
                Reading::Preamble => self.preamble(env, io, &bytes[at..]),
                Reading::Head => self.head(env, io, &bytes[at..]),
                Reading::Body(_) => self.body(env, io, &bytes[at..]),
                Reading::Preface => self.preface(env, io, &bytes[at..]),
                Reading::HandOver(_) => 0,
                Reading::Nothing => self.discard(bytes.len() - at),
            };
            if used == 0 {
                break;
            }
            at += used;
        }
        at
    }

    fn discard(&mut self, bytes: usize) -> usize {
        self.discarded = self.discarded.saturating_add(bytes);
        bytes
    }

    fn preamble(&mut self, env: &mut Env, io: &mut Io, bytes: &[u8]) -> usize {
        match preamble::take(env, io, bytes) {
            Preamble::Partial => 0,
            Preamble::Done(used) => {
                self.reading = Reading::Head;
                used
            }
            Preamble::Refused => {
                self.reading = Reading::Nothing;
                0
            }
        }
    }

    /// Parses one head and serves its request; 0 when it is not complete or has to wait.
    fn head(&mut self, env: &mut Env, io: &mut Io, bytes: &[u8]) -> usize {
        if self.held || self.switching || !self.may_take_requests(env, io) {
            return 0;
        }
        let mut head = std::mem::take(&mut env.head);
        let used = match proto::parse(bytes, &mut self.search, &env.h1_limits, &mut head) {
            Ok(None) => 0,
            Ok(Some(_)) if self.must_wait(&head) => {
                self.held = true;
                0
            }
            Ok(Some(len)) => {
                io.timers.clear(Timer::Header);
                self.is_fresh = false;
                self.request(env, io, &head, &bytes[..len]);
                self.switching = head.upgrade() && !self.slots.is_empty();
                len
            }
            Err(_) if self.is_fresh && env.http2 && preface::begins(bytes) != Begins::No => {
                self.preface(env, io, bytes)
            }
            Err(reject) => {
                self.reject(env, io, reject);
                bytes.len()
            }
        };
        env.head = head;
        used
    }

    /// Looks how much of HTTP/2's preface is there: it is a head that HTTP/1.1 refuses, and some bytes more.
    #[cold]
    fn preface(&mut self, env: &mut Env, io: &mut Io, bytes: &[u8]) -> usize {
        self.reading = match preface::begins(bytes) {
            Begins::Partly => Reading::Preface,
            Begins::Whole => Reading::HandOver(Next::Http2),
            Begins::No => {
                self.reject(env, io, Reject::VersionUnsupported);
                return bytes.len();
            }
        };
        0
    }

    /// Returns the protocol that takes over, the bytes for it, and whether the peer has sent FIN.
    pub(super) fn take_next(&mut self) -> Option<(Next, Vec<u8>, bool)> {
        if !matches!(self.reading, Reading::HandOver(_)) {
            return None;
        }
        match std::mem::replace(&mut self.reading, Reading::Nothing) {
            Reading::HandOver(next) => Some((next, std::mem::take(&mut self.input), self.ended)),
            _ => None,
        }
    }

    /// Only safe methods may overlap (RFC 9112 §9.3.2); an interim `100` must not overtake an earlier reply.
    fn must_wait(&self, head: &proto::Head) -> bool {
        !self.slots.is_empty()
            && (head.expects_continue() || !head.method().is_safe() || self.slots.has_unsafe())
    }

    fn may_take_requests(&self, env: &Env, io: &Io) -> bool {
        self.slots.len() < env.limits.pipelined && io.queued() < env.limits.outbox_bytes
    }

    /// Answers bytes that are no request and takes nothing more.
    fn reject(&mut self, env: &mut Env, io: &mut Io, reject: Reject) {
        env.counters.protocol_errors.add(reject.label());
        if env.may_warn() {
            tracing::debug!(peer = ?io.peer, cause = reject.label(), "refused a request: {reject}");
        }
        self.refuse(env, io, reject.status(), reject.text());
    }

    /// Answers a request that came unencrypted to a port that speaks TLS.
    pub(super) fn refuse_plain(&mut self, env: &mut Env, io: &mut Io) {
        self.refuse(
            env,
            io,
            StatusCode::BAD_REQUEST,
            "This port speaks HTTPS; the request came as plain HTTP.\n",
        );
    }

    /// Lets the connection end with the reply that is last by now.
    fn close_after(&mut self) {
        self.closing = true;
        if matches!(self.reading, Reading::Head) {
            self.reading = Reading::Nothing;
        }
    }

    /// Ends the connection when nothing is left to answer and nothing more may come.
    fn note_end(&mut self, env: &Env, io: &mut Io) {
        if !self.slots.is_empty() {
            return;
        }
        if self.closing || matches!(self.reading, Reading::Nothing) {
            let over = self.last && self.discarded == 0 && self.input.is_empty();
            io.end(if over { Ending::Close } else { Ending::Finish }, "done");
        } else if self.ended && !self.held && self.may_take_requests(env, io) {
            // What is left of a request will never be complete.
            io.end(Ending::Finish, "peer");
        }
    }

    fn waits_for_head(&self, env: &Env, io: &Io) -> bool {
        match self.reading {
            Reading::Preamble => true,
            Reading::Head => {
                self.has_part_of_head() && !self.held && !self.switching && self.may_take_requests(env, io)
            }
            Reading::Preface => true,
            Reading::Body(_) | Reading::HandOver(_) | Reading::Nothing => false,
        }
    }

    fn wants_read(&self, env: &Env, io: &Io) -> bool {
        if self.ended {
            return false;
        }
        let has_room = self.input.len() < env.limits.head_bytes;
        match &self.reading {
            Reading::Preamble | Reading::Preface | Reading::HandOver(_) => true,
            Reading::Nothing => self.discarded < env.limits.discard_bytes,
            Reading::Head => {
                let waits = self.held || self.switching;
                has_room && (self.input.is_empty() || !waits) && self.may_take_requests(env, io)
            }
            Reading::Body(incoming) => has_room && !incoming.is_paused(),
        }
    }

    /// Says whether the connection has no request in progress and no part of one.
    fn is_idle(&self) -> bool {
        self.slots.is_empty()
            && !self.has_part_of_head()
            && matches!(self.reading, Reading::Head | Reading::Preamble)
    }

    /// Says whether bytes wait that begin a request; the empty lines that may stand before one do not.
    fn has_part_of_head(&self) -> bool {
        !self.input.is_empty() && (self.held || self.search.has_begun())
    }

    /// Says whether no request has come whose reply is not written.
    pub(super) fn owes_nothing(&self) -> bool {
        self.slots.is_empty() && self.input.is_empty()
    }
}
