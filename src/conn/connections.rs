//! Opens the connections of one shard and passes the events of the engine and of the shard to them. The
//! engine holds them.

use std::{
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

use windlass_actors::error::TellError;

use super::{
    connection::Conn,
    current::CurrentProtocol,
    env::{Env, RECHECK_INTERVAL},
    io::{DRAINED, Io, SOFT_LIMIT},
    message::{DrainCounts, Msg, Outcome},
    protocol::Protocol,
    timers::Timer,
    tls::TlsLayer,
};
use crate::net::{Accepted, Closed, ConnId, Ending, EventHandler};

/// Time that a new connection has for its first request before it may be closed to make room for others.
const SILENT_TIME: Duration = Duration::from_secs(10);

/// [`SILENT_TIME`] while the shard has as many connections as it may.
const SILENT_TIME_WHEN_FULL: Duration = Duration::from_secs(1);

/// Opens the connections of one shard and passes events to them.
pub(crate) struct Connections {
    pub(crate) env: Env,
    /// Number of events from peers and from the pool so far. Each new connection, receive, FIN and reply
    /// counts as one.
    arrivals: u64,
}

impl Connections {
    pub(crate) fn new(env: Env) -> Self {
        Self { env, arrivals: 0 }
    }

    /// Counts a worker's reply as an arrival.
    pub(crate) fn count_pool_reply(&mut self) {
        self.arrivals += 1;
    }

    /// Returns how many events have come so far from peers and from the pool.
    pub(crate) fn arrivals(&self) -> u64 {
        self.arrivals
    }

    /// Passes the reply of a task or of a worker to the connection that waits for it.
    pub(crate) fn reply(&mut self, conn: &mut Conn, seq: u32, outcome: Outcome) {
        conn.with_protocol(&mut self.env, |protocol, env, io| protocol.reply_ready(env, io, seq, outcome));
    }

    /// Removes and returns the replies of this shard's tasks.
    pub(crate) fn take_local_replies(&mut self) -> Vec<(ConnId, u32, Outcome)> {
        let mut replies = self.env.replies.borrow_mut();
        replies.drain(..).map(|reply| (reply.id, reply.seq, reply.outcome)).collect()
    }

    /// Returns `true` if tasks of this shard have replied.
    pub(crate) fn has_local_replies(&self) -> bool {
        !self.env.replies.borrow().is_empty()
    }

    /// Advances a connection whose waker was woken.
    pub(crate) fn woken(&mut self, conn: &mut Conn) {
        conn.with_protocol(&mut self.env, CurrentProtocol::advance);
    }

    /// Records that the outlet of a connection's stream was filled.
    pub(crate) fn filled(conn: &mut Conn, label: u32) {
        conn.filled(label);
    }

    /// Writes the events in the outlets of a connection's streams to its outbox, if any are left there.
    pub(crate) fn deliver(&mut self, conn: &mut Conn) {
        conn.deliver(&mut self.env);
    }

    /// Returns the time, on the system's clock, at which the shard must run next: for the earliest deadline
    /// of its connections, or to look at the other shards again. `None` if neither is needed.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let balance = &self.env.balance;
        let awaits_others = balance.is_full() || (self.env.is_draining() && balance.expects_handover());
        let recheck = (awaits_others || self.env.may_have_excess).then(|| self.env.now + RECHECK_INTERVAL);
        let deadline = self.env.deadlines.next().into_iter().chain(recheck).min();
        deadline.map(|at| self.env.on_system_clock(at))
    }

    /// Returns `true` if another shard is handing over a connection that has not arrived yet.
    pub(crate) fn expects_handover(&self) -> bool {
        self.env.balance.expects_handover()
    }

    /// Returns how many idle or silent connections should be closed to make room. Once this was 0, the shards
    /// are not compared again until a connection is opened.
    pub(crate) fn excess(&mut self) -> usize {
        if !self.env.may_have_excess {
            return 0;
        }
        let excess = self.env.balance.excess();
        self.env.may_have_excess = excess > 0;
        excess
    }

    /// Returns the latest opening time of a [silent](Spare::Silent) connection that may be closed; `None` if
    /// none may.
    pub(crate) fn silent_before(&self) -> Option<Instant> {
        let time = if self.env.balance.has_room() { SILENT_TIME } else { SILENT_TIME_WHEN_FULL };
        self.env.now.checked_sub(time)
    }

    /// Closes a connection to make room for others, if it can still be spared.
    pub(crate) fn evict(&mut self, conn: &mut Conn) {
        if conn.spare().is_none() {
            return;
        }
        if !conn.is_open() {
            return conn.with_tls(&mut self.env, TlsLayer::evicted);
        }
        conn.with_protocol(&mut self.env, |protocol, env, io| {
            io.end(Ending::Finish, SOFT_LIMIT);
            protocol.announce_close(env, io);
        });
    }

    /// Returns `true` if [`next_due`](Self::next_due) has a connection to return.
    pub(crate) fn has_due(&self) -> bool {
        self.env.deadlines.has_due(self.env.now)
    }

    /// Makes [`next_due`](Self::next_due) return this connection again in the next turn.
    pub(crate) fn put_back_due(&mut self, id: ConnId) {
        self.env.deadlines.put_back(id, self.env.now);
    }

    /// Returns `true` if a timer of the connection has expired. Has no effect: the caller first reads
    /// everything that the peer has sent, then calls [`check_timers`](Self::check_timers).
    pub(crate) fn has_expired(&self, conn: &Conn) -> bool {
        conn.io.timers.has_expired(self.env.now)
    }

    /// Removes and returns the next connection whose timers are to be checked. The connection may be gone,
    /// and its timers may have been cleared or postponed.
    pub(crate) fn next_due(&mut self) -> Option<ConnId> {
        self.env.deadlines.pop(self.env.now)
    }

    /// Handles one expired timer of a connection, if it has one, and schedules the next check of its timers.
    pub(crate) fn check_timers(&mut self, conn: &mut Conn) {
        match conn.io.timers.expired(self.env.now) {
            Some(Timer::Handshake) => conn.with_tls(&mut self.env, TlsLayer::timed_out),
            expired => conn.with_protocol(&mut self.env, |protocol, env, io| {
                if let Some(timer) = expired {
                    io.timers.clear(timer);
                    timer_expired(protocol, env, io, timer);
                }
            }),
        }
    }

    /// Records that the shard has done its work and may wait for events.
    pub(crate) fn end_work(&self) {
        self.env.counters.activity.end();
    }

    /// Returns `true` if TLS handshakes wait for a turn of the event loop that has time for them.
    pub(crate) fn has_waiting_handshakes(&self) -> bool {
        self.env.handshakes.has_waiting()
    }

    /// Removes and returns the next connection whose TLS handshake may start in this turn; `None` if none
    /// waits or the turn's time for handshakes is used up. The connection may be gone.
    pub(crate) fn next_handshake(&mut self) -> Option<ConnId> {
        self.env.handshakes.next()
    }

    /// Removes and returns the next connection whose TLS handshake is to be dropped to make room for another.
    /// The connection may be gone.
    pub(crate) fn next_dropped_handshake(&mut self) -> Option<ConnId> {
        self.env.handshakes.next_dropped()
    }

    /// Resets a connection whose TLS handshake makes room for another.
    pub(crate) fn drop_handshake(&mut self, conn: &mut Conn) {
        conn.with_tls(&mut self.env, TlsLayer::dropped);
    }

    /// Starts the TLS handshake of a connection that has waited for a turn.
    pub(crate) fn start_handshake(&mut self, conn: &mut Conn) {
        conn.with_tls(&mut self.env, TlsLayer::start_handshake);
    }

    /// Marks the shard as draining: each connection ends with its last reply when [`drain`](Self::drain) or
    /// another event reaches it.
    pub(crate) fn start_drain(&mut self) {
        self.env.begin_drain();
    }

    /// Lets a connection act on the drain, and shortens its write timer if that runs.
    pub(crate) fn drain(&mut self, conn: &mut Conn) {
        if conn.io.timers.is_running(Timer::Write) {
            conn.io.timers.hasten(Timer::Write, self.env.write_deadline());
        }
        conn.with_protocol(&mut self.env, CurrentProtocol::advance);
    }

    /// Resets a connection because the grace period is over. Counts it by what it was doing, unless the reset
    /// loses nothing.
    pub(crate) fn cut(&mut self, conn: &mut Conn) {
        if conn.io.ending == Ending::Finish && !conn.io.unsent {
            // All replies were sent; only the peer's FIN is missing.
            conn.io.end(Ending::Abort, DRAINED);
            return;
        }
        let handshake = conn.tls.as_ref().and_then(|tls| tls.activity());
        let activity = handshake.unwrap_or_else(|| conn.protocol.activity(&conn.io));
        if activity == "idle" {
            // Nothing is lost by the reset.
            return conn.io.end(Ending::Abort, DRAINED);
        }
        if let Some(counts) = &mut self.env.drain {
            *counts.cut.entry(activity).or_default() += 1;
        }
        conn.io.cause = "cut";
        conn.io.ending = Ending::Abort;
    }

    /// Returns the counts of the drain so far; zeros before it.
    pub(crate) fn drain_counts(&self) -> DrainCounts {
        self.env.drain.clone().unwrap_or_default()
    }
}

fn timer_expired(protocol: &mut CurrentProtocol, env: &mut Env, io: &mut Io, timer: Timer) {
    if timer == Timer::Own {
        // The protocol counts these by itself.
        return protocol.timer_expired(env, io, timer);
    }
    if timer == Timer::Idle && env.is_draining() {
        io.end(Ending::Finish, DRAINED);
        return protocol.announce_close(env, io);
    }
    env.counters.timeouts.add(timer.name());
    if timer == Timer::Write
        && let Some(counts) = &mut env.drain
    {
        *counts.cut.entry("peer_stalled").or_default() += 1;
        io.cause = "cut";
        io.ending = Ending::Abort;
        return;
    }
    match timer {
        Timer::Idle => {
            io.end(Ending::Finish, timer.name());
            protocol.announce_close(env, io);
        }
        Timer::Write | Timer::Linger => io.end(Ending::Abort, timer.name()),
        _ => protocol.timer_expired(env, io, timer),
    }
}

impl EventHandler for Connections {
    type Conn = Conn;

    fn batch_started(&mut self) {
        self.env.counters.activity.begin();
        self.env.begin_batch();
    }

    fn hand_over(&mut self, fd: OwnedFd, listener: usize) -> Option<OwnedFd> {
        let env = &self.env;
        let target = env.balance.handover_target().and_then(|shard| Some((shard, env.sender_of(shard)?)));
        let Some((shard, sender)) = target else { return Some(fd) };
        if !env.balance.reserve(shard) {
            return Some(fd);
        }
        match sender.try_send(Msg::Adopt { fd, listener }).map_err(TellError::into_message) {
            Err(Msg::Adopt { fd, .. }) => {
                env.balance.release(shard);
                Some(fd)
            }
            _ => {
                env.counters.handed_over.add(1);
                None
            }
        }
    }

    fn can_hand_over(&self) -> bool {
        self.env.balance.has_room_elsewhere()
    }

    fn open(&mut self, id: ConnId, accepted: Accepted<'_>) -> Conn {
        self.arrivals += 1;
        self.env.counters.accepted.add(1);
        if accepted.is_adopted {
            self.env.balance.handover_arrived();
        }
        self.env.may_have_excess = true;
        let mut conn = Conn::new(&self.env, id, accepted.fd, accepted.listener);
        if conn.tls.is_some() {
            conn.io.timers.set(Timer::Handshake, self.env.now, self.env.timeouts.tls_handshake);
        }
        conn.with_protocol(&mut self.env, |_, _, _| {});
        conn
    }

    fn received(&mut self, _id: ConnId, conn: &mut Conn, bytes: &[u8]) {
        self.arrivals += 1;
        self.env.counters.received_bytes.add(bytes.len() as u64);
        if conn.tls.is_some() {
            return conn
                .with_tls(&mut self.env, |tls, env, io, protocol| tls.received(env, io, protocol, bytes));
        }
        conn.with_protocol(&mut self.env, |protocol, env, io| protocol.received(env, io, bytes));
    }

    fn fin_received(&mut self, _id: ConnId, conn: &mut Conn) {
        self.arrivals += 1;
        if conn.tls.is_some() {
            return conn.with_tls(&mut self.env, TlsLayer::fin_received);
        }
        conn.with_protocol(&mut self.env, CurrentProtocol::fin_received);
    }

    fn sent(&mut self, _id: ConnId, conn: &mut Conn, bytes: usize, drained: bool) {
        self.env.counters.sent_bytes.add(bytes as u64);
        conn.note_sent(bytes);
        if drained && conn.tls.as_ref().is_none_or(|tls| !tls.has_unsealed(&conn.io)) {
            conn.io.unsent = false;
            conn.io.timers.clear(Timer::Write);
            if conn.io.ending == Ending::Open && conn.io.rests {
                return;
            }
            // The usual case after a reply: nothing to do but to wait for the next request.
            if conn.io.ending == Ending::Open
                && conn.is_open()
                && conn.protocol.rests(&self.env, &mut conn.io)
            {
                conn.io.rests = true;
                conn.count_activity(&self.env);
                return self.env.deadlines.schedule(conn.io.id, &mut conn.io.timers);
            }
        } else {
            conn.io.timers.set_at(Timer::Write, self.env.write_deadline());
        }
        conn.with_protocol(&mut self.env, CurrentProtocol::sent);
    }

    fn discarded(&mut self, _id: ConnId, conn: &mut Conn, bytes: usize) -> bool {
        self.env.counters.received_bytes.add(bytes as u64);
        conn.io.discarded(&mut self.env, bytes)
    }

    #[cfg(feature = "ws")]
    fn buffer_sent(&mut self, buffer: Vec<u8>) {
        crate::ws::recycle(buffer);
    }

    fn closed(&mut self, _id: ConnId, mut conn: Conn, why: Closed) {
        let env = &mut self.env;
        conn.io.stop_lingering(env);
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
        env.check_for_drain();
        if let Some(counts) = &mut env.drain
            && cause != "cut"
        {
            counts.drained += 1;
        }
        if let Some(tls) = &mut conn.tls {
            tls.closed(env);
        }
        conn.protocol.closed(env, &mut conn.io);
    }

    fn accept_failed(&mut self, error: &std::io::Error) {
        self.env.counters.accept_errors.add(accept_cause(error));
        if self.env.may_warn() {
            tracing::warn!(%error, shard = self.env.shard, "accept failed, retrying after a pause");
        }
    }
}

/// Returns the metric label of an error of accept.
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
