//! Async routes: a request as a job of the pool, its reply as a message to the connection's shard.

use std::{
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use windlass_actors::{
    Pool, ShardSender,
    pool::{BlockingJob, Job, JobFuture, JobHandle, Refusal},
};

use super::{
    Env, Msg, Outcome,
    run::{Started, Task, busy, panicked, unavailable},
};
use crate::{
    body::{Body, BodySender, Frame},
    metrics::ShardCounters,
    net::ConnId,
    request::Request,
    routing::{
        handler::{Called, Chain, Kind},
        table::View,
    },
};

/// Hands a request to the pool; a full pool is answered at once.
pub(super) fn submit(
    env: &mut Env,
    id: ConnId,
    seq: u32,
    view: &View,
    chain: &Arc<Chain>,
    request: Request,
) -> Started {
    let (Some(pool), Some(sender)) = (&view.table.pool, env.sender()) else {
        return Started::Done(unavailable(
            "there is no pool",
            "The server has no workers for this path.\n",
            1,
        ));
    };
    let deadline = env.timeouts.job.and_then(|job| env.now.checked_add(job));
    let job = Box::new(HttpJob {
        request,
        chain: chain.clone(),
        reply: ReplyTo { sender: Some(sender.clone()), id, seq },
        counters: env.counters.clone(),
        window_bytes: env.limits.body_window_bytes,
    });
    match enqueue(pool, job, deadline) {
        Ok(handle) => Started::Running(Task::Job(handle, deadline)),
        Err(()) => {
            env.counters.refused.add("pool_full");
            Started::Done(busy(env, seq, "the pool is full"))
        }
    }
}

/// Puts the job in the lane its handler needs; a refused job is told that nobody waits for it.
fn enqueue(pool: &Pool, job: Box<HttpJob>, start_by: Option<Instant>) -> Result<JobHandle, ()> {
    match job.chain.kind() {
        Kind::Async | Kind::Tokio => {
            pool.submit(job, start_by).map_err(|rejected| rejected.job.refuse(rejected.reason))
        }
        Kind::Sync | Kind::Shard => {
            pool.submit_blocking(job, start_by).map_err(|rejected| rejected.job.refuse(rejected.reason))
        }
    }
}

/// One request on its way through the pool.
struct HttpJob {
    request: Request,
    chain: Arc<Chain>,
    reply: ReplyTo,
    counters: Arc<ShardCounters>,
    window_bytes: usize,
}

impl HttpJob {
    fn refused(mut self: Box<Self>, why: Refusal) {
        match why {
            // The connection answers by itself, or is gone.
            Refusal::Full | Refusal::Cancelled => self.reply.forget(),
            Refusal::Expired => self.reply.send_now(late()),
            _ => self.reply.send_now(unavailable("the server stops", "The server is stopping.\n", 1)),
        }
    }
}

impl Job for HttpJob {
    fn run(self: Box<Self>) -> JobFuture {
        Box::pin(async move {
            let Self { request, chain, mut reply, counters, window_bytes } = *self;
            let mut outcome = Contained(pin!(run_chain(&chain, request))).await.unwrap_or_else(|()| {
                counters.panics.add("handler");
                panicked()
            });
            let stream = take_stream(&mut outcome, window_bytes);
            reply.send(outcome).await;
            if let Some((sender, body)) = stream {
                pump(sender, body).await;
            }
        })
    }

    fn refuse(self: Box<Self>, why: Refusal) {
        self.refused(why);
    }
}

impl BlockingJob for HttpJob {
    fn run(self: Box<Self>) {
        let Self { request, chain, mut reply, counters, window_bytes } = *self;
        // Middleware around a sync handler is async; on this lane it waits on the thread.
        let ran = catch_unwind(AssertUnwindSafe(|| pollster::block_on(run_chain(&chain, request))));
        let mut outcome = ran.unwrap_or_else(|_| {
            counters.panics.add("handler");
            panicked()
        });
        let stream = take_stream(&mut outcome, window_bytes);
        reply.send_blocking(outcome);
        if let Some((sender, body)) = stream {
            pollster::block_on(pump(sender, body));
        }
    }

    fn refuse(self: Box<Self>, why: Refusal) {
        self.refused(why);
    }
}

/// Starts the chain where it is polled; a sync handler has run when the future is first ready.
async fn run_chain(chain: &Arc<Chain>, request: Request) -> Outcome {
    match chain.call(request) {
        Called::Ready(response) => response.into(),
        Called::Future(future) => future.await.into(),
    }
}

/// The answer to a request whose job was not done in time.
pub(super) fn late() -> Outcome {
    unavailable("the job was late", "The server did not finish this request in time.\n", 1)
}

/// A body that must be polled here becomes a channel to the connection.
fn take_stream(outcome: &mut Outcome, window_bytes: usize) -> Option<(BodySender, Body)> {
    outcome
        .response
        .body()
        .needs_handler_thread()
        .then(|| outcome.response.body_mut().replace_with_channel(window_bytes))
}

/// Moves a body's pieces into a channel as its window allows, until nobody wants them: a source may be silent for long.
async fn pump(mut sender: BodySender, mut body: Body) {
    while sender.ready().await {
        let next = poll_fn(|cx| match sender.poll_closed(cx) {
            Poll::Ready(()) => Poll::Ready(None),
            Poll::Pending => body.poll_frame(cx),
        });
        match next.await {
            Some(Ok(Frame::Data(data))) => sender.push(data),
            Some(Ok(Frame::Trailers(trailers))) => return sender.finish_with(trailers),
            Some(Err(error)) => return sender.fail(error),
            None => return sender.finish(),
        }
    }
}

/// A future whose panic is its result.
struct Contained<F>(F);

impl<F: Future + Unpin> Future for Contained<F> {
    type Output = Result<F::Output, ()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match catch_unwind(AssertUnwindSafe(|| Pin::new(&mut self.0).poll(cx))) {
            Ok(polled) => polled.map(Ok),
            Err(_) => Poll::Ready(Err(())),
        }
    }
}

/// The connection that waits for a reply. Dropped unanswered, it tells so.
struct ReplyTo {
    /// None once answered.
    sender: Option<ShardSender<Msg>>,
    id: ConnId,
    seq: u32,
}

impl ReplyTo {
    fn message(&self, outcome: Outcome) -> Msg {
        Msg::Reply { id: self.id, seq: self.seq, outcome }
    }

    /// Waits for room in the shard's inbox; a shard never waits for a worker, so there will be.
    async fn send(&mut self, outcome: Outcome) {
        let message = self.message(outcome);
        if let Some(sender) = self.sender.take() {
            // A shard that has ended has no connections.
            let _ = sender.send(message).await;
        }
    }

    fn send_blocking(&mut self, outcome: Outcome) {
        let message = self.message(outcome);
        if let Some(sender) = self.sender.take() {
            let _ = sender.send_blocking(message);
        }
    }

    /// Sends if there is room; else the connection's own deadline answers.
    fn send_now(&mut self, outcome: Outcome) {
        let message = self.message(outcome);
        if let Some(sender) = self.sender.take() {
            let _ = sender.try_send(message);
        }
    }

    fn forget(&mut self) {
        self.sender = None;
    }
}

impl Drop for ReplyTo {
    fn drop(&mut self) {
        if self.sender.is_some() {
            self.send_now(unavailable("the job was dropped", "The server dropped this request.\n", 1));
        }
    }
}
