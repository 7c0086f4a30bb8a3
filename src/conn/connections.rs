//! The connections of one shard: made, fed, timed, drained and ended, as an engine and the shard ask for it.

use std::{
    net::SocketAddr,
    os::fd::{AsFd, OwnedFd},
    time::Instant,
};

use rustix::net as sys;
use windlass_actors::error::TellError;

use super::{
    Conn, DRAINED, Env, Io, Msg, Outcome, Tally,
    crowd::LOOK_AGAIN,
    protocol::{Protocol, Spoken},
    secure::Secure,
    timers::{Timer, Timers},
};
use crate::{
    net::{Accepted, Closed, ConnId, Ending, EventHandler, Outbox},
    request::Peer,
};

/// Makes the connections of one shard and feeds them.
pub(crate) struct Connections {
    pub(crate) env: Env,
    /// How often something came: connections, bytes, ends, replies of the pool.
    arrivals: u64,
}

impl Connections {
    pub(crate) fn new(env: Env) -> Self {
        Self { env, arrivals: 0 }
    }

    /// Notes that a worker's reply came.
    pub(crate) fn note_reply(&mut self) {
        self.arrivals += 1;
    }

    /// Returns how often something came so far, from a peer or the pool.
    pub(crate) fn arrivals(&self) -> u64 {
        self.arrivals
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

    /// Tells a connection that its tap holds something, unless it was emptied before.
    pub(crate) fn filled(&mut self, conn: &mut Conn) {
        conn.deliver(&mut self.env);
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
    env.counters.timeouts.add(timer.name());
    match timer {
        Timer::Idle => {
            io.end(Ending::Finish, timer.name());
            spoken.farewell(env, io);
        }
        Timer::Write | Timer::Linger => io.end(Ending::Abort, timer.name()),
        _ => spoken.expired(env, io, timer),
    }
}

impl EventHandler for Connections {
    type Conn = Conn;

    fn batch_started(&mut self) {
        self.env.begin_batch();
    }

    fn hand_over(&mut self, fd: OwnedFd, listener: usize) -> Option<OwnedFd> {
        let env = &self.env;
        let Some((shard, sender)) = env.crowd.better().and_then(|shard| Some((shard, env.sender_of(shard)?)))
        else {
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
                env.counters.handed_over.add(1);
                None
            }
        }
    }

    fn can_hand_over(&self) -> bool {
        self.env.crowd.has_room_elsewhere()
    }

    fn open(&mut self, id: ConnId, accepted: Accepted<'_>) -> Conn {
        self.arrivals += 1;
        self.env.counters.accepted.add(1);
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
                tap: None,
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
        self.arrivals += 1;
        self.env.counters.received_bytes.add(bytes.len() as u64);
        if conn.secure.is_some() {
            return conn.feed_secure(&mut self.env, |secure, env, io, spoken| {
                secure.received(env, io, spoken, bytes)
            });
        }
        conn.feed(&mut self.env, |spoken, env, io| spoken.received(env, io, bytes));
    }

    fn fin_received(&mut self, _id: ConnId, conn: &mut Conn) {
        self.arrivals += 1;
        if conn.secure.is_some() {
            return conn.feed_secure(&mut self.env, Secure::ended);
        }
        conn.feed(&mut self.env, Spoken::ended);
    }

    fn sent(&mut self, _id: ConnId, conn: &mut Conn, bytes: usize, drained: bool) {
        self.env.counters.sent_bytes.add(bytes as u64);
        if drained && conn.secure.as_ref().is_none_or(|secure| !secure.owes(&conn.io)) {
            conn.io.unsent = false;
            conn.io.timers.clear(Timer::Write);
            if conn.io.ending == Ending::Open && conn.io.reopen_tap() {
                return;
            }
            // What follows most replies: nothing but the wait for the next request.
            if conn.io.ending == Ending::Open && conn.is_open() && conn.spoken.rests(&self.env, &mut conn.io)
            {
                conn.io.open_tap();
                return self.env.deadlines.schedule(conn.io.id, &mut conn.io.timers);
            }
        } else {
            conn.io.timers.set(Timer::Write, self.env.now, self.env.timeouts.write_stall);
        }
        conn.feed(&mut self.env, Spoken::sent);
    }

    #[cfg(feature = "ws")]
    fn buffer_sent(&mut self, buffer: Vec<u8>) {
        crate::ws::give_back(buffer);
    }

    fn closed(&mut self, _id: ConnId, mut conn: Conn, why: Closed) {
        let env = &mut self.env;
        if conn.io.active {
            env.counters.active.sub(1);
        }
        env.counters.closed.add(1);
        let cause = match why {
            Closed::Failed(_) if conn.io.ending == Ending::Open => "reset",
            Closed::Lingered => "lingered",
            Closed::Failed(_) | Closed::Finished | Closed::Aborted => conn.io.cause,
        };
        env.counters.closes.add(cause);
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
        self.env.counters.accept_errors.add(accept_cause(error));
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
