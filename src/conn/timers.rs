//! The timers of one connection, and the deadlines of one shard's connections.
//!
//! Each connection has a table of timers; the shard has one entry for each slot. Moving a timer back costs nothing:
//! the entry is looked at when it comes up and put back for what the table says by then. An entry outlives its
//! connection and serves the next one in the slot, so there are never more entries than slots, however fast
//! connections come and go.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use crate::net::ConnId;

/// What a connection may be waiting for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timer {
    /// The rest of a request's head.
    Header,
    /// More of a request's body.
    Body,
    /// The next request.
    Idle,
    /// The peer to take bytes.
    Write,
    /// A streamed reply's next bytes.
    Stream,
    /// A job of the pool.
    Job,
    /// The peer's FIN.
    Linger,
    /// Whatever the protocol keeps time of by itself.
    Own,
    /// The end of a TLS handshake.
    Handshake,
}

impl Timer {
    pub(super) const ALL: [Self; 9] = [
        Self::Header,
        Self::Body,
        Self::Idle,
        Self::Write,
        Self::Stream,
        Self::Job,
        Self::Linger,
        Self::Own,
        Self::Handshake,
    ];

    /// Returns the timer's name in metrics.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Header => "header",
            Self::Body => "body",
            Self::Idle => "keep_alive",
            Self::Write => "write_stall",
            Self::Stream => "stream_idle",
            Self::Job => "job",
            Self::Linger => "linger",
            Self::Own => "own",
            Self::Handshake => "tls_handshake",
        }
    }
}

/// One connection's timers.
#[derive(Debug, Default)]
pub(super) struct Timers {
    at: [Option<Instant>; Timer::ALL.len()],
    /// Since when the connection waits for its next request, whether that is timed or not.
    idle_since: Option<Instant>,
    /// When the connection will be looked at.
    looked_at: Option<Instant>,
    /// A timer is due before that, or was when it was set.
    is_early: bool,
}

impl Timers {
    /// Starts a timer anew; `None` for a timeout that is switched off.
    pub(super) fn set(&mut self, timer: Timer, now: Instant, after: Option<Duration>) {
        self.set_at(timer, after.and_then(|after| now.checked_add(after)));
    }

    /// Starts the wait for the next request of a connection that is idle since then.
    pub(super) fn set_idle(&mut self, since: Instant, after: Option<Duration>) {
        self.set(Timer::Idle, since, after);
        self.idle_since = Some(since);
    }

    /// Returns since when the connection is idle.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        self.idle_since
    }

    /// Starts a timer unless it runs.
    pub(super) fn start(&mut self, timer: Timer, now: Instant, after: Option<Duration>) {
        if self.at[timer as usize].is_none() {
            self.set(timer, now, after);
        }
    }

    pub(super) fn is_running(&self, timer: Timer) -> bool {
        self.at[timer as usize].is_some()
    }

    /// Sets when a timer is due.
    pub(super) fn set_at(&mut self, timer: Timer, at: Option<Instant>) {
        self.at[timer as usize] = at;
        self.is_early |= at.is_some() && self.looked_at.is_none_or(|looked_at| at < Some(looked_at));
    }

    pub(super) fn clear(&mut self, timer: Timer) {
        self.at[timer as usize] = None;
        if timer == Timer::Idle {
            self.idle_since = None;
        }
    }

    /// Clears what only an open connection waits for: its last bytes and its peer's FIN are still timed.
    pub(super) fn clear_requests(&mut self) {
        for timer in
            [Timer::Header, Timer::Body, Timer::Idle, Timer::Stream, Timer::Job, Timer::Own, Timer::Handshake]
        {
            self.clear(timer);
        }
    }

    /// Returns a timer that is due, now that the connection is looked at.
    pub(super) fn due(&mut self, now: Instant) -> Option<Timer> {
        (self.looked_at, self.is_early) = (None, true);
        Timer::ALL.into_iter().find(|timer| self.at[*timer as usize].is_some_and(|at| at <= now))
    }

    fn earliest(&self) -> Option<Instant> {
        self.at.iter().flatten().min().copied()
    }
}

/// When to look at one slot, and for whom.
#[derive(Clone, Copy, Debug)]
struct Entry {
    /// As in the set; `None`: not in the set.
    at: Option<Instant>,
    id: ConnId,
}

/// The deadlines of a shard's connections, earliest first.
#[derive(Debug, Default)]
pub(super) struct Deadlines {
    set: BTreeSet<(Instant, u32)>,
    slots: Vec<Entry>,
}

impl Deadlines {
    /// Makes sure that the connection is looked at when its earliest timer is due.
    pub(super) fn schedule(&mut self, id: ConnId, timers: &mut Timers) {
        // Most calls are by a connection that does again what it did before.
        if !std::mem::take(&mut timers.is_early) {
            return;
        }
        let Some(earliest) = timers.earliest() else { return };
        let slot = id.slot as usize;
        if slot >= self.slots.len() {
            self.slots.resize(slot + 1, Entry { at: None, id });
        }
        let entry = &mut self.slots[slot];
        entry.id = id;
        if entry.at.is_none_or(|at| earliest < at) {
            if let Some(later) = entry.at.replace(earliest) {
                self.set.remove(&(later, id.slot));
            }
            self.set.insert((earliest, id.slot));
        }
        timers.looked_at = entry.at;
    }

    /// Returns when the first connection has to be looked at.
    pub(super) fn next(&self) -> Option<Instant> {
        self.set.first().map(|(at, _)| *at)
    }

    /// Takes the next connection to look at; it may be gone.
    pub(super) fn pop(&mut self, now: Instant) -> Option<ConnId> {
        let (at, slot) = *self.set.first()?;
        if at > now {
            return None;
        }
        self.set.pop_first();
        let entry = &mut self.slots[slot as usize];
        entry.at = None;
        Some(entry.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: ConnId = ConnId { slot: 3, generation: 1 };

    #[test]
    fn moving_a_deadline_back_costs_no_entry_and_is_seen_when_it_comes_up() {
        let (mut due, mut timers) = (Deadlines::default(), Timers::default());
        let start = Instant::now();
        for second in 0..100 {
            let now = start + Duration::from_secs(second);
            timers.set(Timer::Idle, now, Some(Duration::from_secs(60)));
            due.schedule(ID, &mut timers);
        }
        assert_eq!(due.set.len(), 1);
        let id = due.pop(start + Duration::from_secs(100)).unwrap();
        assert_eq!((id, timers.due(start + Duration::from_secs(100))), (ID, None));
        due.schedule(id, &mut timers);
        assert_eq!(due.next(), Some(start + Duration::from_secs(159)));
    }

    #[test]
    fn an_earlier_deadline_is_looked_at_earlier() {
        let (mut due, mut timers) = (Deadlines::default(), Timers::default());
        let start = Instant::now();
        timers.set(Timer::Idle, start, Some(Duration::from_secs(60)));
        due.schedule(ID, &mut timers);
        timers.set(Timer::Header, start, Some(Duration::from_secs(10)));
        due.schedule(ID, &mut timers);
        assert_eq!(due.next(), Some(start + Duration::from_secs(10)));
        assert_eq!(timers.due(start + Duration::from_secs(10)), Some(Timer::Header));
    }

    #[test]
    fn a_timer_set_after_its_connection_was_looked_at_is_scheduled_anew() {
        let (mut due, mut timers) = (Deadlines::default(), Timers::default());
        let start = Instant::now();
        timers.set(Timer::Idle, start, Some(Duration::from_secs(60)));
        due.schedule(ID, &mut timers);
        assert_eq!(due.pop(start + Duration::from_secs(60)), Some(ID));
        assert_eq!(timers.due(start + Duration::from_secs(60)), Some(Timer::Idle));
        timers.clear(Timer::Idle);
        due.schedule(ID, &mut timers);
        assert_eq!(due.next(), None);
        timers.set(Timer::Idle, start, Some(Duration::from_secs(90)));
        due.schedule(ID, &mut timers);
        assert_eq!(due.next(), Some(start + Duration::from_secs(90)));
    }

    #[test]
    fn connections_that_come_and_go_leave_one_entry_a_slot() {
        let mut due = Deadlines::default();
        let start = Instant::now();
        for generation in 0..1000 {
            let now = start + Duration::from_millis(u64::from(generation));
            let mut timers = Timers::default();
            timers.set(Timer::Idle, now, Some(Duration::from_secs(60)));
            due.schedule(ConnId { slot: 3, generation }, &mut timers);
            timers.set(Timer::Job, now, Some(Duration::from_millis(100)));
            due.schedule(ConnId { slot: 3, generation }, &mut timers);
        }
        assert_eq!(due.set.len(), 1);
        assert_eq!(due.pop(start + Duration::from_secs(1)), Some(ConnId { slot: 3, generation: 999 }));
        assert_eq!(due.next(), None);
    }

    #[test]
    fn start_leaves_a_running_timer_alone() {
        let mut timers = Timers::default();
        let start = Instant::now();
        timers.start(Timer::Header, start, Some(Duration::from_secs(10)));
        timers.start(Timer::Header, start + Duration::from_secs(5), Some(Duration::from_secs(10)));
        assert_eq!(timers.due(start + Duration::from_secs(10)), Some(Timer::Header));
        timers.clear(Timer::Header);
        assert_eq!(timers.due(start + Duration::from_secs(60)), None);
    }
}
