//! One shard of a server: the driver that passes events between an engine, its connections and other threads.
//!
//! It must not know protocols.

mod wake_queue;

use std::{
    io,
    sync::mpsc,
    time::{Duration, Instant},
};

use windlass_actors::{Driver, Local, Wait};

use wake_queue::{Reason, WakeQueue};

use crate::{
    conn::{Connections, DrainCounts, Env, Msg, ONLY_STREAM, Outcome, Spare},
    net::{ConnId, Connection, Ending, Engine},
};

/// Maximum number of connections whose timers are checked in one turn: if thousands are due together, they
/// must not block the shard.
const TIMERS_PER_TURN: usize = 256;

/// Minimum time to the next search for idle connections after one that found none: a search looks at every
/// connection.
const SEARCH_INTERVAL: Duration = Duration::from_millis(20);

/// Maximum number of turns for which work from this process postpones the timers. As each turn handles some
/// of it, everything is handled by then that was there when the timers became due.
const MAX_POSTPONED: u32 = 64;

/// Driver of one shard.
pub(crate) struct Shard<E> {
    engine: E,
    connections: Connections,
    local: Local,
    /// Connections that were woken, or whose outlets were filled, and that have not been visited.
    woken: WakeQueue,
    /// Receiver of the report that the shard is drained; `None` before the drain and after the report.
    drained: Option<mpsc::Sender<(usize, DrainCounts)>>,
    stopping: bool,
    /// Time of the last search for idle connections that found none.
    last_idle_search: Option<Instant>,
    /// Number of turns in a row in which due timers were postponed.
    postponed: u32,
}

impl<E: Engine<Connections>> Shard<E> {
    pub(crate) fn new(engine: E, env: Env, local: Local) -> Self {
        Self {
            engine,
            connections: Connections::new(env),
            woken: WakeQueue::new(local.now()),
            local,
            drained: None,
            stopping: false,
            last_idle_search: None,
            postponed: 0,
        }
    }

    fn reply(&mut self, id: ConnId, seq: u32, outcome: Outcome) {
        self.engine
            .visit(&mut self.connections, id, |connections, conn| connections.reply(conn, seq, outcome));
    }

    fn drain(&mut self, report_to: mpsc::Sender<(usize, DrainCounts)>) {
        self.drained = Some(report_to);
        self.connections.start_drain();
        self.engine.stop_accepting(&mut self.connections);
        self.engine.visit_all(&mut self.connections, |connections, _, conn| connections.drain(conn));
    }

    /// Passes on the replies of this shard's tasks.
    fn take_local_replies(&mut self) {
        for (id, seq, outcome) in self.connections.take_local_replies() {
            self.reply(id, seq, outcome);
        }
    }

    /// Visits a slice of the woken connections.
    fn visit_woken(&mut self) {
        let mut slice = self.woken.slice(self.local.now());
        while let Some((id, reason)) = self.woken.next(&mut slice) {
            self.engine.visit(&mut self.connections, id, |connections, conn| match reason {
                Reason::Outlet => connections.deliver(conn),
                Reason::Wake => connections.woken(conn),
            });
        }
    }

    /// Near the connection limit, closes the connections that have been idle for longest, and then those
    /// that have sent no complete request head for some time. Connections that are closing already count as
    /// closed.
    fn make_room(&mut self) -> io::Result<()> {
        let now = self.local.now();
        let is_too_soon =
            self.last_idle_search.is_some_and(|at| now.saturating_duration_since(at) < SEARCH_INTERVAL);
        let excess = if is_too_soon { 0 } else { self.connections.excess() };
        if excess == 0 {
            return Ok(());
        }
        let silent_before = self.connections.silent_before();
        let (mut spare, mut leaving) = (Vec::new(), 0);
        self.engine.inspect_all(|id, conn| match conn.spare() {
            Some(Spare::Silent(since)) if Some(since) > silent_before => {}
            Some(reason) => spare.push((reason, id)),
            None => leaving += usize::from(conn.ending() != Ending::Open),
        });
        let many = excess.saturating_sub(leaving).min(spare.len());
        if many < spare.len() {
            spare.select_nth_unstable(many);
        }
        self.last_idle_search = (many == 0).then_some(now);
        for &(_, id) in &spare[..many] {
            // A request may have come that no event has announced yet.
            if !self.engine.catch_up(&mut self.connections, id)? {
                return Ok(());
            }
            self.engine.visit(&mut self.connections, id, |connections, conn| connections.evict(conn));
        }
        Ok(())
    }

    /// Drops TLS handshakes that make room for others, then starts waiting ones while this turn of the event
    /// loop has time for them.
    fn start_handshakes(&mut self) {
        while let Some(id) = self.connections.next_dropped_handshake() {
            self.engine
                .visit(&mut self.connections, id, |connections, conn| connections.drop_handshake(conn));
        }
        while let Some(id) = self.connections.next_handshake() {
            self.engine
                .visit(&mut self.connections, id, |connections, conn| connections.start_handshake(conn));
        }
    }

    /// Checks the timers that are due. What came in time is handled before: bytes of peers, replies of
    /// workers, wakes. So no peer is found late for what only this shard has not read yet.
    fn visit_due(&mut self) -> io::Result<()> {
        let has_due = self.connections.has_due();
        if !has_due || (self.has_waiting_work() && self.postponed < MAX_POSTPONED) {
            self.postponed = if has_due { self.postponed + 1 } else { 0 };
            return Ok(());
        }
        self.postponed = 0;
        for _ in 0..TIMERS_PER_TURN {
            let Some(id) = self.connections.next_due() else { return Ok(()) };
            let mut has_expired = false;
            self.engine.visit(&mut self.connections, id, |connections, conn| {
                has_expired = connections.has_expired(conn);
            });
            if has_expired && !self.engine.catch_up(&mut self.connections, id)? {
                self.connections.put_back_due(id);
                return Ok(());
            }
            self.engine.visit(&mut self.connections, id, |connections, conn| connections.check_timers(conn));
        }
        Ok(())
    }

    /// Returns `true` if work from this process waits for the connections: messages, wakes, replies of tasks.
    fn has_waiting_work(&self) -> bool {
        self.local.has_work() || !self.woken.is_empty() || self.connections.has_local_replies()
    }

    /// Sends the report of the drain, once, when no connection is left or on its way.
    fn report_drained(&mut self) {
        if self.drained.is_some()
            && self.engine.is_idle()
            && !self.connections.expects_handover()
            && let Some(report_to) = self.drained.take()
        {
            // The receiver may have given up waiting.
            let _ = report_to.send((self.local.shard(), self.connections.drain_counts()));
        }
    }
}

impl<E: Engine<Connections>> Driver for Shard<E> {
    type Msg = Msg;

    fn turn(&mut self, wait: Wait) -> io::Result<()> {
        self.take_local_replies();
        self.visit_woken();
        self.connections.end_work();
        self.engine.turn(&mut self.connections, wait)?;
        self.local.set_backlog(self.engine.starved_for());
        self.woken.update_arrivals(self.connections.arrivals(), self.local.now());
        self.make_room()?;
        self.start_handshakes();
        self.visit_due()?;
        self.report_drained();
        Ok(())
    }

    fn message(&mut self, message: Msg) {
        match message {
            Msg::Listen(sockets) => {
                for socket in sockets {
                    if let Err(error) = self.engine.listen(socket) {
                        let shard = self.local.shard();
                        tracing::error!(%error, shard, "listen failed, not accepting on this socket");
                    }
                }
            }
            Msg::Adopt { fd, listener } => self.engine.adopt(fd, listener),
            Msg::Reply { id, seq, outcome } => {
                self.connections.count_pool_reply();
                self.reply(id, seq, outcome);
            }
            Msg::Drain(report_to) => self.drain(report_to),
            #[cfg(test)]
            Msg::Panic => panic!("deliberate panic of the test"),
            Msg::Cut => {
                // The counts must not depend on whether Drain or Cut comes first.
                self.connections.start_drain();
                self.engine.visit_all(&mut self.connections, |connections, _, conn| connections.cut(conn));
            }
        }
    }

    fn woken(&mut self, token: u64) {
        self.woken.push(ConnId::from_token(token), Reason::Wake);
    }

    fn filled(&mut self, token: u64, label: u32) {
        let id = ConnId::from_token(token);
        self.woken.push(id, Reason::Outlet);
        if label != ONLY_STREAM {
            self.engine.visit(&mut self.connections, id, |_, conn| Connections::filled(conn, label));
        }
    }

    fn pending(&self) -> bool {
        self.engine.pending()
            || !self.woken.is_empty()
            || self.connections.has_local_replies()
            || self.connections.has_waiting_handshakes()
    }

    fn deadline(&self) -> Option<Instant> {
        self.connections.deadline()
    }

    fn stop(&mut self) {
        self.stopping = true;
        self.engine.abort_all(&mut self.connections);
    }

    fn stopped(&self) -> bool {
        self.stopping && self.engine.is_idle()
    }
}
