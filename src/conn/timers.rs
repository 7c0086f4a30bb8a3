//! The timers of one connection, and the deadlines of one shard's connections.
//!
//! Each connection has a table of timers; the shard has one heap. A connection is in the heap at most once for
//! every earlier deadline it ever had: moving a timer back costs nothing, the entry is looked at when it comes up
//! and put back for what the table says by then.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
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
}

impl Timer {
    pub(super) const ALL: [Self; 7] =
        [Self::Header, Self::Body, Self::Idle, Self::Write, Self::Stream, Self::Job, Self::Linger];

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
        }
    }
}

/// One connection's timers.
#[derive(Debug, Default)]
pub(super) struct Timers {
    at: [Option<Instant>; Timer::ALL.len()],
    /// When the shard's heap will look at this connection.
    scheduled: Option<Instant>,
}

impl Timers {
    /// Starts a timer anew; `None` for a timeout that is switched off.
    pub(super) fn set(&mut self, timer: Timer, now: Instant, after: Option<Duration>) {
        self.at[timer as usize] = after.and_then(|after| now.checked_add(after));
    }

    /// Starts a timer unless it runs.
    pub(super) fn start(&mut self, timer: Timer, now: Instant, after: Option<Duration>) {
        if self.at[timer as usize].is_none() {
            self.set(timer, now, after);
        }
    }

    /// Sets when a timer is due.
    pub(super) fn set_at(&mut self, timer: Timer, at: Option<Instant>) {
        self.at[timer as usize] = at;
    }

    pub(super) fn clear(&mut self, timer: Timer) {
        self.at[timer as usize] = None;
    }

    /// Returns a timer that is due.
    pub(super) fn due(&self, now: Instant) -> Option<Timer> {
        Timer::ALL.into_iter().find(|timer| self.at[*timer as usize].is_some_and(|at| at <= now))
    }

    fn earliest(&self) -> Option<Instant> {
        self.at.iter().flatten().min().copied()
    }
}

/// The deadlines of a shard's connections, earliest first.
#[derive(Debug, Default)]
pub(super) struct Deadlines {
    heap: BinaryHeap<Reverse<(Instant, ConnId)>>,
}

impl Deadlines {
    /// Makes sure that the connection is looked at when its earliest timer is due.
    pub(super) fn schedule(&mut self, id: ConnId, timers: &mut Timers) {
        let Some(earliest) = timers.earliest() else { return };
        if timers.scheduled.is_none_or(|scheduled| earliest < scheduled) {
            timers.scheduled = Some(earliest);
            self.heap.push(Reverse((earliest, id)));
        }
    }

    /// Returns when the first connection has to be looked at.
    pub(super) fn next(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }

    /// Takes the next connection to look at; the caller tells it with [`looked_at`](Self::looked_at).
    pub(super) fn pop(&mut self, now: Instant) -> Option<(Instant, ConnId)> {
        if self.next()? > now {
            return None;
        }
        self.heap.pop().map(|Reverse(entry)| entry)
    }

    /// Notes that the entry for `at` is out of the heap.
    pub(super) fn looked_at(timers: &mut Timers, at: Instant) {
        if timers.scheduled == Some(at) {
            timers.scheduled = None;
        }
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
        assert_eq!(due.heap.len(), 1);
        let (at, id) = due.pop(start + Duration::from_secs(100)).unwrap();
        Deadlines::looked_at(&mut timers, at);
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
