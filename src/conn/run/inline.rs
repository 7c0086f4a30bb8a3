//! Inline handlers: polled once by the connection, then, if they have to wait, by the shard.

use std::{
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Instant,
};

use windlass_actors::TaskHandle;

use super::{
    started::{RunningHandler, Started},
    watchdog::{self, Watchdog},
};
use crate::{
    conn::{
        env::Env,
        exchange::answers,
        message::{LocalReply, Outcome},
    },
    metrics::{RouteMetrics, ShardCounters},
    net::ConnId,
    request::Request,
    routing::handler::{Chain, HandlerOutput, ResponseFuture},
};

/// Calls a handler and polls its future once. If it is not ready by then it becomes a task of the shard.
pub(super) fn start(
    env: &mut Env,
    id: ConnId,
    seq: u32,
    route_metrics: &Arc<RouteMetrics>,
    chain: &Arc<Chain>,
    request: Request,
) -> Started {
    let began = env.read_clock();
    let called = catch_unwind(AssertUnwindSafe(|| match chain.call(request) {
        HandlerOutput::Ready(response) => Ok(response),
        // No wake-up is lost: the task is polled at once, with a waker of its own.
        HandlerOutput::Future(mut future) => {
            match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(response) => Ok(response),
                Poll::Pending => Err(future),
            }
        }
    }));
    let took = env.read_clock().saturating_duration_since(began);
    watchdog::check(env.timeouts.inline_stall, env.shard, route_metrics, took);
    match called {
        Ok(Ok(response)) => Started::Done(response.into()),
        Ok(Err(future)) => {
            let watchdog = Watchdog::new(env, route_metrics.clone());
            Started::Running(RunningHandler::Shard(spawn(env, id, seq, watchdog, future)))
        }
        Err(_) => {
            env.counters.panics.add("handler");
            Started::Done(answers::panicked())
        }
    }
}

fn spawn(env: &Env, id: ConnId, seq: u32, watchdog: Watchdog, future: ResponseFuture) -> TaskHandle {
    let replies = env.replies.clone();
    let counters = env.counters.clone();
    env.local.spawn(async move {
        let outcome = WaitingHandler { future, watchdog, counters }.await;
        replies.borrow_mut().push(LocalReply { id, seq, outcome });
    })
}

/// Inline handler that waits. Its polls are timed and its panics caught.
struct WaitingHandler {
    future: ResponseFuture,
    watchdog: Watchdog,
    counters: Arc<ShardCounters>,
}

impl Future for WaitingHandler {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        let began = Instant::now();
        let polled = catch_unwind(AssertUnwindSafe(|| self.future.as_mut().poll(cx)));
        self.watchdog.check_since(began);
        match polled {
            Ok(polled) => polled.map(Outcome::from),
            Err(_) => {
                self.counters.panics.add("handler");
                Poll::Ready(answers::panicked())
            }
        }
    }
}
