//! Timers of one connection, and deadlines of one shard's connections.
//!
//! Each connection has a table of timers. The shard has one entry for each slot: the time at which to check
//! the table of the slot's connection. To postpone a timer costs nothing: the entry keeps its time, and the
//! check then sets it to the table's earliest timer. An entry outlives its connection and serves the next one
//! in the slot, so there are never more entries than slots.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use crate::net::ConnId;

/// Events that a connection waits for with a time limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timer {
    /// Rest of a request head.
    Header,
    /// More of a request body.
    Body,
    /// Next request.
    Idle,
    /// Progress in sending.
    Write,
    /// Next bytes of a streamed reply, from its producer.
    Stream,
    /// Reply of a job that runs in the pool.
    Job,
    /// FIN of the peer.
    Linger,
    /// Event that the protocol times by itself.
    Own,
    /// End of a TLS handshake.
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

    /// Returns the timer's metric label.
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

/// Timers of one connection.
#[derive(Debug, Default)]
pub(super) struct Timers {
    /// Time at which each timer expires; `None` if it does not run.
    at: [Option<Instant>; Timer::ALL.len()],
    /// Start of the wait for the next request, whether that has a time limit or not.
    idle_since: Option<Instant>,
    /// Time at which the shard checks these timers, as far as this table knows.
    checked_at: Option<Instant>,
    /// A timer may expire before that time, so the shard's entry must be updated.
    needs_schedule: bool,
}

impl Timers {
    /// Starts or restarts a timer that expires `after` from `now`. `None` clears it: there is no time limit.
    pub(super) fn set(&mut self, timer: Timer, now: Instant, after: Option<Duration>) {
        self.set_at(timer, after.and_then(|after| now.checked_add(after)));
    }

    /// Starts or restarts the idle timer of a connection that has been idle since `since`. `None` leaves it
    /// without time limit.
    pub(super) fn set_idle(&mut self, since: Instant, after: Option<Duration>) {
        self.set(Timer::Idle, since, after);
        self.idle_since = Some(since);
    }

    /// Returns the time since which the connection has been idle; `None` if it is not.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        self.idle_since
    }

    /// Starts a timer. A timer that runs already is not changed.
    pub(super) fn start(&mut self, timer: Timer, now: Instant, after: Option<Duration>) {
        if self.at[timer as usize].is_none() {
            self.set(timer, now, after);
        }
    }

    /// Starts a timer that expires at this time. A timer that runs already is not changed.
    pub(super) fn start_at(&mut self, timer: Timer, at: Option<Instant>) {
        if self.at[timer as usize].is_none() {
            self.set_at(timer, at);
        }
    }

    pub(super) fn is_running(&self, timer: Timer) -> bool {
        self.at[timer as usize].is_some()
    }

    /// Starts or restarts a timer that expires at this time. `None` clears it.
    pub(super) fn set_at(&mut self, timer: Timer, at: Option<Instant>) {
        self.at[timer as usize] = at;
        self.needs_schedule |= at.is_some() && self.checked_at.is_none_or(|checked_at| at < Some(checked_at));
    }

    /// Makes a timer expire at this time, unless it expires before. A timer that does not run is started.
    pub(super) fn hasten(&mut self, timer: Timer, at: Option<Instant>) {
        let earliest = self.at[timer as usize].into_iter().chain(at).min();
        self.set_at(timer, earliest);
    }

    pub(super) fn clear(&mut self, timer: Timer) {
        self.at[timer as usize] = None;
        if timer == Timer::Idle {
            self.idle_since = None;
        }
    }

    /// Clears all timers but those that a closing connection still needs: sending its last bytes, and waiting
    /// for the peer's FIN.
    pub(super) fn clear_requests(&mut self) {
        for timer in
            [Timer::Header, Timer::Body, Timer::Idle, Timer::Stream, Timer::Job, Timer::Own, Timer::Handshake]
        {
            self.clear(timer);
        }
    }

    /// Returns `true` if a timer has expired.
    pub(super) fn has_expired(&self, now: Instant) -> bool {
        self.earliest().is_some_and(|at| at <= now)
    }

    /// Returns one timer that has expired, if any. Called when the shard's entry was removed because it was
    /// due, so that the next [`schedule`](Deadlines::schedule) makes a new one.
    pub(super) fn expired(&mut self, now: Instant) -> Option<Timer> {
        (self.checked_at, self.needs_schedule) = (None, true);
        Timer::ALL.into_iter().find(|timer| self.at[*timer as usize].is_some_and(|at| at <= now))
    }

    fn earliest(&self) -> Option<Instant> {
        self.at.iter().flatten().min().copied()
    }
}

/// Time at which to check the timers of a slot's connection.
#[derive(Clone, Copy, Debug)]
struct Entry {
    /// Time with which the slot is in [`Deadlines::set`]; `None` if it is not.
    at: Option<Instant>,
    id: ConnId,
}

/// Deadlines of a shard's connections.
#[derive(Debug, Default)]
pub(super) struct Deadlines {
    /// Times and slots, earliest first.
    set: BTreeSet<(Instant, u32)>,
    slots: Vec<Entry>,
}

impl Deadlines {
    /// Makes sure that the connection's timers are checked no later than the earliest one expires. If no
    /// timer runs, an existing entry stays.
    pub(super) fn schedule(&mut self, id: ConnId, timers: &mut Timers) {
        // The usual case: timers were only cleared or postponed.
        if !std::mem::take(&mut timers.needs_schedule) {
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
        timers.checked_at = entry.at;
    }

    /// Returns the earliest time at which a connection's timers are to be checked.
    pub(super) fn next(&self) -> Option<Instant> {
        self.set.first().map(|(at, _)| *at)
    }

    /// Removes and returns the next connection whose timers are to be checked by `now`. The connection may be
    /// gone.
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

    /// Returns `true` if [`pop`](Self::pop) has a connection to return.
    pub(super) fn has_due(&self, now: Instant) -> bool {
        self.next().is_some_and(|at| at <= now)
    }

    /// Makes [`pop`](Self::pop) return this connection once more, at `now` or later.
    pub(super) fn put_back(&mut self, id: ConnId, now: Instant) {
        let entry = &mut self.slots[id.slot as usize];
        if let Some(later) = entry.at.replace(now) {
            self.set.remove(&(later, id.slot));
        }
        self.set.insert((now, id.slot));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: ConnId = ConnId { slot: 3, generation: 1 };

    #[test]
    fn a_postponed_timer_needs_no_entry_of_its_own() {
        let (mut deadlines, mut timers) = (Deadlines::default(), Timers::default());
        let start = Instant::now();
        for second in 0..100 {
            let now = start + Duration::from_secs(second);
            timers.set(Timer::Idle, now, Some(Duration::from_secs(60)));
            deadlines.schedule(ID, &mut timers);
        }
        assert_eq!(deadlines.set.len(), 1);
        let id = deadlines.pop(start + Duration::from_secs(100)).unwrap();
        assert_eq!((id, timers.expired(start + Duration::from_secs(100))), (ID, None));
        deadlines.schedule(id, &mut timers);
        assert_eq!(deadlines.next(), Some(start + Duration::from_secs(159)));
    }

    #[test]
    fn an_earlier_timer_moves_the_deadline() {
        let (mut deadlines, mut timers) = (Deadlines::default(), Timers::default());
        let start = Instant::now();
        timers.set(Timer::Idle, start, Some(Duration::from_secs(60)));
        deadlines.schedule(ID, &mut timers);
        timers.set(Timer::Header, start, Some(Duration::from_secs(10)));
        deadlines.schedule(ID, &mut timers);
        assert_eq!(deadlines.next(), Some(start + Duration::from_secs(10)));
        assert_eq!(timers.expired(start + Duration::from_secs(10)), Some(Timer::Header));
    }

    #[test]
    fn a_timer_set_after_a_check_is_scheduled() {
        let (mut deadlines, mut timers) = (Deadlines::default(), Timers::default());
        let start = Instant::now();
        timers.set(Timer::Idle, start, Some(Duration::from_secs(60)));
        deadlines.schedule(ID, &mut timers);
        assert_eq!(deadlines.pop(start + Duration::from_secs(60)), Some(ID));
        assert_eq!(timers.expired(start + Duration::from_secs(60)), Some(Timer::Idle));
        timers.clear(Timer::Idle);
        deadlines.schedule(ID, &mut timers);
        assert_eq!(deadlines.next(), None);
        timers.set(Timer::Idle, start, Some(Duration::from_secs(90)));
        deadlines.schedule(ID, &mut timers);
        assert_eq!(deadlines.next(), Some(start + Duration::from_secs(90)));
    }

    #[test]
    fn short_lived_connections_leave_one_entry_per_slot() {
        let mut deadlines = Deadlines::default();
        let start = Instant::now();
        for generation in 0..1000 {
            let now = start + Duration::from_millis(u64::from(generation));
            let mut timers = Timers::default();
            timers.set(Timer::Idle, now, Some(Duration::from_secs(60)));
            deadlines.schedule(ConnId { slot: 3, generation }, &mut timers);
            timers.set(Timer::Job, now, Some(Duration::from_millis(100)));
            deadlines.schedule(ConnId { slot: 3, generation }, &mut timers);
        }
        assert_eq!(deadlines.set.len(), 1);
        assert_eq!(deadlines.pop(start + Duration::from_secs(1)), Some(ConnId { slot: 3, generation: 999 }));
        assert_eq!(deadlines.next(), None);
    }

    #[test]
    fn start_leaves_a_running_timer_alone() {
        let mut timers = Timers::default();
        let start = Instant::now();
        timers.start(Timer::Header, start, Some(Duration::from_secs(10)));
        timers.start(Timer::Header, start + Duration::from_secs(5), Some(Duration::from_secs(10)));
        assert_eq!(timers.expired(start + Duration::from_secs(10)), Some(Timer::Header));
        timers.clear(Timer::Header);
        assert_eq!(timers.expired(start + Duration::from_secs(60)), None);
    }
}
