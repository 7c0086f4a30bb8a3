//! What an actor will tell itself, and when.

use std::{
    collections::BTreeMap,
    future::Future,
    pin::Pin,
    task::Context,
    time::{Duration, Instant},
};

use crate::{
    future::{Payload, contain},
    shard::{Local, Sleep},
    time::instant_after,
};

/// A shorter period counts as this: an actor that only ever hears its clock hears nothing else.
const PERIOD_MIN: Duration = Duration::from_millis(1);

/// Names a timer of an actor, to [cancel](crate::Context::cancel) it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimerId {
    at: Instant,
    serial: u64,
    is_interval: bool,
}

enum Entry<M> {
    Once(M),
    Every(Every<M>),
}

struct Every<M> {
    serial: u64,
    period: Duration,
    make: Box<dyn FnMut() -> M>,
}

/// The timers of one life of an actor.
pub(crate) struct Agenda<M> {
    entries: BTreeMap<(Instant, u64), Entry<M>>,
    /// Where each interval stands.
    intervals: BTreeMap<u64, Instant>,
    serial: u64,
    /// Wakes the actor for the earliest entry.
    sleep: Option<Sleep>,
}

impl<M> Agenda<M> {
    pub(crate) fn new() -> Self {
        Self { entries: BTreeMap::new(), intervals: BTreeMap::new(), serial: 0, sleep: None }
    }

    pub(crate) fn once(&mut self, at: Instant, message: M) -> TimerId {
        self.serial += 1;
        self.entries.insert((at, self.serial), Entry::Once(message));
        TimerId { at, serial: self.serial, is_interval: false }
    }

    pub(crate) fn every(&mut self, now: Instant, period: Duration, make: Box<dyn FnMut() -> M>) -> TimerId {
        self.serial += 1;
        let (serial, period) = (self.serial, period.max(PERIOD_MIN));
        let at = instant_after(now, period);
        self.intervals.insert(serial, at);
        self.entries.insert((at, serial), Entry::Every(Every { serial, period, make }));
        TimerId { at, serial, is_interval: true }
    }

    /// Takes a timer away. False: it has fired, or was taken away before.
    pub(crate) fn cancel(&mut self, timer: TimerId) -> bool {
        let at = if timer.is_interval { self.intervals.remove(&timer.serial) } else { Some(timer.at) };
        at.is_some_and(|at| self.entries.remove(&(at, timer.serial)).is_some())
    }

    pub(crate) fn clear(&mut self) {
        *self = Self { serial: self.serial, ..Self::new() };
    }

    /// Makes the message of an entry that is due.
    pub(crate) fn due(&mut self, now: Instant) -> Option<Result<M, Payload>> {
        let first = self.entries.first_entry().filter(|first| first.key().0 <= now)?;
        let at = first.key().0;
        match first.remove() {
            Entry::Once(message) => Some(Ok(message)),
            Entry::Every(mut every) => {
                let message = contain(&mut every.make);
                let next = next_tick(at, every.period, now);
                self.intervals.insert(every.serial, next);
                self.entries.insert((next, every.serial), Entry::Every(every));
                Some(message)
            }
        }
    }

    /// Has the task woken when the earliest entry is due.
    pub(crate) fn arm(&mut self, local: &Local, cx: &mut Context<'_>) {
        let Some(&(at, _)) = self.entries.first_key_value().map(|(key, _)| key) else {
            self.sleep = None;
            return;
        };
        if self.sleep.as_ref().is_none_or(|sleep| sleep.deadline() != at) {
            self.sleep = Some(local.sleep_until(at));
        }
        if let Some(sleep) = &mut self.sleep
            && Pin::new(sleep).poll(cx).is_ready()
        {
            // It became due in between; the shard's clock will say so in its next turn.
            self.sleep = None;
            cx.waker().wake_by_ref();
        }
    }
}

/// Returns the first tick after `now`: missed ones are not made up for, and the rhythm stays.
fn next_tick(at: Instant, period: Duration, now: Instant) -> Instant {
    let missed = now.saturating_duration_since(at).as_nanos() / period.as_nanos();
    match u32::try_from(missed + 1).ok().and_then(|ticks| period.checked_mul(ticks)) {
        Some(step) => instant_after(at, step),
        None => instant_after(now, period),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn entries_come_in_order_and_cancelled_ones_not_at_all() {
        let start = Instant::now();
        let mut agenda = Agenda::new();
        agenda.once(start + 2 * MS, 'b');
        agenda.once(start + MS, 'a');
        let gone = agenda.once(start + MS, 'x');
        assert!(agenda.cancel(gone) && !agenda.cancel(gone));
        assert!(agenda.due(start).is_none());
        let due: Vec<_> = std::iter::from_fn(|| agenda.due(start + 2 * MS)).map(|due| due.ok()).collect();
        assert_eq!(due, [Some('a'), Some('b')]);
    }

    #[test]
    fn an_interval_keeps_its_rhythm_skips_what_it_missed_and_can_be_cancelled() {
        let start = Instant::now();
        let mut agenda = Agenda::new();
        let timer = agenda.every(start, 10 * MS, Box::new(|| ()));
        assert!(agenda.due(start + 9 * MS).is_none());
        assert!(agenda.due(start + 35 * MS).is_some());
        assert!(agenda.due(start + 39 * MS).is_none(), "three ticks are one");
        assert!(agenda.due(start + 40 * MS).is_some());
        assert!(agenda.cancel(timer));
        assert!(agenda.due(start + 100 * MS).is_none());
    }

    #[test]
    fn a_period_of_zero_is_not_zero() {
        let start = Instant::now();
        let mut agenda = Agenda::new();
        agenda.every(start, Duration::ZERO, Box::new(|| ()));
        assert!(agenda.due(start).is_none());
        assert!(agenda.due(start + MS).is_some() && agenda.due(start + MS).is_none());
    }
}
