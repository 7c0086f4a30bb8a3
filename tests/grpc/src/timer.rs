//! Waiting, wherever a call runs: on a shard or on the pool. A reply's producer may be asked for on either.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use tokio::sync::oneshot;
use windlass::actors::{Local, TaskHandle};

use crate::wire::{Code, Status};

/// Ends at an instant. Unlike a shard's own sleep it is `Send`, as a reply's source must be.
///
/// # Cancel safety
///
/// Dropping it ends the wait.
#[derive(Debug)]
pub struct Timer(Kind);

#[derive(Debug)]
enum Kind {
    Pool(Pin<Box<tokio::time::Sleep>>),
    Shard(oneshot::Receiver<()>, TaskHandle),
}

impl Timer {
    /// Starts to wait, on the thread that will poll.
    ///
    /// # Panics
    ///
    /// On a thread that is neither a shard's nor of a tokio runtime.
    pub fn until(at: Instant) -> Self {
        let Some(local) = Local::current() else {
            return Self(Kind::Pool(Box::pin(tokio::time::sleep_until(at.into()))));
        };
        let (ring, rung) = oneshot::channel();
        let sleep = local.sleep_until(at);
        let guest = local.spawn(async move {
            sleep.await;
            // Nobody waits any more: that is fine.
            let _ = ring.send(());
        });
        Self(Kind::Shard(rung, guest))
    }

    /// Starts to wait so long; as [`until`](Self::until).
    ///
    /// # Panics
    ///
    /// As [`until`](Self::until).
    pub fn after(wait: Duration) -> Self {
        Self::until(Instant::now() + wait)
    }
}

impl Future for Timer {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.0 {
            Kind::Pool(sleep) => sleep.as_mut().poll(cx),
            // Dropped unsent: the shard ends, and so does every wait on it.
            Kind::Shard(rung, _) => Pin::new(rung).poll(cx).map(drop),
        }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        if let Kind::Shard(_, guest) = &self.0 {
            guest.cancel();
        }
    }
}

/// Runs a call until its deadline, if it has one.
///
/// # Errors
///
/// The call's own, or `DEADLINE_EXCEEDED`: then it was dropped where it stood.
pub async fn within<T>(
    deadline: Option<Instant>,
    call: impl Future<Output = Result<T, Status>>,
) -> Result<T, Status> {
    let Some(at) = deadline else { return call.await };
    let (mut call, mut late) = (pin!(call), None);
    poll_fn(|cx| match call.as_mut().poll(cx) {
        Poll::Ready(result) => Poll::Ready(result),
        // Most calls are done by now: only those that wait need a timer.
        Poll::Pending => {
            let late = late.get_or_insert_with(|| Timer::until(at));
            Pin::new(late).poll(cx).map(|()| Err(Status::new(Code::DEADLINE_EXCEEDED, "the call is late")))
        }
    })
    .await
}
