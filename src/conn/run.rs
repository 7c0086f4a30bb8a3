//! Running handlers: inline on the shard, as a guest of the shard when they wait, or as a job of the pool.

use std::{
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use http::StatusCode;
use windlass_actors::{TaskHandle, pool::JobHandle};

use super::{Env, Outcome, env::LocalReply, job};
use crate::{
    metrics::{RouteMetrics, ShardCounters},
    net::ConnId,
    request::Request,
    response::{Response, plain},
    routing::{
        handler::{Called, Chain, ResponseFuture},
        route::Dispatch,
        table::View,
    },
};

/// What a connection keeps of a handler that runs.
pub(super) enum Task {
    Guest(TaskHandle),
    /// With its deadline: the connection answers when it has passed.
    Job(JobHandle, Option<Instant>),
}

impl Task {
    /// Returns by when the handler has to have answered.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Guest(_) => None,
            Self::Job(_, deadline) => *deadline,
        }
    }

    /// Ends the handler: its client is gone, or got another answer.
    pub(super) fn cancel(&self) {
        match self {
            Self::Guest(guest) => guest.cancel(),
            Self::Job(job, _) => job.cancel(),
        }
    }
}

/// What starting a handler gave.
pub(super) enum Started {
    Done(Outcome),
    Running(Task),
}

/// Starts the handler of a route for request number `seq` of a connection.
pub(super) fn start(
    env: &mut Env,
    id: ConnId,
    seq: u32,
    view: &Arc<View>,
    entry: usize,
    request: Request,
) -> Started {
    let Some(chain) = view.chain(entry) else { return Started::Done(panicked()) };
    match view.table.entry(entry).dispatch() {
        Dispatch::Inline => inline(env, id, seq, &view.table.entry(entry).route_metrics, chain, request),
        Dispatch::Async => job::submit(env, id, seq, view, chain, request),
    }
}

/// Reads the clock; connections otherwise live by their batch's time.
pub(super) fn clock() -> Instant {
    Instant::now()
}

/// Polls a handler at once; what is not done by then becomes a guest of the shard.
fn inline(
    env: &mut Env,
    id: ConnId,
    seq: u32,
    route_metrics: &Arc<RouteMetrics>,
    chain: &Arc<Chain>,
    request: Request,
) -> Started {
    let began = env.read_clock();
    let called = catch_unwind(AssertUnwindSafe(|| match chain.call(request) {
        Called::Ready(response) => Ok(response),
        // The guest is polled again at once with a waker of its own, so no wake is lost here.
        Called::Future(mut future) => match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(response) => Ok(response),
            Poll::Pending => Err(future),
        },
    }));
    let held = env.read_clock().saturating_duration_since(began);
    let watch = Watch::new(env, route_metrics.clone());
    if held > watch.limit {
        watch.stalled(held);
    }
    match called {
        Ok(Ok(response)) => Started::Done(response.into()),
        Ok(Err(future)) => Started::Running(Task::Guest(spawn(env, id, seq, watch, future))),
        Err(_) => {
            env.counters.panics.add("handler");
            Started::Done(panicked())
        }
    }
}

fn spawn(env: &Env, id: ConnId, seq: u32, watch: Watch, future: ResponseFuture) -> TaskHandle {
    let replies = env.replies.clone();
    let counters = env.counters.clone();
    env.local.spawn(async move {
        let outcome = Guest { future, watch, counters }.await;
        replies.borrow_mut().push(LocalReply { id, seq, outcome });
    })
}

/// Says when an inline handler holds its shard too long.
pub(super) struct Watch {
    limit: Duration,
    shard: usize,
    route_metrics: Arc<RouteMetrics>,
}

impl Watch {
    pub(super) fn new(env: &Env, route_metrics: Arc<RouteMetrics>) -> Self {
        Self { limit: env.timeouts.inline_stall, shard: env.shard, route_metrics }
    }

    /// Looks how long the shard was held since `began`.
    pub(super) fn look(&self, began: Instant) {
        let held = began.elapsed();
        if held > self.limit {
            self.stalled(held);
        }
    }

    fn stalled(&self, held: Duration) {
        self.route_metrics.stalled(self.shard);
        let route = self.route_metrics.template();
        tracing::warn!(
            route,
            ?held,
            shard = self.shard,
            "an inline handler held its shard; make the route async"
        );
    }
}

/// An inline handler that waits: polled under the watchdog, its panics contained.
struct Guest {
    future: ResponseFuture,
    watch: Watch,
    counters: Arc<ShardCounters>,
}

impl Future for Guest {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        let began = clock();
        let polled = catch_unwind(AssertUnwindSafe(|| self.future.as_mut().poll(cx)));
        self.watch.look(began);
        match polled {
            Ok(polled) => polled.map(Outcome::from),
            Err(_) => {
                self.counters.panics.add("handler");
                Poll::Ready(panicked())
            }
        }
    }
}

/// The answer when a handler panicked.
pub(super) fn panicked() -> Outcome {
    let response = plain(StatusCode::INTERNAL_SERVER_ERROR, "The handler of this path failed.\n");
    Outcome { response, error: Some("the handler panicked") }
}

/// The answer when the server will not run a request now; the peer is told when to come back.
pub(super) fn unavailable(error: &'static str, text: &'static str, retry_after: u8) -> Outcome {
    let response: Response = plain(StatusCode::SERVICE_UNAVAILABLE, text);
    let response =
        response.with_header(http::header::RETRY_AFTER, http::HeaderValue::from(u16::from(retry_after)));
    Outcome { response, error: Some(error) }
}

/// The answer when the server has too much to do; clients come back spread over one to three seconds.
pub(super) fn busy(env: &Env, seq: u32, error: &'static str) -> Outcome {
    let mixed = seq.wrapping_mul(0x9e37_79b9) ^ env.now.elapsed().subsec_nanos();
    unavailable(error, "The server is busy.\n", (mixed % 3) as u8 + 1)
}

/// The answer to a request that is refused because its shard lags.
pub(super) fn shed(env: &Env, seq: u32) -> Outcome {
    env.counters.refused.add("lag");
    busy(env, seq, "the shard lags")
}
