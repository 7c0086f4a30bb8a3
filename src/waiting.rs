//! Time limits and ticks for async handlers: inline, on a worker of the pool, and in an event stream.
//!
//! They use the timers of the shard or of the tokio runtime that polls them. A plain `fn` on a blocking
//! thread of the pool cannot await them and uses `std::thread::sleep`.

use std::{
    error::Error,
    fmt,
    future::{Future, poll_fn},
    pin::pin,
    task::Poll,
    time::{Duration, Instant},
};

use windlass_actors::{clock, sleep, sleep_until};

/// The error of [`timeout`]: the time limit has passed and the future was not ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed(());

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the time limit has passed")
    }
}

impl Error for Elapsed {}

/// Waits for a future, for at most `limit`, and returns its output.
///
/// ```
/// use std::time::Duration;
/// use windlass::{HandlerError, Request, get, timeout};
///
/// async fn whole(mut request: Request) -> Result<String, HandlerError> {
///     let body = timeout(Duration::from_secs(5), request.whole_body()).await??;
///     Ok(format!("{} bytes", body.len()))
/// }
/// let route = get("/", whole).streamed();
/// ```
///
/// # Errors
///
/// [`Elapsed`] if the time limit passes first. A future that is ready when it is polled wins, even if the
/// limit has passed.
///
/// # Panics
///
/// As [`sleep`](crate::sleep()).
///
/// # Cancel safety
///
/// Dropping the future, or the end of the time, drops the inner future at its current `await`.
pub async fn timeout<F: Future>(limit: Duration, future: F) -> Result<F::Output, Elapsed> {
    let mut future = pin!(future);
    let mut limit = pin!(sleep(limit));
    poll_fn(|cx| {
        if let Poll::Ready(output) = future.as_mut().poll(cx) {
            return Poll::Ready(Ok(output));
        }
        limit.as_mut().poll(cx).map(|()| Err(Elapsed(())))
    })
    .await
}

/// A source of ticks at a fixed rate. Created by [`interval`].
#[derive(Debug)]
pub struct Interval {
    next: Instant,
    period: Duration,
}

/// Creates ticks, the first one at once and then one each `period`.
///
/// Ticks that the caller did not wait for in time are skipped: the next one is the next multiple of the
/// period.
///
/// ```
/// use std::time::Duration;
/// use windlass::{broker::Event, event_stream, interval};
///
/// let route = event_stream("/ticks", async |_, events| {
///     let mut ticks = interval(Duration::from_secs(1));
///     for count in 0.. {
///         ticks.tick().await;
///         if events.send(Event::new(format!("tick {count}"))).await.is_err() {
///             break;
///         }
///     }
/// });
/// ```
///
/// # Panics
///
/// The period is zero.
pub fn interval(period: Duration) -> Interval {
    assert!(!period.is_zero(), "the period of an interval must not be zero");
    Interval { next: clock::now(), period }
}

impl Interval {
    /// Waits for the next tick and returns the instant at which it was due.
    ///
    /// # Panics
    ///
    /// As [`sleep`](crate::sleep()).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no tick.
    pub async fn tick(&mut self) -> Instant {
        let due = self.next;
        sleep_until(due).await;
        let late = clock::now().saturating_duration_since(due);
        let missed = late.as_nanos() / self.period.as_nanos();
        let steps = u32::try_from(missed + 1).unwrap_or(u32::MAX);
        self.next = clock::instant_after(due, self.period.saturating_mul(steps));
        due
    }
}
