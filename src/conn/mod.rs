//! The connection actor: fed bytes, replies, deadlines and drain; answers with bytes to send.
//!
//! One shard owns a connection for its whole life. [`connections`] makes and feeds them for an engine. A protocol
//! stands behind [`Protocol`], its state in a module of its own: [`h1`], `h2`. Between either and the engine's bytes
//! stands TLS where it is spoken: [`secure`].

mod account;
mod answers;
mod connections;
mod crowd;
mod date;
mod env;
mod h1;
#[cfg(feature = "http2")]
mod h2;
mod job;
mod pace;
mod params;
mod preamble;
mod protocol;
mod run;
mod secure;
mod tap;
mod timers;
#[cfg(feature = "ws")]
mod ws;

use std::{
    os::fd::OwnedFd,
    sync::mpsc,
    task::Waker,
    time::{Duration, Instant},
};

use crate::{
    net::{ConnId, Connection, Ending, Outbox},
    request::Peer,
    response::Response,
};

pub(crate) use connections::Connections;
pub(crate) use env::{Common, Entrance, Env, Tally};
use protocol::{Protocol, Spoken};
use secure::Secure;
use tap::Tap;
use timers::{Timer, Timers};

/// Why a connection ended that was idle while the server drained.
const DRAINED: &str = "drained";

/// How long such a connection waits for its peer's FIN: nothing of a reply is on its way to it any more, and a peer
/// that keeps it in a pool and never looks must not hold up the stop.
const DRAINED_LINGER: Duration = Duration::from_millis(500);

/// What other threads tell a shard.
pub(crate) enum Msg {
    /// Accept from these sockets.
    Listen(Vec<socket2::Socket>),
    /// Serve this socket, accepted by another shard from its listener of that index.
    Adopt { fd: OwnedFd, listener: usize },
    /// A worker's reply to request number `seq` of a connection.
    Reply { id: ConnId, seq: u32, outcome: Outcome },
    /// Accept no more, let requests end; tell when no connection is left.
    Drain(mpsc::Sender<(usize, Tally)>),
    /// End what has not ended.
    Cut,
}

/// What came of running a handler.
pub(crate) struct Outcome {
    pub(crate) response: Response,
    /// Why the server answered in the handler's place.
    pub(crate) error: Option<&'static str>,
}

impl From<Response> for Outcome {
    fn from(response: Response) -> Self {
        Self { response, error: None }
    }
}

/// The side of a connection that is the same for every protocol.
pub(crate) struct Io {
    id: ConnId,
    /// What the protocol writes.
    outbox: Outbox,
    /// Bytes that waited behind the outbox, under TLS, when the protocol was called.
    sealed_bytes: usize,
    /// It speaks TLS.
    secure: bool,
    ending: Ending,
    /// Why it ends, for the metrics.
    cause: &'static str,
    wants_read: bool,
    /// Bytes were queued and not all of them were taken by the kernel yet.
    unsent: bool,
    /// Counted as active.
    active: bool,
    timers: Timers,
    peer: Peer,
    waker: Option<Waker>,
    /// Where the events of a stream that rests come in.
    tap: Option<Tap>,
    opened: Instant,
}

impl Io {
    /// Returns how many bytes wait for the peer.
    fn queued(&self) -> usize {
        self.outbox.len() + self.sealed_bytes
    }

    /// Ends the connection; the first cause stays.
    fn end(&mut self, ending: Ending, cause: &'static str) {
        if self.ending == Ending::Open {
            self.cause = cause;
        }
        self.ending = ending;
    }

    /// Starts to wait for the next request of a connection that is idle since then.
    fn start_idle(&mut self, env: &Env, since: Instant) {
        // A draining server waits only for what a busy client has already sent.
        let draining = env.is_draining().then_some(env.timeouts.drain_idle);
        self.timers.set_idle(since, draining.or(env.timeouts.keep_alive));
    }

    /// Returns how long to wait for the peer's FIN.
    fn linger(&self, env: &Env) -> Duration {
        if self.cause == DRAINED { env.timeouts.linger.min(DRAINED_LINGER) } else { env.timeouts.linger }
    }

    /// Returns the waker that brings a message to this connection.
    fn waker(&mut self, env: &Env) -> Waker {
        self.waker.get_or_insert_with(|| env.local.waker(self.id.token())).clone()
    }

    /// Takes that waker for the time of one call, which costs no count. Not given back it is made anew.
    fn take_waker(&mut self, env: &Env) -> Waker {
        self.waker.take().unwrap_or_else(|| env.local.waker(self.id.token()))
    }
}

/// One connection.
pub(crate) struct Conn {
    io: Io,
    spoken: Spoken,
    secure: Option<Box<Secure>>,
}

impl Connection for Conn {
    fn outbox(&mut self) -> &mut Outbox {
        match &mut self.secure {
            Some(secure) => secure.wire(),
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
    /// Feeds the protocol, then brings timers and counters in line with what it made of it.
    fn feed(&mut self, env: &mut Env, feed: impl FnOnce(&mut Spoken, &mut Env, &mut Io)) {
        if let Some(secure) = &mut self.secure {
            secure.begin(env, &mut self.io);
        }
        self.take_from_tap(env);
        self.io.disturb();
        feed(&mut self.spoken, env, &mut self.io);
        self.settle(env);
    }

    /// Feeds what stands before the protocol.
    fn feed_secure(&mut self, env: &mut Env, feed: impl FnOnce(&mut Secure, &mut Env, &mut Io, &mut Spoken)) {
        let Some(secure) = &mut self.secure else { return };
        secure.begin(env, &mut self.io);
        feed(secure, env, &mut self.io, &mut self.spoken);
        self.settle(env);
    }

    /// Returns since when it waits for its next request; `None` when it does not.
    pub(crate) fn idle_since(&self) -> Option<Instant> {
        let io = &self.io;
        if io.ending == Ending::Open && !io.active { io.timers.idle_since() } else { None }
    }

    /// Says whether the protocol is there, which under TLS it is when the handshake is done.
    fn is_open(&self) -> bool {
        self.secure.as_ref().is_none_or(|secure| secure.is_open())
    }

    fn settle(&mut self, env: &mut Env) {
        if self.is_open() {
            self.spoken.hand_over(env, &mut self.io);
            self.spoken.settle(env, &mut self.io);
        }
        if let Some(secure) = &mut self.secure {
            secure.settle(env, &mut self.io, self.spoken.is_blocked());
        }
        let is_empty = self.outbox().is_empty();
        let io = &mut self.io;
        if !is_empty {
            io.unsent = true;
            io.timers.start(Timer::Write, env.now, env.timeouts.write_stall);
        }
        if io.ending == Ending::Finish && !io.unsent {
            io.timers.clear(Timer::Idle);
            io.timers.start(Timer::Linger, env.now, Some(io.linger(env)));
        }
        self.count_activity(env);
        env.deadlines.schedule(self.io.id, &mut self.io.timers);
    }

    fn count_activity(&mut self, env: &Env) {
        let active = self.spoken.is_active();
        if active != self.io.active {
            self.io.active = active;
            if active { env.counters.active.add(1) } else { env.counters.active.sub(1) }
        }
    }
}
