//! TLS on a connection: between the engine's bytes and the protocol's.
//!
//! ```text
//!  engine ─ ciphertext ─► Secure ─ plaintext ─► protocol ─► outbox ─► sealed ─► wire ─► engine
//! ```
//!
//! A handshake costs a shard a thousand times what a request does. So they are bounded in number, and what they may
//! take of a turn is bounded in time: a hello that comes beyond it waits for its turn.

use std::{collections::VecDeque, time::Duration};

use super::{
    Env, Io, Timer,
    preamble::{self, Preamble},
    protocol::{Protocol, Spoken},
    run::clock,
};
use crate::{
    net::{ConnId, Ending, Outbox},
    tls::{Acceptor, Negotiated, Session, SessionError, SessionEvent},
};

/// Time that handshakes may take of one turn, one hello always being served.
const TURN_BUDGET: Duration = Duration::from_millis(2);

/// Bytes of a hello that waits for its turn at most: more than one that is meant has.
const HELLO_BYTES: usize = 64 * 1024;

/// How a handshake is called in the drain's report and as a cause of ends.
const HANDSHAKE: &str = "tls_handshake";

/// What handshakes of one shard share.
#[derive(Default)]
pub(super) struct Handshakes {
    /// Connections whose hello waits for its turn, oldest first.
    waiting: VecDeque<ConnId>,
    /// Time they took of this turn.
    spent: Duration,
    /// Handshakes that have begun and not ended.
    running: usize,
    /// Memory to work in.
    spare: Vec<u8>,
    /// A buffer for the next protocol that writes.
    plain: Vec<u8>,
}

impl Handshakes {
    /// Begins a turn.
    pub(super) fn begin_turn(&mut self) {
        self.spent = Duration::ZERO;
    }

    /// Says whether a hello waits for its turn.
    pub(super) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Takes the connection whose turn it is, if there is time for it.
    pub(super) fn next(&mut self) -> Option<ConnId> {
        if self.spent < TURN_BUDGET { self.waiting.pop_front() } else { None }
    }

    fn has_time(&self) -> bool {
        self.waiting.is_empty() && self.spent < TURN_BUDGET
    }
}

/// How far a connection is.
#[allow(clippy::large_enum_variant, reason = "what it is a part of is boxed")]
enum Stage {
    /// A PROXY preamble comes first.
    Preamble,
    /// No byte of a handshake has come.
    Silent,
    /// The hello waits for its turn.
    Waiting,
    Handshake(Session),
    Open(Session),
    /// Nothing comes of it any more.
    Broken,
}

/// The TLS side of a connection.
pub(super) struct Secure {
    stage: Stage,
    /// What the engine sends.
    wire: Outbox,
    /// Bytes in front of the session: part of a preamble, or a hello that waits.
    kept: Vec<u8>,
    acceptor: Acceptor,
    /// `close_notify` is written.
    closed: bool,
}

impl Secure {
    pub(super) fn new(acceptor: Acceptor, is_proxied: bool) -> Box<Self> {
        let stage = if is_proxied { Stage::Preamble } else { Stage::Silent };
        Box::new(Self { stage, wire: Outbox::default(), kept: Vec::new(), acceptor, closed: false })
    }

    /// Returns what the engine sends.
    pub(super) fn wire(&mut self) -> &mut Outbox {
        &mut self.wire
    }

    /// Says whether the protocol above is there.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.stage, Stage::Open(_))
    }

    /// Says whether plaintext waits to be sealed.
    pub(super) fn owes(&self, io: &Io) -> bool {
        matches!(&self.stage, Stage::Open(session) if !io.outbox.is_empty() || session.unsealed() > 0)
    }

    /// Says what the connection was doing, while that is a handshake.
    pub(super) fn doing(&self) -> Option<&'static str> {
        matches!(self.stage, Stage::Waiting | Stage::Handshake(_)).then_some(HANDSHAKE)
    }

    /// Prepares for a call of the protocol: a buffer to write to, and what waits on the wire.
    pub(super) fn begin(&mut self, env: &mut Env, io: &mut Io) {
        let unsealed = if let Stage::Open(session) = &self.stage { session.unsealed() } else { 0 };
        io.sealed_bytes = self.wire.len() + unsealed;
        if io.outbox.lacks_buffer() {
            io.outbox.refill(std::mem::take(&mut env.handshakes.plain));
        }
    }

    /// Takes bytes of the engine.
    pub(super) fn received(&mut self, env: &mut Env, io: &mut Io, spoken: &mut Spoken, bytes: &[u8]) {
        match &mut self.stage {
            Stage::Open(session) => {
                let done = receive(env, &mut self.wire, session, bytes, |env, event| match event {
                    SessionEvent::Data(data) => spoken.received(env, io, data),
                    SessionEvent::CloseNotify => spoken.ended(env, io),
                    SessionEvent::Negotiated(_) => {}
                });
                if let Err(failure) = done {
                    env.counters.protocol_errors.add("tls_record");
                    self.break_off(env, io, &failure, "protocol_error");
                }
            }
            Stage::Handshake(_) => self.shake(env, io, spoken, bytes),
            Stage::Waiting => self.keep(env, io, bytes),
            Stage::Silent => self.start(env, io, spoken, bytes),
            Stage::Preamble => self.preamble(env, io, spoken, bytes),
            Stage::Broken => {}
        }
    }

    fn preamble(&mut self, env: &mut Env, io: &mut Io, spoken: &mut Spoken, bytes: &[u8]) {
        self.kept.extend_from_slice(bytes);
        match preamble::take(env, io, &self.kept) {
            Preamble::Partial => {}
            Preamble::Refused => self.stage = Stage::Broken,
            Preamble::Done(used) => {
                self.stage = Stage::Silent;
                let mut hello = std::mem::take(&mut self.kept);
                hello.drain(..used);
                self.start(env, io, spoken, &hello);
            }
        }
    }

    /// Takes the first bytes of a handshake.
    fn start(&mut self, env: &mut Env, io: &mut Io, spoken: &mut Spoken, bytes: &[u8]) {
        let Some(first) = bytes.first() else { return };
        if first.is_ascii_uppercase() {
            return self.refuse_plain(env, io, spoken);
        }
        if env.handshakes.running >= env.limits.tls_handshakes {
            env.counters.handshakes.add("busy");
            self.stage = Stage::Broken;
            return io.end(Ending::Abort, HANDSHAKE);
        }
        env.handshakes.running += 1;
        env.counters.handshaking.add(1);
        self.stage = Stage::Waiting;
        self.keep(env, io, bytes);
        if env.handshakes.has_time() {
            self.go_on(env, io, spoken);
        } else if matches!(self.stage, Stage::Waiting) {
            env.handshakes.waiting.push_back(io.id);
        }
    }

    /// Answers a request that is not encrypted so that its sender understands it (a record begins with 20 to 23).
    fn refuse_plain(&mut self, env: &mut Env, io: &mut Io, spoken: &mut Spoken) {
        env.counters.handshakes.add("plain_http");
        self.stage = Stage::Broken;
        spoken.refuse_plain(env, io);
        std::mem::swap(&mut io.outbox, &mut self.wire);
        io.end(Ending::Finish, HANDSHAKE);
    }

    /// Keeps bytes of a hello that waits for its turn.
    fn keep(&mut self, env: &mut Env, io: &mut Io, bytes: &[u8]) {
        self.kept.extend_from_slice(bytes);
        if self.kept.len() > HELLO_BYTES {
            let failure = SessionError { label: "oversized_record", text: "the hello never ends".to_owned() };
            self.fail(env, io, &failure);
        }
    }

    /// Goes on with a hello whose turn it is.
    pub(super) fn go_on(&mut self, env: &mut Env, io: &mut Io, spoken: &mut Spoken) {
        if !matches!(self.stage, Stage::Waiting) || io.ending != Ending::Open {
            return;
        }
        let hello = std::mem::take(&mut self.kept);
        match self.acceptor.begin() {
            Ok(session) => {
                self.stage = Stage::Handshake(session);
                self.shake(env, io, spoken, &hello);
            }
            Err(failure) => self.fail(env, io, &failure),
        }
    }

    /// Takes bytes of a handshake, and what the peer sent right behind it.
    fn shake(&mut self, env: &mut Env, io: &mut Io, spoken: &mut Spoken, bytes: &[u8]) {
        let Stage::Handshake(session) = &mut self.stage else { return };
        let began = clock();
        let mut agreed = None;
        let done = receive(env, &mut self.wire, session, bytes, |env, event| match event {
            SessionEvent::Negotiated(what) => {
                agreed = Some(what);
                env.handshakes.spent += began.elapsed();
                *spoken = Spoken::agreed(what.protocol, env, io);
                io.timers.clear(Timer::Handshake);
            }
            SessionEvent::Data(data) => spoken.received(env, io, data),
            SessionEvent::CloseNotify => spoken.ended(env, io),
        });
        match agreed {
            Some(agreed) => self.open(env, agreed),
            None => env.handshakes.spent += began.elapsed(),
        }
        match done {
            Err(failure) if agreed.is_none() => self.fail(env, io, &failure),
            Err(failure) => {
                env.counters.protocol_errors.add("tls_record");
                self.break_off(env, io, &failure, "protocol_error");
            }
            Ok(()) => {}
        }
    }

    fn open(&mut self, env: &mut Env, agreed: Negotiated) {
        self.count_end(env, "ok");
        env.counters.tls_sessions.of(agreed.version, agreed.protocol, agreed.resumed).add(1);
        self.stage = match std::mem::replace(&mut self.stage, Stage::Broken) {
            Stage::Handshake(session) => Stage::Open(session),
            other => other,
        };
    }

    /// Ends a handshake that failed; the peer is told by an alert.
    fn fail(&mut self, env: &mut Env, io: &mut Io, failure: &SessionError) {
        self.count_end(env, failure.label);
        self.break_off(env, io, failure, HANDSHAKE);
    }

    /// Ends a session that broke: nothing behind its alert is sent, so that no reply looks whole that is not.
    fn break_off(&mut self, env: &mut Env, io: &mut Io, failure: &SessionError, cause: &'static str) {
        if env.may_warn() {
            let SessionError { label, text } = failure;
            tracing::debug!(peer = ?io.peer, cause = label, "a TLS connection failed: {text}");
        }
        self.stage = Stage::Broken;
        io.outbox.clear();
        io.end(Ending::Finish, cause);
    }

    /// Counts the end of a handshake that has begun.
    fn count_end(&self, env: &mut Env, result: &'static str) {
        if matches!(self.stage, Stage::Waiting | Stage::Handshake(_)) {
            env.handshakes.running -= 1;
            env.counters.handshaking.sub(1);
            env.counters.handshakes.add(result);
        }
    }

    /// Takes the peer's FIN. Without a `close_notify` before it something may be missing; what is cut off shows by
    /// the framing of requests.
    pub(super) fn ended(&mut self, env: &mut Env, io: &mut Io, spoken: &mut Spoken) {
        match &self.stage {
            Stage::Open(_) => spoken.ended(env, io),
            Stage::Broken => {}
            Stage::Preamble | Stage::Silent | Stage::Waiting | Stage::Handshake(_) => {
                self.count_end(env, "closed");
                self.stage = Stage::Broken;
                io.end(Ending::Finish, "peer");
            }
        }
    }

    /// Takes the handshake's timer.
    pub(super) fn timed_out(&mut self, env: &mut Env, io: &mut Io, _: &mut Spoken) {
        env.counters.timeouts.add(Timer::Handshake.name());
        self.count_end(env, "timeout");
        self.stage = Stage::Broken;
        io.end(Ending::Abort, Timer::Handshake.name());
    }

    /// Seals what the protocol wrote, and brings the connection's wishes in line. `blocked`: the protocol has more to
    /// write, which must not stand behind the `close_notify`.
    pub(super) fn settle(&mut self, env: &mut Env, io: &mut Io, blocked: bool) {
        if io.ending == Ending::Close {
            // The peer's close_notify is still to come; it must not meet a closed socket, whose reset could overtake
            // the last bytes.
            io.ending = Ending::Finish;
        }
        match &mut self.stage {
            Stage::Open(_) => self.seal(env, io, blocked),
            _ if io.ending != Ending::Open => {
                // What the protocol still writes behind a session that broke, nothing seals.
                io.outbox.clear();
                io.timers.clear_requests();
            }
            stage => {
                io.wants_read = !matches!(stage, Stage::Waiting);
                // Who has not begun has no business with a server that drains.
                if env.is_draining() && matches!(stage, Stage::Silent | Stage::Preamble) {
                    io.timers.start(Timer::Idle, env.now, Some(env.timeouts.drain_idle));
                } else {
                    io.timers.clear(Timer::Idle);
                }
            }
        }
        if io.outbox.is_empty()
            && let Some(buffer) = io.outbox.release()
        {
            env.handshakes.plain = buffer;
        }
    }

    fn seal(&mut self, env: &mut Env, io: &mut Io, blocked: bool) {
        let Stage::Open(session) = &mut self.stage else { return };
        let sealed = session.seal(&mut io.outbox, &mut self.wire, &mut env.handshakes.spare);
        env.handshakes.spare.clear();
        if let Err(failure) = sealed {
            self.break_off(env, io, &failure, "protocol_error");
            io.ending = Ending::Abort;
        } else if io.ending == Ending::Finish && !blocked && !self.owes(io) {
            self.close();
        }
    }

    /// Writes `close_notify`, once.
    fn close(&mut self) {
        if let Stage::Open(session) = &mut self.stage
            && !std::mem::replace(&mut self.closed, true)
        {
            session.close(&mut self.wire);
        }
    }

    /// Takes the end of the connection.
    pub(super) fn closed(&mut self, env: &mut Env) {
        self.count_end(env, "closed");
        self.stage = Stage::Broken;
    }
}

/// Lets a session take bytes, with the shard's memory to work in.
fn receive(
    env: &mut Env,
    wire: &mut Outbox,
    session: &mut Session,
    bytes: &[u8],
    mut tell: impl FnMut(&mut Env, SessionEvent<'_>),
) -> Result<(), SessionError> {
    let mut spare = std::mem::take(&mut env.handshakes.spare);
    let done = session.receive(bytes, wire, &mut spare, |event| tell(env, event));
    env.handshakes.spare = spare;
    done
}
