//! Timers that work on a shard and on the pool. A response source may be polled on either.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use tokio::sync::oneshot;
use windlass::actors::{Local, TaskHandle};

use crate::wire::{Code, Status};

/// A future that completes at an instant. Unlike a shard's own sleep it is `Send`, as a response source must
/// be.
///
/// # Cancel safety
///
/// Dropping it cancels the timer.
#[derive(Debug)]
pub struct Timer(Kind);

#[derive(Debug)]
enum Kind {
    Pool(Pin<Box<tokio::time::Sleep>>),
    Shard(oneshot::Receiver<()>, TaskHandle),
}

impl Timer {
    /// Starts a timer on the current thread, which must also poll it.
    ///
    /// # Panics
    ///
    /// Panics on a thread that belongs neither to a shard nor to a tokio runtime.
    pub fn until(at: Instant) -> Self {
        let Some(local) = Local::current() else {
            return Self(Kind::Pool(Box::pin(tokio::time::sleep_until(at.into()))));
        };
        let (sender, receiver) = oneshot::channel();
        let sleep = local.sleep_until(at);
        let task = local.spawn(async move {
            sleep.await;
            // The receiver may already be dropped.
            let _ = sender.send(());
        });
        Self(Kind::Shard(receiver, task))
    }

    /// Starts a timer of this duration; see [`until`](Self::until).
    ///
    /// # Panics
    ///
    /// Like [`until`](Self::until).
    pub fn after(wait: Duration) -> Self {
        Self::until(Instant::now() + wait)
    }
}

impl Future for Timer {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.0 {
            Kind::Pool(sleep) => sleep.as_mut().poll(cx),
            // The sender is dropped without a message only if the shard ends, which ends the wait too.
            Kind::Shard(receiver, _) => Pin::new(receiver).poll(cx).map(drop),
        }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        if let Kind::Shard(_, task) = &self.0 {
            task.cancel();
        }
    }
}

/// Runs a call until its deadline, if it has one.
///
/// # Errors
///
/// The error of the call, or `DEADLINE_EXCEEDED`. In the latter case the call is dropped.
pub async fn with_deadline<T>(
    deadline: Option<Instant>,
    call: impl Future<Output = Result<T, Status>>,
) -> Result<T, Status> {
    let Some(at) = deadline else { return call.await };
    let (mut call, mut timer) = (pin!(call), None);
    poll_fn(|cx| match call.as_mut().poll(cx) {
        Poll::Ready(result) => Poll::Ready(result),
        // Most calls are complete on the first poll; only those that wait need a timer.
        Poll::Pending => {
            let timer = timer.get_or_insert_with(|| Timer::until(at));
            Pin::new(timer)
                .poll(cx)
                .map(|()| Err(Status::new(Code::DEADLINE_EXCEEDED, "the deadline has passed")))
        }
    })
    .await
}
