//! The timers of an actor: messages that it sends to itself later.

use std::{
    collections::BTreeMap,
    future::Future,
    pin::Pin,
    task::Context,
    time::{Duration, Instant},
};

use crate::{
    future::{PanicPayload, catch_panic},
    shard::{Local, Sleep},
    time::instant_after,
};

/// Shortest period of an interval. With a shorter one an actor could be busy with its timers alone.
const MIN_PERIOD: Duration = Duration::from_millis(1);

/// Id of a timer of an actor, for [`Context::cancel`](crate::Context::cancel).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimerId {
    deadline: Instant,
    serial: u64,
    is_interval: bool,
}

enum Entry<M> {
    Once(M),
    Interval(Interval<M>),
}

struct Interval<M> {
    serial: u64,
    period: Duration,
    make: Box<dyn FnMut() -> M>,
}

/// Timers of one run of an actor.
pub(crate) struct ActorTimers<M> {
    /// Entries by deadline and serial number.
    entries: BTreeMap<(Instant, u64), Entry<M>>,
    /// Next deadline of each interval, by serial number.
    intervals: BTreeMap<u64, Instant>,
    last_serial: u64,
    /// Sleep that wakes the actor for the earliest entry. `None` if nothing was armed.
    sleep: Option<Sleep>,
}

impl<M> ActorTimers<M> {
    /// Creates an empty set of timers.
    pub(crate) fn new() -> Self {
        Self { entries: BTreeMap::new(), intervals: BTreeMap::new(), last_serial: 0, sleep: None }
    }

    /// Adds a timer that fires once with `message`.
    pub(crate) fn add_once(&mut self, deadline: Instant, message: M) -> TimerId {
        self.last_serial += 1;
        self.entries.insert((deadline, self.last_serial), Entry::Once(message));
        TimerId { deadline, serial: self.last_serial, is_interval: false }
    }

    /// Adds a timer that fires after each `period`, at least [`MIN_PERIOD`], with the message that `make`
    /// returns.
    pub(crate) fn add_interval(
        &mut self,
        now: Instant,
        period: Duration,
        make: Box<dyn FnMut() -> M>,
    ) -> TimerId {
        self.last_serial += 1;
        let (serial, period) = (self.last_serial, period.max(MIN_PERIOD));
        let deadline = instant_after(now, period);
        self.intervals.insert(serial, deadline);
        self.entries.insert((deadline, serial), Entry::Interval(Interval { serial, period, make }));
        TimerId { deadline, serial, is_interval: true }
    }

    /// Removes a timer. Returns `false` if it was removed before, or has fired and is no interval.
    pub(crate) fn cancel(&mut self, timer: TimerId) -> bool {
        let deadline =
            if timer.is_interval { self.intervals.remove(&timer.serial) } else { Some(timer.deadline) };
        deadline.is_some_and(|deadline| self.entries.remove(&(deadline, timer.serial)).is_some())
    }

    /// Removes all timers. Their ids are not reused.
    pub(crate) fn clear(&mut self) {
        *self = Self { last_serial: self.last_serial, ..Self::new() };
    }

    /// Returns the message of the earliest timer if its deadline is not after `now`. An interval then waits
    /// for its next tick. A panic while making the message is returned as an error.
    pub(crate) fn pop_expired(&mut self, now: Instant) -> Option<Result<M, PanicPayload>> {
        let first = self.entries.first_entry().filter(|first| first.key().0 <= now)?;
        let deadline = first.key().0;
        match first.remove() {
            Entry::Once(message) => Some(Ok(message)),
            Entry::Interval(mut interval) => {
                let message = catch_panic(&mut interval.make);
                let next = next_tick(deadline, interval.period, now);
                self.intervals.insert(interval.serial, next);
                self.entries.insert((next, interval.serial), Entry::Interval(interval));
                Some(message)
            }
        }
    }

    /// Arranges a wake of the actor's task for the earliest timer, at once if that has expired.
    pub(crate) fn arm(&mut self, local: &Local, cx: &mut Context<'_>) {
        let Some(&(deadline, _)) = self.entries.first_key_value().map(|(key, _)| key) else {
            self.sleep = None;
            return;
        };
        if self.sleep.as_ref().is_none_or(|sleep| sleep.deadline() != deadline) {
            self.sleep = Some(local.sleep_until(deadline));
        }
        if let Some(sleep) = &mut self.sleep
            && Pin::new(sleep).poll(cx).is_ready()
        {
            // The deadline has passed since the shard read its clock. The next turn reads it again.
            self.sleep = None;
            cx.waker().wake_by_ref();
        }
    }
}

/// Returns the first tick of an interval after `now`. Missed ticks are skipped, and the others stay on the
/// original schedule.
fn next_tick(last: Instant, period: Duration, now: Instant) -> Instant {
    let missed = now.saturating_duration_since(last).as_nanos() / period.as_nanos();
    match u32::try_from(missed + 1).ok().and_then(|ticks| period.checked_mul(ticks)) {
        Some(step) => instant_after(last, step),
        None => instant_after(now, period),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn timers_fire_in_order_and_cancelled_ones_never() {
        let start = Instant::now();
        let mut timers = ActorTimers::new();
        timers.add_once(start + 2 * MS, 'b');
        timers.add_once(start + MS, 'a');
        let removed = timers.add_once(start + MS, 'x');
        assert!(timers.cancel(removed) && !timers.cancel(removed));
        assert!(timers.pop_expired(start).is_none());
        let expired: Vec<_> =
            std::iter::from_fn(|| timers.pop_expired(start + 2 * MS)).map(|message| message.ok()).collect();
        assert_eq!(expired, [Some('a'), Some('b')]);
    }

    #[test]
    fn an_interval_skips_missed_ticks_and_can_be_cancelled() {
        let start = Instant::now();
        let mut timers = ActorTimers::new();
        let timer = timers.add_interval(start, 10 * MS, Box::new(|| ()));
        assert!(timers.pop_expired(start + 9 * MS).is_none());
        assert!(timers.pop_expired(start + 35 * MS).is_some());
        assert!(timers.pop_expired(start + 39 * MS).is_none(), "three missed ticks fire once");
        assert!(timers.pop_expired(start + 40 * MS).is_some());
        assert!(timers.cancel(timer));
        assert!(timers.pop_expired(start + 100 * MS).is_none());
    }

    #[test]
    fn a_period_of_zero_becomes_a_millisecond() {
        let start = Instant::now();
        let mut timers = ActorTimers::new();
        timers.add_interval(start, Duration::ZERO, Box::new(|| ()));
        assert!(timers.pop_expired(start).is_none());
        assert!(timers.pop_expired(start + MS).is_some() && timers.pop_expired(start + MS).is_none());
    }
}
