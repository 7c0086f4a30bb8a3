//! Comments on silent streams.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker, ready},
    time::{Duration, Instant},
};

use windlass_actors::{Deadline, Local};

/// Says when a stream was silent for so long that a comment is due. Polled on a shard.
pub(crate) struct Heartbeat {
    interval: Option<Duration>,
    /// When something was sent last.
    sent: Instant,
    /// Something was sent since nothing was there last.
    fresh: bool,
    deadline: Option<(Instant, Deadline)>,
    /// Whom the deadline wakes.
    waiter: Option<Waker>,
}

impl Heartbeat {
    /// Makes one that is due after each `interval` of silence; `None` and zero: never.
    pub(crate) fn new(interval: Option<Duration>) -> Self {
        let interval = interval.filter(|interval| !interval.is_zero());
        Self { interval, sent: Instant::now(), fresh: true, deadline: None, waiter: None }
    }

    /// Notes that something is sent. The shard's time, by which its timers fire, costs less than a look at the clock.
    pub(crate) fn note_sent(&mut self) {
        let now = Local::current().map_or_else(Instant::now, |local| local.now());
        (self.sent, self.fresh) = (now, true);
    }

    /// Says, right behind what was noted as sent, that polling would find nothing due and that the timer, if there is one,
    /// wakes whoever polls.
    pub(crate) fn rests(&mut self, cx: &Context<'_>) -> bool {
        let rests = self.interval.is_none() || self.runs(cx);
        self.fresh &= !rests;
        rests
    }

    /// Says that the timer wakes this waker and was not due when something was sent last.
    fn runs(&self, cx: &Context<'_>) -> bool {
        let waits = self.waiter.as_ref().is_some_and(|waiter| waiter.will_wake(cx.waker()));
        waits && self.deadline.as_ref().is_some_and(|(due, _)| self.sent < *due)
    }

    /// Waits until a comment is due.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(interval) = self.interval else { return Poll::Pending };
        if std::mem::take(&mut self.fresh) && self.runs(cx) {
            // Right behind an event, with a timer that was not due then, there is no need to read the clock.
            return Poll::Pending;
        }
        self.waiter = Some(cx.waker().clone());
        loop {
            let Some((_, deadline)) = &mut self.deadline else {
                let due = self.sent + interval;
                let Some(deadline) = Local::current().map(|local| local.deadline(due)) else { return Poll::Pending };
                self.deadline = Some((due, deadline));
                continue;
            };
            ready!(Pin::new(deadline).poll(cx));
            self.deadline = None;
            if self.sent.elapsed() >= interval {
                self.sent = Instant::now();
                return Poll::Ready(());
            }
        }
    }
}
