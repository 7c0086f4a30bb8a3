//! TLS on a connection, between the engine's bytes and the protocol's.
//!
//! ```text
//!  engine ─ ciphertext ─► TlsLayer ─ plaintext ─► protocol ─► outbox ─► encrypted ─► wire ─► engine
//! ```

use std::time::Instant;

use super::{
    current::CurrentProtocol,
    env::{Env, HandshakeLimits, Network},
    io::{Io, SOFT_LIMIT},
    preamble::{self, Preamble},
    protocol::Protocol,
    timers::Timer,
};
use crate::{
    net::{Ending, Outbox},
    tls::{Acceptor, Negotiated, Session, SessionError, SessionEvent},
};

/// Maximum size of a ClientHello, in bytes, while it waits until a turn of the event loop has time for its
/// handshake. A valid one is smaller.
const HELLO_BYTES: usize = 64 * 1024;

/// Label of a handshake in the report of a drain and as the cause of an end.
const HANDSHAKE: &str = "tls_handshake";

/// Stages of a TLS connection.
///
/// ```text
///  Preamble ─► Silent ─► Waiting ─► Handshake ─► Open
///      └──────────┴──────────┴──────────┴─────────┴──► Broken
/// ```
#[allow(clippy::large_enum_variant, reason = "the layer that holds it is boxed")]
enum Stage {
    /// Waits for the PROXY preamble, which comes before the handshake.
    Preamble,
    /// No byte of the handshake has come.
    Silent,
    /// The ClientHello waits until a turn of the event loop has time for its handshake.
    Waiting,
    Handshake(Session),
    Open(Session),
    /// Received bytes are ignored: the handshake or the session has failed, or the server or the peer has
    /// ended the connection before there was a session.
    Broken,
}

/// TLS side of a connection.
pub(super) struct TlsLayer {
    stage: Stage,
    /// Encrypted bytes for the engine to send.
    wire: Outbox,
    /// Bytes received before there is a session: part of a PROXY preamble, or a ClientHello that waits.
    unread: Vec<u8>,
    acceptor: Acceptor,
    close_notify_sent: bool,
    /// Network of the peer, for which a handshake is counted; `None` before it begins, or for a peer without
    /// an IP address.
    network: Option<Network>,
    /// Place in the order of silent clients, while the handshake waits for its client.
    place: Option<u64>,
}

impl TlsLayer {
    pub(super) fn new(acceptor: Acceptor, is_proxied: bool) -> Box<Self> {
        let stage = if is_proxied { Stage::Preamble } else { Stage::Silent };
        let wire = Outbox::default();
        let unread = Vec::new();
        Box::new(Self { stage, wire, unread, acceptor, close_notify_sent: false, network: None, place: None })
    }

    /// Returns the encrypted bytes for the engine to send.
    pub(super) fn wire(&mut self) -> &mut Outbox {
        &mut self.wire
    }

    /// Returns `true` from the end of the handshake until the session fails.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.stage, Stage::Open(_))
    }

    /// Returns `true` if plaintext waits to be encrypted.
    pub(super) fn has_unsealed(&self, io: &Io) -> bool {
        matches!(&self.stage, Stage::Open(session) if !io.outbox.is_empty() || session.unsealed() > 0)
    }

    /// Returns the label of a handshake that has begun and not ended; `None` otherwise.
    pub(super) fn activity(&self) -> Option<&'static str> {
        matches!(self.stage, Stage::Waiting | Stage::Handshake(_)).then_some(HANDSHAKE)
    }

    /// Prepares a call of the protocol: tells it how many bytes wait behind the outbox, and gives the outbox
    /// a buffer.
    pub(super) fn begin(&mut self, env: &mut Env, io: &mut Io) {
        let unsealed = if let Stage::Open(session) = &self.stage { session.unsealed() } else { 0 };
        io.sealed_bytes = self.wire.len() + unsealed;
        if io.outbox.lacks_buffer() {
            io.outbox.refill(std::mem::take(&mut env.tls_plaintext));
        }
    }

    /// Handles bytes from the engine.
    pub(super) fn received(
        &mut self,
        env: &mut Env,
        io: &mut Io,
        protocol: &mut CurrentProtocol,
        bytes: &[u8],
    ) {
        match &mut self.stage {
            Stage::Open(session) => {
                let done = decrypt(env, &mut self.wire, session, bytes, |env, event| match event {
                    SessionEvent::Data(data) => protocol.received(env, io, data),
                    SessionEvent::CloseNotify => protocol.fin_received(env, io),
                    SessionEvent::Negotiated(_) => {}
                });
                if let Err(failure) = done {
                    env.counters.protocol_errors.add("tls_record");
                    self.break_off(env, io, &failure, "protocol_error");
                }
            }
            Stage::Handshake(_) => {
                self.place.take().into_iter().for_each(|place| env.handshakes.client_sent(place));
                self.continue_handshake(env, io, protocol, bytes);
            }
            Stage::Waiting => self.keep(env, io, bytes),
            Stage::Silent => self.first_bytes(env, io, protocol, bytes),
            Stage::Preamble => self.preamble(env, io, protocol, bytes),
            Stage::Broken => {}
        }
    }

    fn preamble(&mut self, env: &mut Env, io: &mut Io, protocol: &mut CurrentProtocol, bytes: &[u8]) {
        self.unread.extend_from_slice(bytes);
        match preamble::parse(env, io, &self.unread) {
            Preamble::Partial => {}
            Preamble::Refused => self.stage = Stage::Broken,
            Preamble::Done(used) => {
                self.stage = Stage::Silent;
                let mut hello = std::mem::take(&mut self.unread);
                hello.drain(..used);
                self.first_bytes(env, io, protocol, &hello);
            }
        }
    }

    /// Handles the first bytes of a TLS connection: starts or queues the handshake, refuses plain HTTP, or
    /// resets the connection if there are too many handshakes.
    fn first_bytes(&mut self, env: &mut Env, io: &mut Io, protocol: &mut CurrentProtocol, bytes: &[u8]) {
        let Some(first) = bytes.first() else { return };
        if first.is_ascii_uppercase() {
            return self.refuse_plain(env, io, protocol, bytes);
        }
        let limits = HandshakeLimits {
            all: env.limits.tls_handshakes,
            per_address: env.limits.tls_handshakes_per_address,
        };
        self.network = Network::of(io.peer);
        if !env.handshakes.begin(self.network, limits) {
            env.counters.handshakes.add("busy");
            self.stage = Stage::Broken;
            return io.end(Ending::Abort, HANDSHAKE);
        }
        env.counters.handshaking.add(1);
        self.stage = Stage::Waiting;
        self.keep(env, io, bytes);
        if env.handshakes.has_time() {
            self.start_handshake(env, io, protocol);
        } else if matches!(self.stage, Stage::Waiting) {
            env.handshakes.wait(io.id);
            // The server is the one to wait for.
            io.timers.clear(Timer::Handshake);
        }
    }

    /// Answers an unencrypted request in plain HTTP, so that its sender understands the mistake. A method
    /// starts with an upper-case letter, a TLS record with a byte from 20 to 23.
    fn refuse_plain(&mut self, env: &mut Env, io: &mut Io, protocol: &mut CurrentProtocol, bytes: &[u8]) {
        env.counters.handshakes.add("plain_http");
        self.stage = Stage::Broken;
        protocol.refuse_plain(env, io, bytes);
        std::mem::swap(&mut io.outbox, &mut self.wire);
        io.end(Ending::Finish, HANDSHAKE);
    }

    /// Keeps bytes of a ClientHello that waits until a turn of the event loop has time for its handshake.
    /// Fails the handshake if they exceed [`HELLO_BYTES`].
    fn keep(&mut self, env: &mut Env, io: &mut Io, bytes: &[u8]) {
        self.unread.extend_from_slice(bytes);
        if self.unread.len() > HELLO_BYTES {
            let failure = SessionError {
                label: "oversized_record",
                text: format!("ClientHello exceeds {HELLO_BYTES} bytes"),
            };
            self.handshake_failed(env, io, &failure);
        }
    }

    /// Starts the handshake of a ClientHello that has waited for a turn of the event loop with time for it.
    /// Has no effect in any other stage.
    pub(super) fn start_handshake(&mut self, env: &mut Env, io: &mut Io, protocol: &mut CurrentProtocol) {
        if !matches!(self.stage, Stage::Waiting) || io.ending != Ending::Open {
            return;
        }
        io.timers.start(Timer::Handshake, env.now, env.timeouts.tls_handshake);
        let hello = std::mem::take(&mut self.unread);
        match self.acceptor.begin() {
            Ok(session) => {
                self.stage = Stage::Handshake(session);
                self.continue_handshake(env, io, protocol, &hello);
            }
            Err(failure) => self.handshake_failed(env, io, &failure),
        }
    }

    /// Handles bytes of a handshake, and application data that directly follows them.
    fn continue_handshake(
        &mut self,
        env: &mut Env,
        io: &mut Io,
        protocol: &mut CurrentProtocol,
        bytes: &[u8],
    ) {
        let Stage::Handshake(session) = &mut self.stage else { return };
        let began = Instant::now();
        let mut negotiated = None;
        let done = decrypt(env, &mut self.wire, session, bytes, |env, event| match event {
            SessionEvent::Negotiated(agreed) => {
                negotiated = Some(agreed);
                env.handshakes.spend(began.elapsed());
                *protocol = CurrentProtocol::negotiated(agreed.protocol, env, io);
                io.timers.clear(Timer::Handshake);
            }
            SessionEvent::Data(data) => protocol.received(env, io, data),
            SessionEvent::CloseNotify => protocol.fin_received(env, io),
        });
        match negotiated {
            Some(agreed) => self.open(env, agreed),
            None => env.handshakes.spend(began.elapsed()),
        }
        match done {
            Err(failure) if negotiated.is_none() => self.handshake_failed(env, io, &failure),
            Err(failure) => {
                env.counters.protocol_errors.add("tls_record");
                self.break_off(env, io, &failure, "protocol_error");
            }
            Ok(()) if matches!(self.stage, Stage::Handshake(_)) => {
                self.place = Some(env.handshakes.await_client(io.id, self.network));
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

    /// Ends a failed handshake. If a session was made, it has already written the alert.
    fn handshake_failed(&mut self, env: &mut Env, io: &mut Io, failure: &SessionError) {
        self.count_end(env, failure.label);
        self.break_off(env, io, failure, HANDSHAKE);
    }

    /// Ends a failed session. Nothing is sent after its alert: a truncated reply must not look complete.
    fn break_off(&mut self, env: &mut Env, io: &mut Io, failure: &SessionError, cause: &'static str) {
        if env.may_warn() {
            let SessionError { label, text } = failure;
            tracing::debug!(peer = ?io.peer, cause = label, error = text, "TLS session failed, closing");
        }
        self.stage = Stage::Broken;
        io.outbox.clear();
        io.end(Ending::Finish, cause);
    }

    /// Counts the end of a handshake that has begun and not ended. Has no effect in other stages.
    fn count_end(&mut self, env: &mut Env, result: &'static str) {
        if matches!(self.stage, Stage::Waiting | Stage::Handshake(_)) {
            env.handshakes.end(self.network, self.place.take());
            env.counters.handshaking.sub(1);
            env.counters.handshakes.add(result);
        }
    }

    /// Handles the peer's FIN: ends the connection, or leaves that to the protocol of an open session.
    /// Without a `close_notify` before it the data may be truncated; the framing of requests shows that.
    pub(super) fn fin_received(&mut self, env: &mut Env, io: &mut Io, protocol: &mut CurrentProtocol) {
        match &self.stage {
            Stage::Open(_) => protocol.fin_received(env, io),
            Stage::Broken => {}
            Stage::Preamble | Stage::Silent | Stage::Waiting | Stage::Handshake(_) => {
                self.count_end(env, "closed");
                self.stage = Stage::Broken;
                io.end(Ending::Finish, "peer");
            }
        }
    }

    /// Resets a connection whose handshake makes room for another: its client was silent for longest. Has no
    /// effect if the handshake is not in progress.
    pub(super) fn dropped(&mut self, env: &mut Env, io: &mut Io, _: &mut CurrentProtocol) {
        if matches!(self.stage, Stage::Handshake(_)) {
            self.count_end(env, "dropped");
            self.stage = Stage::Broken;
            io.end(Ending::Abort, HANDSHAKE);
        }
    }

    /// Resets a connection without an open session, to make room for others.
    pub(super) fn evicted(&mut self, env: &mut Env, io: &mut Io, _: &mut CurrentProtocol) {
        self.count_end(env, "closed");
        self.stage = Stage::Broken;
        io.end(Ending::Abort, SOFT_LIMIT);
    }

    /// Resets a connection whose handshake took too long.
    pub(super) fn timed_out(&mut self, env: &mut Env, io: &mut Io, _: &mut CurrentProtocol) {
        env.counters.timeouts.add(Timer::Handshake.name());
        self.count_end(env, "timeout");
        self.stage = Stage::Broken;
        io.end(Ending::Abort, Timer::Handshake.name());
    }

    /// Encrypts what the protocol wrote and updates the connection's ending and timers. `has_unwritten`: the
    /// protocol has more to write, so `close_notify` waits.
    pub(super) fn after_event(&mut self, env: &mut Env, io: &mut Io, has_unwritten: bool) {
        if io.ending == Ending::Close {
            // The peer's close_notify is still to come. If it met a closed socket, the reset could overtake
            // the last bytes of the reply.
            io.ending = Ending::Finish;
        }
        match &mut self.stage {
            Stage::Open(_) => self.seal(env, io, has_unwritten),
            _ if io.ending != Ending::Open => {
                // A failed session encrypts nothing more.
                io.outbox.clear();
                io.timers.clear_requests();
            }
            stage => {
                io.wants_read = !matches!(stage, Stage::Waiting);
                // A draining server waits only briefly for a handshake that has not begun.
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
            env.tls_plaintext = buffer;
        }
    }

    fn seal(&mut self, env: &mut Env, io: &mut Io, has_unwritten: bool) {
        let Stage::Open(session) = &mut self.stage else { return };
        let sealed = session.seal(&mut io.outbox, &mut self.wire, &mut env.tls_scratch);
        env.tls_scratch.clear();
        if let Err(failure) = sealed {
            self.break_off(env, io, &failure, "protocol_error");
            io.ending = Ending::Abort;
        } else if io.ending == Ending::Finish && !has_unwritten && !self.has_unsealed(io) {
            self.send_close_notify();
        }
    }

    /// Writes `close_notify`, once.
    fn send_close_notify(&mut self) {
        if let Stage::Open(session) = &mut self.stage
            && !std::mem::replace(&mut self.close_notify_sent, true)
        {
            session.close(&mut self.wire);
        }
    }

    /// Counts a handshake that the end of the connection interrupts.
    pub(super) fn closed(&mut self, env: &mut Env) {
        self.count_end(env, "closed");
        self.stage = Stage::Broken;
    }
}

/// Passes received bytes to a session, with the shard's scratch memory.
fn decrypt(
    env: &mut Env,
    wire: &mut Outbox,
    session: &mut Session,
    bytes: &[u8],
    mut on_event: impl FnMut(&mut Env, SessionEvent<'_>),
) -> Result<(), SessionError> {
    let mut scratch = std::mem::take(&mut env.tls_scratch);
    let done = session.receive(bytes, wire, &mut scratch, |event| on_event(env, event));
    env.tls_scratch = scratch;
    done
}
