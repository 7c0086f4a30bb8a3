//! The connection actor: fed bytes, replies, deadlines and drain; answers with bytes to send.
//!
//! One shard owns a connection for its whole life. [`Connections`] makes and feeds them for an engine. A protocol
//! stands behind [`Protocol`], its state in a module of its own: [`h1`], `h2`. Between either and the engine's bytes
//! stands TLS where it is spoken: [`secure`].

mod account;
mod answers;
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
mod timers;
#[cfg(feature = "ws")]
mod ws;

use std::{
    net::SocketAddr,
    os::fd::{AsFd, OwnedFd},
    sync::mpsc,
    task::Waker,
    time::{Duration, Instant},
};

use rustix::net as sys;
use windlass_actors::error::TellError;

use crate::{
    net::{Accepted, Carrier, Closed, ConnId, Ending, Link, Outbox},
    request::Peer,
    response::Response,
};

use crowd::LOOK_AGAIN;
pub(crate) use env::{Common, Entrance, Env, Tally};
use protocol::{Protocol, Spoken};
use secure::Secure;
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

impl Link for Conn {
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
            if active { env.cells.active.add(1) } else { env.cells.active.sub(1) }
        }
    }
}

/// Makes the connections of one shard and feeds them.
pub(crate) struct Connections {
    pub(crate) env: Env,
}

impl Connections {
    pub(crate) fn new(env: Env) -> Self {
        Self { env }
    }

    /// Takes a guest's or a worker's reply to one request of a connection.
    pub(crate) fn reply(&mut self, conn: &mut Conn, seq: u32, outcome: Outcome) {
        conn.feed(&mut self.env, |spoken, env, io| spoken.replied(env, io, seq, outcome));
    }

    /// Takes the replies of this shard's guests.
    pub(crate) fn local_replies(&mut self) -> Vec<(ConnId, u32, Outcome)> {
        let mut replies = self.env.replies.borrow_mut();
        replies.drain(..).map(|reply| (reply.id, reply.seq, reply.outcome)).collect()
    }

    /// Says whether guests have replied.
    pub(crate) fn has_local_replies(&self) -> bool {
        !self.env.replies.borrow().is_empty()
    }

    /// Tells a connection that one of its bodies has something for it.
    pub(crate) fn woken(&mut self, conn: &mut Conn) {
        conn.feed(&mut self.env, Spoken::pump);
    }

    /// Returns when the next timer is due, or another look at the other shards.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let crowd = &self.env.crowd;
        let awaits_others = crowd.is_full() || (self.env.is_draining() && crowd.expects_more());
        let look_again = (awaits_others || self.env.crowded).then(|| self.env.now + LOOK_AGAIN);
        self.env.deadlines.next().into_iter().chain(look_again).min()
    }

    /// Says whether other shards have announced connections that have not come.
    pub(crate) fn expects_more(&self) -> bool {
        self.env.crowd.expects_more()
    }

    /// Returns how many connections should end to make room, if some have come since there was room enough.
    pub(crate) fn excess(&mut self) -> usize {
        if !self.env.crowded {
            return 0;
        }
        let excess = self.env.crowd.excess();
        self.env.crowded = excess > 0;
        excess
    }

    /// Ends an idle connection to make room for others.
    pub(crate) fn evict(&mut self, conn: &mut Conn) {
        conn.feed(&mut self.env, |spoken, env, io| {
            io.end(Ending::Finish, "soft_limit");
            spoken.farewell(env, io);
        });
    }

    /// Takes the next connection with a timer that may be due.
    pub(crate) fn due(&mut self) -> Option<ConnId> {
        self.env.deadlines.pop(self.env.now)
    }

    /// Looks at a connection's timers.
    pub(crate) fn look_at_timers(&mut self, conn: &mut Conn) {
        match conn.io.timers.due(self.env.now) {
            Some(Timer::Handshake) => conn.feed_secure(&mut self.env, Secure::timed_out),
            due => conn.feed(&mut self.env, |spoken, env, io| {
                if let Some(timer) = due {
                    io.timers.clear(timer);
                    expired(spoken, env, io, timer);
                }
            }),
        }
    }

    /// Says whether TLS handshakes wait for their turn.
    pub(crate) fn has_waiting_handshakes(&self) -> bool {
        self.env.handshakes.has_waiting()
    }

    /// Takes the next connection whose TLS handshake may go on in this turn; it may be gone.
    pub(crate) fn next_handshake(&mut self) -> Option<ConnId> {
        self.env.handshakes.next()
    }

    /// Goes on with a connection's TLS handshake.
    pub(crate) fn shake(&mut self, conn: &mut Conn) {
        conn.feed_secure(&mut self.env, Secure::go_on);
    }

    /// Starts to drain: from here on connections end with their last reply.
    pub(crate) fn start_drain(&mut self) {
        self.env.tally.get_or_insert_default();
    }

    /// Tells a connection that the server drains.
    pub(crate) fn drain(&mut self, conn: &mut Conn) {
        conn.feed(&mut self.env, Spoken::pump);
    }

    /// Ends a connection at once because the grace is over.
    pub(crate) fn cut(&mut self, conn: &mut Conn) {
        if conn.io.ending == Ending::Finish && !conn.io.unsent {
            // It has all its replies; only the peer's FIN is missing.
            conn.io.end(Ending::Abort, DRAINED);
            return;
        }
        let handshake = conn.secure.as_ref().and_then(|secure| secure.doing());
        let doing = handshake.unwrap_or_else(|| conn.spoken.doing(&conn.io));
        if doing == "idle" {
            // Nobody waits for anything on it.
            return conn.io.end(Ending::Abort, DRAINED);
        }
        if let Some(tally) = &mut self.env.tally {
            *tally.cut.entry(doing).or_default() += 1;
        }
        conn.io.cause = "cut";
        conn.io.ending = Ending::Abort;
    }

    /// Returns how the drain went so far.
    pub(crate) fn tally(&self) -> Tally {
        self.env.tally.clone().unwrap_or_default()
    }
}

fn expired(spoken: &mut Spoken, env: &mut Env, io: &mut Io, timer: Timer) {
    if timer == Timer::Own {
        // The protocol counts what it does then.
        return spoken.expired(env, io, timer);
    }
    if timer == Timer::Idle && env.is_draining() {
        io.end(Ending::Finish, DRAINED);
        return spoken.farewell(env, io);
    }
    env.cells.timeouts.add(timer.name());
    match timer {
        Timer::Idle => {
            io.end(Ending::Finish, timer.name());
            spoken.farewell(env, io);
        }
        Timer::Write | Timer::Linger => io.end(Ending::Abort, timer.name()),
        _ => spoken.expired(env, io, timer),
    }
}

impl Carrier for Connections {
    type Conn = Conn;

    fn resumed(&mut self) {
        self.env.begin_batch();
    }

    fn hand_over(&mut self, fd: OwnedFd, listener: usize) -> Option<OwnedFd> {
        let env = &self.env;
        let Some((shard, sender)) = env.crowd.better().and_then(|shard| Some((shard, env.sender_of(shard)?))) else {
            return Some(fd);
        };
        if !env.crowd.announce(shard) {
            return Some(fd);
        }
        match sender.try_send(Msg::Adopt { fd, listener }).map_err(TellError::into_message) {
            Err(Msg::Adopt { fd, .. }) => {
                env.crowd.take_back(shard);
                Some(fd)
            }
            _ => {
                env.cells.handed_over.add(1);
                None
            }
        }
    }

    fn has_room_elsewhere(&self) -> bool {
        self.env.crowd.has_room_elsewhere()
    }

    fn open(&mut self, id: ConnId, accepted: Accepted<'_>) -> Conn {
        self.env.cells.accepted.add(1);
        if accepted.is_adopted {
            self.env.crowd.has_come();
        }
        self.env.crowded = true;
        let (is_proxied, acceptor) = self.env.entrance(accepted.listener);
        let secure = acceptor.map(|acceptor| Secure::new(acceptor, is_proxied));
        let mut conn = Conn {
            io: Io {
                id,
                outbox: Outbox::default(),
                sealed_bytes: 0,
                secure: secure.is_some(),
                ending: Ending::Open,
                cause: "peer",
                wants_read: true,
                unsent: false,
                active: false,
                timers: Timers::default(),
                peer: peer_of(accepted.fd),
                waker: None,
                opened: self.env.now,
            },
            spoken: Spoken::new(is_proxied && secure.is_none(), self.env.now),
            secure,
        };
        if conn.secure.is_some() {
            conn.io.timers.set(Timer::Handshake, self.env.now, self.env.timeouts.tls_handshake);
        }
        conn.feed(&mut self.env, |_, _, _| {});
        conn
    }

    fn received(&mut self, _id: ConnId, conn: &mut Conn, bytes: &[u8]) {
        self.env.cells.received_bytes.add(bytes.len() as u64);
        if conn.secure.is_some() {
            return conn
                .feed_secure(&mut self.env, |secure, env, io, spoken| secure.received(env, io, spoken, bytes));
        }
        conn.feed(&mut self.env, |spoken, env, io| spoken.received(env, io, bytes));
    }

    fn ended(&mut self, _id: ConnId, conn: &mut Conn) {
        if conn.secure.is_some() {
            return conn.feed_secure(&mut self.env, Secure::ended);
        }
        conn.feed(&mut self.env, Spoken::ended);
    }

    fn sent(&mut self, _id: ConnId, conn: &mut Conn, bytes: usize, drained: bool) {
        self.env.cells.sent_bytes.add(bytes as u64);
        if drained && conn.secure.as_ref().is_none_or(|secure| !secure.owes(&conn.io)) {
            conn.io.unsent = false;
            conn.io.timers.clear(Timer::Write);
            // What follows most replies: nothing but the wait for the next request.
            if conn.io.ending == Ending::Open && conn.is_open() && conn.spoken.rests(&self.env, &mut conn.io) {
                return self.env.deadlines.schedule(conn.io.id, &mut conn.io.timers);
            }
        } else {
            conn.io.timers.set(Timer::Write, self.env.now, self.env.timeouts.write_stall);
        }
        conn.feed(&mut self.env, Spoken::sent);
    }

    #[cfg(feature = "ws")]
    fn spent(&mut self, buffer: Vec<u8>) {
        crate::ws::give_back(buffer);
    }

    fn closed(&mut self, _id: ConnId, mut conn: Conn, why: Closed) {
        let env = &mut self.env;
        if conn.io.active {
            env.cells.active.sub(1);
        }
        env.cells.closed.add(1);
        let cause = match why {
            Closed::Failed(_) if conn.io.ending == Ending::Open => "reset",
            Closed::Lingered => "lingered",
            Closed::Failed(_) | Closed::Finished | Closed::Aborted => conn.io.cause,
        };
        env.cells.closes.add(cause);
        env.look_for_drain();
        if let Some(tally) = &mut env.tally
            && cause != "cut"
        {
            tally.drained += 1;
        }
        if let Some(secure) = &mut conn.secure {
            secure.closed(env);
        }
        conn.spoken.closed(env, &mut conn.io);
    }

    fn accept_failed(&mut self, error: &std::io::Error) {
        self.env.cells.accept_errors.add(accept_cause(error));
        if self.env.may_warn() {
            tracing::warn!(%error, "accepting connections failed; it is tried again after a pause");
        }
    }
}

fn accept_cause(error: &std::io::Error) -> &'static str {
    match error.raw_os_error().map(rustix::io::Errno::from_raw_os_error) {
        Some(rustix::io::Errno::MFILE) => "EMFILE",
        Some(rustix::io::Errno::NFILE) => "ENFILE",
        Some(rustix::io::Errno::NOBUFS) => "ENOBUFS",
        Some(rustix::io::Errno::NOMEM) => "ENOMEM",
        Some(rustix::io::Errno::CONNABORTED) => "ECONNABORTED",
        _ => "other",
    }
}

/// Asks the socket who is on its other side.
fn peer_of(socket: impl AsFd) -> Peer {
    match sys::getpeername(socket) {
        Ok(Some(address)) => SocketAddr::try_from(address).map_or(Peer::Local, Peer::Address),
        // A Unix socket's other side has no name as a rule.
        Ok(None) => Peer::Local,
        Err(_) => Peer::Unknown,
    }
}
