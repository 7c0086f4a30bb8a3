//! When each request is meant to be sent.

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

/// Arrivals that may wait for a free connection; the next one is an error.
const MAX_WAITING: usize = 1_000_000;

/// Hands out due times to whoever is free to send.
#[derive(Debug)]
pub(super) struct Gate {
    /// Arrivals a second; `None`: whoever is free asks at once.
    rate: Option<f64>,
    waiting: RefCell<VecDeque<Instant>>,
    /// A permit for each of `waiting`; closed when no more come.
    permits: Semaphore,
    is_over: Cell<bool>,
    /// Says that it is over.
    ended: Notify,
    /// Arrivals that found too many waiting.
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

    /// Lets arrivals in as they are due, until `end` or [`end`](Self::end); tells how late each was let in.
    ///
    /// # Errors
    ///
    /// The system gives no timer.
    pub(super) async fn run(&self, end: Instant, late: impl FnMut(Duration)) -> io::Result<()> {
        let timer = Timer::new()?;
        let mut over = pin!(self.over());
        let mut let_all_in = pin!(async {
            match self.rate {
                None => timer.until(end).await,
                Some(rate) => self.let_in_at(rate, end, &timer, late).await,
            }
        });
        let ran = poll_fn(|cx| match over.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Ok(())),
            Poll::Pending => let_all_in.as_mut().poll(cx),
        });
        let ran = ran.await;
        self.end();
        ran
    }

    async fn let_in_at(
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
                self.let_in(due);
            }
        }
        Ok(())
    }

    /// Waits until it is over.
    async fn over(&self) {
        while !self.is_over.get() {
            self.ended.notified().await;
        }
    }

    fn let_in(&self, due: Instant) {
        let mut waiting = self.waiting.borrow_mut();
        if waiting.len() < MAX_WAITING {
            waiting.push_back(due);
            self.permits.add_permits(1);
        } else {
            self.refused.set(self.refused.get() + 1);
        }
    }

    /// Lets nothing more in; what waits is still handed out.
    pub(super) fn end(&self) {
        self.is_over.set(true);
        self.permits.close();
        self.ended.notify_waiters();
    }

    /// Returns when the next request is due, once it is; `None` when there are no more.
    ///
    /// # Cancel safety
    ///
    /// Dropped while it waits, nothing is lost.
    pub(super) async fn next(&self) -> Option<Instant> {
        if self.rate.is_none() {
            return (!self.is_over.get()).then(Instant::now);
        }
        if let Ok(permit) = self.permits.acquire().await {
            permit.forget();
        }
        self.waiting.borrow_mut().pop_front()
    }

    /// Takes back a due time that was not made use of.
    #[cfg(feature = "http2")]
    pub(super) fn give_back(&self, due: Instant) {
        if self.rate.is_some() {
            self.waiting.borrow_mut().push_front(due);
            self.permits.add_permits(1);
        }
    }

    /// Says whether there are no more requests to be sent.
    #[cfg(any(feature = "http2", test))]
    pub(super) fn is_over(&self) -> bool {
        self.is_over.get() && self.waiting.borrow().is_empty()
    }

    /// Returns how many arrivals nobody ever took.
    pub(super) fn left(&self) -> u64 {
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
    fn an_open_loop_hands_out_as_many_as_were_due() {
        block_on(async {
            let gate = Gate::new(Some(1000.0));
            let end = Instant::now() + Duration::from_millis(100);
            let (mut late, mut taken) = (0, 0);
            gate.run(end, |_| late += 1).await.unwrap();
            assert!(!gate.is_over(), "what waits is still handed out");
            while gate.next().await.is_some() {
                taken += 1;
            }
            assert!((99..=100).contains(&taken) && taken == late, "{taken} {late}");
            assert!(gate.is_over());
        });
    }

    #[cfg(feature = "http2")]
    #[test]
    fn what_is_given_back_is_handed_out_first() {
        block_on(async {
            let gate = Gate::new(Some(1.0));
            let (first, second) = (Instant::now(), Instant::now() + Duration::from_secs(1));
            gate.let_in(first);
            gate.let_in(second);
            assert_eq!(gate.next().await, Some(first));
            gate.give_back(first);
            assert_eq!((gate.next().await, gate.left()), (Some(first), 1));
        });
    }

    #[test]
    fn whoever_ends_it_ends_it_at_once() {
        // Nothing is due, and nothing ends, for an hour.
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
                    tokio::time::timeout(Duration::from_secs(10), both).await.expect("it goes on");
                ran.unwrap();
                assert!(gate.is_over() || rate.is_some());
            });
        }
    }

    #[test]
    fn a_closed_loop_asks_at_once_until_it_ends() {
        block_on(async {
            let gate = Gate::new(None);
            assert!(gate.next().await.is_some());
            gate.end();
            assert!(gate.next().await.is_none() && gate.is_over());
        });
    }
}
