//! The connection actor: fed bytes, replies, deadlines and drain; answers with bytes to send.
//!
//! One shard owns a connection for its whole life. [`Connections`] makes and feeds them for an engine; a protocol
//! stands behind [`Protocol`], its state in a file of its own ([`h1`]).

mod account;
mod answers;
mod date;
mod env;
mod h1;
#[cfg(feature = "http2")]
mod h2;
mod job;
mod pace;
mod params;
mod protocol;
mod run;
mod timers;

use std::{
    net::SocketAddr,
    os::fd::AsFd,
    sync::mpsc,
    task::Waker,
    time::{Duration, Instant},
};

use rustix::net as sys;

use crate::{
    net::{Accepted, Carrier, Closed, ConnId, Ending, Link, Outbox},
    request::Peer,
    response::Response,
};

pub(crate) use env::{Common, Env, Tally};
use protocol::{Protocol, Spoken};
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
    outbox: Outbox,
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
    /// Ends the connection; the first cause stays.
    fn end(&mut self, ending: Ending, cause: &'static str) {
        if self.ending == Ending::Open {
            self.cause = cause;
        }
        self.ending = ending;
    }

    /// Returns how long to wait for the peer's FIN.
    fn linger(&self, env: &Env) -> Duration {
        if self.cause == DRAINED { env.timeouts.linger.min(DRAINED_LINGER) } else { env.timeouts.linger }
    }

    /// Returns the waker that brings a message to this connection.
    fn waker(&mut self, env: &Env) -> Waker {
        self.waker.get_or_insert_with(|| env.local.waker(self.id.token())).clone()
    }
}

/// One connection.
pub(crate) struct Conn {
    io: Io,
    spoken: Spoken,
}

impl Link for Conn {
    fn outbox(&mut self) -> &mut Outbox {
        &mut self.io.outbox
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
        feed(&mut self.spoken, env, &mut self.io);
        self.spoken.hand_over(env, &mut self.io);
        self.spoken.settle(env, &mut self.io);
        let io = &mut self.io;
        if !io.outbox.is_empty() {
            io.unsent = true;
            io.timers.start(Timer::Write, env.now, env.timeouts.write_stall);
        }
        if io.ending == Ending::Finish && !io.unsent {
            io.timers.clear(Timer::Idle);
            io.timers.start(Timer::Linger, env.now, Some(io.linger(env)));
        }
        self.count_activity(env);
        env.deadlines.schedule(self.io.id, &self.io.timers);
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

    /// Returns when the next timer is due.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.env.deadlines.next()
    }

    /// Takes the next connection with a timer that may be due.
    pub(crate) fn due(&mut self) -> Option<ConnId> {
        self.env.deadlines.pop(self.env.now)
    }

    /// Looks at a connection's timers.
    pub(crate) fn look_at_timers(&mut self, conn: &mut Conn) {
        conn.feed(&mut self.env, |spoken, env, io| {
            if let Some(timer) = io.timers.due(env.now) {
                io.timers.clear(timer);
                expired(spoken, env, io, timer);
            }
        });
    }

    /// Starts to drain: from here on connections end with their last reply.
    pub(crate) fn start_drain(&mut self) {
        self.env.tally.get_or_insert_default();
    }

    /// Tells a connection that the server drains.
    pub(crate) fn drain(&mut self, conn: &mut Conn) {
        conn.feed(&mut self.env, |_, _, _| {});
    }

    /// Ends a connection at once because the grace is over.
    pub(crate) fn cut(&mut self, conn: &mut Conn) {
        if conn.io.ending == Ending::Finish && !conn.io.unsent {
            // It has all its replies; only the peer's FIN is missing.
            conn.io.end(Ending::Abort, DRAINED);
            return;
        }
        let doing = conn.spoken.doing(&conn.io);
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
        Timer::Header | Timer::Body | Timer::Stream | Timer::Job | Timer::Own => spoken.expired(env, io, timer),
    }
}

impl Carrier for Connections {
    type Conn = Conn;

    fn resumed(&mut self) {
        self.env.begin_batch();
    }

    fn open(&mut self, id: ConnId, accepted: Accepted<'_>) -> Conn {
        self.env.cells.accepted.add(1);
        let is_proxied = self.env.proxied.get(accepted.listener).copied().unwrap_or_default();
        let mut conn = Conn {
            io: Io {
                id,
                outbox: Outbox::default(),
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
            spoken: Spoken::new(is_proxied, self.env.now),
        };
        conn.feed(&mut self.env, |_, _, _| {});
        conn
    }

    fn received(&mut self, _id: ConnId, conn: &mut Conn, bytes: &[u8]) {
        self.env.cells.received_bytes.add(bytes.len() as u64);
        conn.feed(&mut self.env, |spoken, env, io| spoken.received(env, io, bytes));
    }

    fn ended(&mut self, _id: ConnId, conn: &mut Conn) {
        conn.feed(&mut self.env, Spoken::ended);
    }

    fn sent(&mut self, _id: ConnId, conn: &mut Conn, bytes: usize, drained: bool) {
        self.env.cells.sent_bytes.add(bytes as u64);
        if drained {
            conn.io.unsent = false;
            conn.io.timers.clear(Timer::Write);
            // What follows most replies: nothing but the wait for the next request.
            if conn.io.ending == Ending::Open && conn.spoken.rests(&self.env, &mut conn.io) {
                return self.env.deadlines.schedule(conn.io.id, &conn.io.timers);
            }
        } else {
            conn.io.timers.set(Timer::Write, self.env.now, self.env.timeouts.write_stall);
        }
        conn.feed(&mut self.env, Spoken::sent);
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
        if let Some(tally) = &mut env.tally
            && cause != "cut"
        {
            tally.drained += 1;
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
