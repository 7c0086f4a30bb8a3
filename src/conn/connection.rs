//! One connection: its protocol, TLS beneath it where the listener asks for that, and the state both share.

use std::{
    net::SocketAddr,
    os::fd::{AsFd, BorrowedFd},
    time::Instant,
};

use rustix::net as sys;

use super::{
    current::CurrentProtocol,
    env::{Env, ShardListener},
    io::Io,
    protocol::Protocol,
    timers::{Timer, Timers},
    tls::TlsLayer,
};
use crate::{
    net::{ConnId, Connection, Ending, Outbox},
    request::Peer,
};

/// Reason why a connection may be closed to make room for others. The smallest is closed first: all idle
/// connections before all silent ones, and the one that has waited longest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Spare {
    /// The connection has waited for its next request since this time.
    Idle(Instant),
    /// The connection was opened at this time and has sent no complete request head. It gets some time for
    /// that: a new connection must not be closed in the place of an old one.
    Silent(Instant),
}

/// One connection.
pub(crate) struct Conn {
    pub(super) io: Io,
    pub(super) protocol: CurrentProtocol,
    pub(super) tls: Option<Box<TlsLayer>>,
}

impl Connection for Conn {
    fn outbox(&mut self) -> &mut Outbox {
        match &mut self.tls {
            Some(tls) => tls.wire(),
            None => &mut self.io.outbox,
        }
    }

    fn wants_read(&self) -> bool {
        self.io.wants_read
    }

    fn ending(&self) -> Ending {
        self.io.ending
    }
}

impl Conn {
    /// Makes the connection of a socket that was accepted from the listener with this index.
    pub(super) fn new(env: &Env, id: ConnId, fd: BorrowedFd<'_>, listener: usize) -> Self {
        let ShardListener { is_proxied, is_http2_only, acceptor, router } = env.listener(listener);
        let tls = acceptor.map(|acceptor| TlsLayer::new(acceptor, is_proxied));
        let mut io = Io {
            id,
            outbox: Outbox::default(),
            sealed_bytes: 0,
            in_flight_bytes: 0,
            unsent_bytes: 0,
            secure: tls.is_some(),
            is_http2_only,
            router,
            ending: Ending::Open,
            cause: "peer",
            wants_read: true,
            unsent: false,
            active: false,
            has_requested: false,
            timers: Timers::default(),
            peer: peer_of(fd),
            waker: None,
            rests: false,
            opened: env.now,
            linger: None,
        };
        let protocol = CurrentProtocol::first(is_proxied && tls.is_none(), env, &mut io);
        Self { io, protocol, tls }
    }

    /// Calls the protocol. Then switches to the next protocol if HTTP/1.1 asked for it, encrypts under TLS,
    /// and updates the connection's ending, timers and count as active.
    pub(super) fn with_protocol(
        &mut self,
        env: &mut Env,
        call: impl FnOnce(&mut CurrentProtocol, &mut Env, &mut Io),
    ) {
        self.begin(env);
        self.io.rests = false;
        call(&mut self.protocol, env, &mut self.io);
        self.after_event(env);
    }

    /// Calls the TLS layer, then does the same as [`with_protocol`](Self::with_protocol). Without TLS it
    /// calls nothing and updates nothing.
    pub(super) fn with_tls(
        &mut self,
        env: &mut Env,
        call: impl FnOnce(&mut TlsLayer, &mut Env, &mut Io, &mut CurrentProtocol),
    ) {
        self.begin(env);
        self.io.rests = false;
        let Some(tls) = &mut self.tls else { return };
        call(tls, env, &mut self.io, &mut self.protocol);
        self.after_event(env);
    }

    /// Returns why the connection can be closed to make room for others, or `None` if it cannot: it is
    /// active, is already ending, or has begun another request.
    pub(crate) fn spare(&self) -> Option<Spare> {
        let io = &self.io;
        match io.ending {
            Ending::Open if io.active => None,
            Ending::Open if io.has_requested => io.timers.idle_since().map(Spare::Idle),
            Ending::Open => Some(Spare::Silent(io.opened)),
            _ => None,
        }
    }

    /// Returns `true` if the protocol can be called: without TLS always, with TLS from the end of the
    /// handshake until the session fails.
    pub(super) fn is_open(&self) -> bool {
        self.tls.as_ref().is_none_or(|tls| tls.is_open())
    }

    /// Prepares a call of the protocol or of the TLS layer: updates the numbers of unsent bytes, and under
    /// TLS gives the outbox a buffer.
    #[inline]
    fn begin(&mut self, env: &mut Env) {
        let queued = self.outbox().len();
        self.io.in_flight_bytes = self.io.unsent_bytes.saturating_sub(queued);
        if let Some(tls) = &mut self.tls {
            tls.begin(env, &mut self.io);
        }
    }

    /// Subtracts bytes that the kernel has taken from the number of unsent bytes.
    pub(super) fn note_sent(&mut self, bytes: usize) {
        self.io.unsent_bytes = self.io.unsent_bytes.saturating_sub(bytes);
    }

    fn after_event(&mut self, env: &mut Env) {
        if self.is_open() {
            self.protocol.switch_if_asked(env, &mut self.io);
            self.protocol.after_event(env, &mut self.io);
        }
        self.seal(env);
        self.count_activity(env);
        env.deadlines.schedule(self.io.id, &mut self.io.timers);
    }

    /// Encrypts what the protocol has written, if there is TLS. Starts the write timer if bytes wait for the
    /// kernel, or the wait for the peer's FIN if the connection finishes and none do.
    #[inline]
    fn seal(&mut self, env: &mut Env) {
        if let Some(tls) = &mut self.tls {
            tls.after_event(env, &mut self.io, self.protocol.has_unwritten());
        }
        let unsent_bytes = self.outbox().len();
        self.io.unsent_bytes = self.io.in_flight_bytes + unsent_bytes;
        self.io.time_writing(env, unsent_bytes > 0);
    }

    /// Counts the connection as active while a request is in progress or a part of a reply is not sent.
    pub(super) fn count_activity(&mut self, env: &Env) {
        let active = self.protocol.is_active() || self.io.unsent;
        if active != self.io.active {
            self.io.active = active;
            if active { env.counters.active.add(1) } else { env.counters.active.sub(1) }
        }
    }

    /// Writes the events in the outlets of the connection's streams to its outbox. Does nothing if the
    /// connection ends or its TLS session is not open.
    pub(super) fn deliver(&mut self, env: &mut Env) {
        if self.io.ending != Ending::Open || !self.is_open() {
            return;
        }
        self.begin(env);
        if !self.protocol.deliver(env, &mut self.io) {
            self.io.rests = false;
            return self.after_event(env);
        }
        if self.tls.is_some() {
            self.seal(env);
        } else if !self.io.outbox.is_empty() {
            self.io.unsent_bytes = self.io.in_flight_bytes + self.io.outbox.len();
            // Otherwise the timer of sending runs already.
            if !std::mem::replace(&mut self.io.unsent, true) {
                self.io.timers.start_at(Timer::Write, env.write_deadline());
            }
        }
        env.deadlines.schedule(self.io.id, &mut self.io.timers);
    }

    /// Records that an outlet was filled. `label` names its stream.
    pub(super) fn filled(&mut self, label: u32) {
        self.protocol.filled(label);
    }
}

/// Returns the address of a socket's peer: `Local` if it has no IP address, `Unknown` if the kernel reports
/// an error.
fn peer_of(socket: impl AsFd) -> Peer {
    match sys::getpeername(socket) {
        Ok(Some(address)) => SocketAddr::try_from(address).map_or(Peer::Local, Peer::Address),
        // The peer of a Unix socket usually has no name.
        Ok(None) => Peer::Local,
        Err(_) => Peer::Unknown,
    }
}
