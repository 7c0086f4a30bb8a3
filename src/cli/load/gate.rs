//! Schedule that hands out due times to the tasks that send requests.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    future::poll_fn,
    io,
    pin::pin,
    task::Poll,
    time::{Duration, Instant},
};

use tokio::sync::{Notify, Semaphore};

use super::timer::Timer;
use crate::client::pacing::Arrivals;

/// Maximum number of due times that wait for a free connection. Requests beyond it count as timeouts.
const MAX_WAITING: usize = 1_000_000;

/// Queue of due times. A task that is free to send takes the next one.
#[derive(Debug)]
pub(super) struct Gate {
    /// Requests per second (open loop). `None`: the next request is due at once (closed loop).
    rate: Option<f64>,
    waiting: RefCell<VecDeque<Instant>>,
    /// One permit for each due time in `waiting`. Closed at the end of the schedule.
    permits: Semaphore,
    is_over: Cell<bool>,
    /// Notifies of the end of the schedule.
    ended: Notify,
    /// Due times that found the queue full.
    refused: Cell<u64>,
}

impl Gate {
    pub(super) fn new(rate: Option<f64>) -> Self {
        Self {
            rate,
            waiting: RefCell::default(),
            permits: Semaphore::new(0),
            is_over: Cell::new(false),
            ended: Notify::new(),
            refused: Cell::new(0),
        }
    }

    /// Queues the due times until `end` or until [`end`](Self::end) is called, then ends the schedule. Calls
    /// `late` with the time by which each was queued too late. A closed loop has no due times to queue.
    ///
    /// # Errors
    ///
    /// The timer cannot be created or used.
    pub(super) async fn run(&self, end: Instant, late: impl FnMut(Duration)) -> io::Result<()> {
        let timer = Timer::new()?;
        let mut over = pin!(self.over());
        let mut schedule = pin!(async {
            match self.rate {
                None => timer.until(end).await,
                Some(rate) => self.queue_at(rate, end, &timer, late).await,
            }
        });
        let ran = poll_fn(|cx| match over.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Ok(())),
            Poll::Pending => schedule.as_mut().poll(cx),
        });
        let ran = ran.await;
        self.end();
        ran
    }

    async fn queue_at(
        &self,
        rate: f64,
        end: Instant,
        timer: &Timer,
        mut late: impl FnMut(Duration),
    ) -> io::Result<()> {
        let mut arrivals = Arrivals::new(Instant::now(), rate);
        while arrivals.next() < end {
            timer.until(arrivals.next()).await?;
            let now = Instant::now();
            while let Some(due) = arrivals.pop(now.min(end)) {
                late(now.saturating_duration_since(due));
                self.queue(due);
            }
        }
        Ok(())
    }

    /// Waits until the schedule has ended.
    async fn over(&self) {
        while !self.is_over.get() {
            self.ended.notified().await;
        }
    }

    fn queue(&self, due: Instant) {
        let mut waiting = self.waiting.borrow_mut();
        if waiting.len() < MAX_WAITING {
            waiting.push_back(due);
            self.permits.add_permits(1);
        } else {
            self.refused.set(self.refused.get() + 1);
        }
    }

    /// Ends the schedule. The queued due times are still handed out.
    pub(super) fn end(&self) {
        self.is_over.set(true);
        self.permits.close();
        self.ended.notify_waiters();
    }

    /// Waits until a request is due and returns its due time. Returns `None` at the end of the schedule, once
    /// every queued due time was returned.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no due time.
    pub(super) async fn next(&self) -> Option<Instant> {
        if self.rate.is_none() {
            return (!self.is_over.get()).then(Instant::now);
        }
        if let Ok(permit) = self.permits.acquire().await {
            permit.forget();
        }
        self.waiting.borrow_mut().pop_front()
    }

    /// Puts back a due time whose request was not sent, before the others. Does nothing in a closed loop.
    #[cfg(feature = "http2")]
    pub(super) fn give_back(&self, due: Instant) {
        if self.rate.is_some() {
            self.waiting.borrow_mut().push_front(due);
            self.permits.add_permits(1);
        }
    }

    /// Returns `true` if no more requests will be due.
    #[cfg(any(feature = "http2", test))]
    pub(super) fn is_over(&self) -> bool {
        self.is_over.get() && self.waiting.borrow().is_empty()
    }

    /// Returns the number of requests that were due and never sent.
    pub(super) fn unsent(&self) -> u64 {
        self.waiting.borrow().len() as u64 + self.refused.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
    }

    #[test]
    fn an_open_loop_hands_out_every_due_time() {
        block_on(async {
            let gate = Gate::new(Some(1000.0));
            let end = Instant::now() + Duration::from_millis(100);
            let (mut late, mut taken) = (0, 0);
            gate.run(end, |_| late += 1).await.unwrap();
            assert!(!gate.is_over(), "the queue is not empty");
            while gate.next().await.is_some() {
                taken += 1;
            }
            assert!((99..=100).contains(&taken) && taken == late, "{taken} {late}");
            assert!(gate.is_over());
        });
    }

    #[cfg(feature = "http2")]
    #[test]
    fn a_due_time_that_was_given_back_is_handed_out_first() {
        block_on(async {
            let gate = Gate::new(Some(1.0));
            let (first, second) = (Instant::now(), Instant::now() + Duration::from_secs(1));
            gate.queue(first);
            gate.queue(second);
            assert_eq!(gate.next().await, Some(first));
            gate.give_back(first);
            assert_eq!((gate.next().await, gate.unsent()), (Some(first), 1));
        });
    }

    #[test]
    fn ending_the_schedule_takes_effect_at_once() {
        // Nothing is due for an hour.
        for rate in [None, Some(0.001)] {
            block_on(async {
                let gate = Gate::new(rate);
                let hour = Duration::from_secs(3600);
                let run = gate.run(Instant::now() + hour, |_| ());
                let ended = async {
                    tokio::task::yield_now().await;
                    gate.end();
                };
                let both = async { tokio::join!(run, ended) };
                let (ran, ()) =
                    tokio::time::timeout(Duration::from_secs(10), both).await.expect("the schedule must end");
                ran.unwrap();
                assert!(gate.is_over() || rate.is_some());
            });
        }
    }

    #[test]
    fn requests_of_a_closed_loop_are_due_at_once_until_the_end() {
        block_on(async {
            let gate = Gate::new(None);
            assert!(gate.next().await.is_some());
            gate.end();
            assert!(gate.next().await.is_none() && gate.is_over());
        });
    }
}
