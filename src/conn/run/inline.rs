//! Inline handlers: polled once by the connection, then, if they have to wait, as tasks of the shard.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Instant,
};

use windlass_actors::TaskHandle;

use super::{
    call::Call,
    started::{RunningHandler, Started},
    watchdog::{self, Watchdog},
};
use crate::{
    conn::{
        env::Env,
        message::{LocalReply, Outcome},
    },
    metrics::ShardCounters,
    net::ConnId,
    request::Request,
    response::Response,
    routing::handler::{Chain, HandlerOutput, ResponseFuture},
};

/// Calls a handler and polls its future once. If it is not ready by then it becomes a task of the shard. A
/// panic becomes a 500, and a call longer than `inline_stall` is counted and logged.
///
/// With `instead`, this response of the server takes the place of the handler's, and only the middleware
/// runs.
pub(super) fn start(
    env: &mut Env,
    id: ConnId,
    seq: u32,
    chain: &Arc<Chain>,
    request: Request,
    instead: Option<Response>,
) -> Started {
    let mut call = Call::new(chain, &request, instead.as_ref());
    let began = env.read_clock();
    let call_once = || match chain.call(request, instead) {
        HandlerOutput::Ready(response) => Ok(response),
        // No wake-up is lost: the task is polled at once, with a waker of its own.
        HandlerOutput::Future(mut future) => {
            match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(response) => Ok(response),
                Poll::Pending => Err(future),
            }
        }
    };
    let called = env.counters.activity.call(chain.site.route().number(), call_once);
    let took = env.read_clock().saturating_duration_since(began);
    watchdog::check(env.timeouts.inline_stall, env.shard, chain.site.route(), took);
    match called {
        Ok(Ok(response)) => Started::Done(response.into()),
        Ok(Err(future)) => {
            let watchdog = Watchdog::new(env, chain.site.route().clone());
            Started::Running(RunningHandler::Shard(spawn(env, id, seq, watchdog, call, future)))
        }
        Err(payload) => Started::Done(call.panicked(&*payload).into()),
    }
}

fn spawn(
    env: &Env,
    id: ConnId,
    seq: u32,
    watchdog: Watchdog,
    call: Call,
    future: ResponseFuture,
) -> TaskHandle {
    let replies = env.replies.clone();
    let counters = env.counters.clone();
    env.local.spawn(async move {
        let outcome = WaitingHandler { future, watchdog, call, counters }.await;
        replies.borrow_mut().push(LocalReply { id, seq, outcome });
    })
}

/// Inline handler that waits. Its polls are timed and its panics caught.
struct WaitingHandler {
    future: ResponseFuture,
    watchdog: Watchdog,
    call: Call,
    counters: Arc<ShardCounters>,
}

impl Future for WaitingHandler {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        let began = Instant::now();
        let Self { future, watchdog, counters, .. } = &mut *self;
        let polled = counters.activity.call(watchdog.route_number(), || future.as_mut().poll(cx));
        self.watchdog.check_since(began);
        match polled {
            Ok(polled) => polled.map(Outcome::from),
            Err(payload) => Poll::Ready(self.call.panicked(&*payload).into()),
        }
    }
}
