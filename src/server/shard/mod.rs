//! One shard of a server: an engine, its connections, and what they are told from outside.

mod woken;

use std::{
    io,
    sync::mpsc,
    time::{Duration, Instant},
};

use windlass_actors::{Driver, Local, Wait};

use woken::{Why, Woken};

use crate::{
    conn::{Connections, DrainCounts, Env, Msg, Outcome},
    net::{ConnId, Connection, Ending, Engine},
};

/// Timers looked at in one turn at most, so that a thousand that are due together do not hold the shard.
const TIMERS_PER_TURN: usize = 256;

/// After a look at all connections that found none to end, the next one follows so late: there may be very many.
const LOOKS_APART: Duration = Duration::from_millis(20);

/// The driver of one shard.
pub(crate) struct Shard<E> {
    engine: E,
    connections: Connections,
    local: Local,
    /// Connections woken and not looked at yet.
    woken: Woken,
    drained: Option<mpsc::Sender<(usize, DrainCounts)>>,
    stopping: bool,
    /// When it was looked in vain for idle connections to end.
    looked: Option<Instant>,
}

impl<E: Engine<Connections>> Shard<E> {
    pub(crate) fn new(engine: E, env: Env, local: Local) -> Self {
        Self {
            engine,
            connections: Connections::new(env),
            woken: Woken::new(local.now()),
            local,
            drained: None,
            stopping: false,
            looked: None,
        }
    }

    fn reply(&mut self, id: ConnId, seq: u32, outcome: Outcome) {
        self.engine
            .visit(&mut self.connections, id, |connections, conn| connections.reply(conn, seq, outcome));
    }

    fn drain(&mut self, told: mpsc::Sender<(usize, DrainCounts)>) {
        self.drained = Some(told);
        self.connections.start_drain();
        self.engine.stop_accepting(&mut self.connections);
        self.engine.visit_all(&mut self.connections, |connections, _, conn| connections.drain(conn));
    }

    /// Takes the replies of this shard's guests.
    fn take_local_replies(&mut self) {
        for (id, seq, outcome) in self.connections.take_local_replies() {
            self.reply(id, seq, outcome);
        }
    }

    /// Looks at a slice of the connections that were woken.
    fn look_at_woken(&mut self) {
        let mut slice = self.woken.slice(self.local.now());
        while let Some((id, why)) = self.woken.next(&mut slice) {
            self.engine.visit(&mut self.connections, id, |connections, conn| match why {
                Why::Tap => connections.filled(conn),
                Why::Wake => connections.woken(conn),
            });
        }
    }

    /// Near the connection limit ends the connections that have been idle for longest: as many as there are too many, less
    /// those that are on their way out.
    fn make_room(&mut self) {
        let now = self.local.now();
        let looks_again = self.looked.is_some_and(|at| now.saturating_duration_since(at) < LOOKS_APART);
        let excess = if looks_again { 0 } else { self.connections.excess() };
        if excess == 0 {
            return;
        }
        let (mut idle, mut leaving) = (Vec::new(), 0);
        self.engine.inspect_all(|id, conn| match conn.idle_since() {
            Some(since) => idle.push((since, id)),
            None => leaving += usize::from(conn.ending() != Ending::Open),
        });
        let many = excess.saturating_sub(leaving).min(idle.len());
        if many < idle.len() {
            idle.select_nth_unstable(many);
        }
        for &(_, id) in &idle[..many] {
            self.engine.visit(&mut self.connections, id, |connections, conn| connections.evict(conn));
        }
        self.looked = (many == 0).then_some(now);
    }

    /// Goes on with TLS handshakes that waited for a turn with time for them.
    fn take_handshakes(&mut self) {
        while let Some(id) = self.connections.next_handshake() {
            self.engine
                .visit(&mut self.connections, id, |connections, conn| connections.start_handshake(conn));
        }
    }

    fn look_at_timers(&mut self) {
        for _ in 0..TIMERS_PER_TURN {
            let Some(id) = self.connections.next_due() else { return };
            self.engine.visit(&mut self.connections, id, |connections, conn| connections.check_timers(conn));
        }
    }

    /// Tells who drains as soon as nothing is left.
    fn note_drained(&mut self) {
        if self.drained.is_some()
            && self.engine.is_idle()
            && !self.connections.expects_handover()
            && let Some(told) = self.drained.take()
        {
            // Who drains may have given up waiting.
            let _ = told.send((self.local.shard(), self.connections.drain_counts()));
        }
    }
}

impl<E: Engine<Connections>> Driver for Shard<E> {
    type Msg = Msg;

    fn turn(&mut self, wait: Wait) -> io::Result<()> {
        self.take_local_replies();
        self.look_at_woken();
        self.engine.turn(&mut self.connections, wait)?;
        self.woken.note_arrivals(self.connections.arrivals(), self.local.now());
        self.make_room();
        self.take_handshakes();
        self.look_at_timers();
        self.note_drained();
        Ok(())
    }

    fn message(&mut self, message: Msg) {
        match message {
            Msg::Listen(sockets) => {
                for socket in sockets {
                    if let Err(error) = self.engine.listen(socket) {
                        tracing::error!(%error, shard = self.local.shard(), "a shard cannot accept");
                    }
                }
            }
            Msg::Adopt { fd, listener } => self.engine.adopt(fd, listener),
            Msg::Reply { id, seq, outcome } => {
                self.connections.count_pool_reply();
                self.reply(id, seq, outcome);
            }
            Msg::Drain(told) => self.drain(told),
            Msg::Cut => {
                // Its count must not depend on which message came first.
                self.connections.start_drain();
                self.engine.visit_all(&mut self.connections, |connections, _, conn| connections.cut(conn));
            }
        }
    }

    fn woken(&mut self, token: u64) {
        self.woken.push(ConnId::from_token(token), Why::Wake);
    }

    fn filled(&mut self, token: u64) {
        self.woken.push(ConnId::from_token(token), Why::Tap);
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
