//! Async routes: a request becomes a job of the pool, and its reply a message to the connection's shard.

use std::{
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
};

use http::Version;
use windlass_actors::{
    Pool, ShardSender,
    pool::{BlockingJob, Job, JobFuture, JobHandle, Refusal},
};

use super::started::{RunningHandler, Started};
use crate::{
    body::{Body, BodySender, Frame},
    conn::{
        env::Env,
        exchange::answers::{busy, panicked, unavailable},
        message::{Msg, Outcome},
    },
    metrics::ShardCounters,
    net::ConnId,
    request::Request,
    routing::{
        handler::{Chain, HandlerKind, HandlerOutput},
        table::TableView,
    },
};

/// Submits a request to the pool. If the pool is full, the result is the response that says so.
pub(super) fn submit(
    env: &mut Env,
    id: ConnId,
    seq: u32,
    view: &TableView,
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
        window_bytes: window_bytes(env, &request),
        request,
        chain: chain.clone(),
        reply: ReplyTo { sender: Some(sender.clone()), id, seq },
        counters: env.counters.clone(),
    });
    match enqueue(pool, job) {
        Ok(handle) => Started::Running(RunningHandler::Pool(handle, deadline)),
        Err(()) => {
            env.counters.refused.add("pool_full");
            Started::Done(busy(env, seq, "the pool is full"))
        }
    }
}

/// Submits a job to the lane that its handler needs. A job that the pool refuses does not reply.
///
/// The job has no deadline of its own. Its connection has one, which does not run while the process is
/// stopped, and cancels the job.
fn enqueue(pool: &Pool, job: Box<HttpJob>) -> Result<JobHandle, ()> {
    match job.chain.kind() {
        HandlerKind::Async | HandlerKind::Tokio => {
            pool.submit(job, None).map_err(|rejected| rejected.job.refuse(rejected.reason))
        }
        HandlerKind::Sync | HandlerKind::Shard => {
            pool.submit_blocking(job, None).map_err(|rejected| rejected.job.refuse(rejected.reason))
        }
    }
}

/// One request as a job of the pool.
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
            Refusal::Full | Refusal::Cancelled | Refusal::Expired => self.reply.disarm(),
            _ => self.reply.send_now(unavailable("the server is stopping", "The server is stopping.\n", 1)),
        }
    }
}

impl Job for HttpJob {
    fn run(self: Box<Self>) -> JobFuture {
        Box::pin(async move {
            let Self { request, chain, mut reply, counters, window_bytes } = *self;
            let mut outcome = CatchPanic(pin!(run_chain(&chain, request))).await.unwrap_or_else(|()| {
                counters.panics.add("handler");
                panicked()
            });
            let stream = take_stream(&mut outcome, window_bytes);
            reply.send(outcome).await;
            if let Some((sender, body)) = stream {
                forward(sender, body).await;
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
        // Middleware around a sync handler is async. On this lane it blocks the thread while it waits.
        let ran = catch_unwind(AssertUnwindSafe(|| pollster::block_on(run_chain(&chain, request))));
        let mut outcome = ran.unwrap_or_else(|_| {
            counters.panics.add("handler");
            panicked()
        });
        let stream = take_stream(&mut outcome, window_bytes);
        reply.send_blocking(outcome);
        if let Some((sender, body)) = stream {
            pollster::block_on(forward(sender, body));
        }
    }

    fn refuse(self: Box<Self>, why: Refusal) {
        self.refused(why);
    }
}

/// Runs the middleware and the handler on the thread that polls this future.
async fn run_chain(chain: &Arc<Chain>, request: Request) -> Outcome {
    match chain.call(request) {
        HandlerOutput::Ready(response) => response.into(),
        HandlerOutput::Future(future) => future.await.into(),
    }
}

/// Returns how far a body may run ahead of its connection. Over HTTP/2 a client can have many streams that it
/// does not read.
fn window_bytes(env: &Env, request: &Request) -> usize {
    /// Maximum number of bytes on an HTTP/2 stream.
    const STREAM_BYTES: usize = 16 * 1024;
    match request.version() {
        Version::HTTP_2 => env.limits.body_window_bytes.min(STREAM_BYTES),
        _ => env.limits.body_window_bytes,
    }
}

/// Replaces a body that must be polled on this thread by a channel to the connection. Returns the sender and
/// the body.
fn take_stream(outcome: &mut Outcome, window_bytes: usize) -> Option<(BodySender, Body)> {
    outcome
        .response
        .body()
        .needs_handler_thread()
        .then(|| outcome.response.body_mut().replace_with_channel(window_bytes))
}

/// Sends a body's frames into a channel as its window allows. Ends when the receiver is dropped, even if the
/// body has no frame ready.
async fn forward(mut sender: BodySender, mut body: Body) {
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

/// Future that returns an error if the inner future panics.
struct CatchPanic<F>(F);

impl<F: Future + Unpin> Future for CatchPanic<F> {
    type Output = Result<F::Output, ()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match catch_unwind(AssertUnwindSafe(|| Pin::new(&mut self.0).poll(cx))) {
            Ok(polled) => polled.map(Ok),
            Err(_) => Poll::Ready(Err(())),
        }
    }
}

/// Connection that waits for a reply. If it is dropped without one, it replies 503.
struct ReplyTo {
    /// `None` once the reply was sent.
    sender: Option<ShardSender<Msg>>,
    id: ConnId,
    seq: u32,
}

impl ReplyTo {
    fn message(&self, outcome: Outcome) -> Msg {
        Msg::Reply { id: self.id, seq: self.seq, outcome }
    }

    /// Sends a reply, waiting for room in the shard's inbox. That cannot deadlock: a shard never waits for a
    /// worker.
    async fn send(&mut self, outcome: Outcome) {
        let message = self.message(outcome);
        if let Some(sender) = self.sender.take() {
            // If the shard has ended, its connections are gone.
            let _ = sender.send(message).await;
        }
    }

    fn send_blocking(&mut self, outcome: Outcome) {
        let message = self.message(outcome);
        if let Some(sender) = self.sender.take() {
            let _ = sender.send_blocking(message);
        }
    }

    /// Sends a reply if the shard's inbox has room. Otherwise the connection answers when its own deadline
    /// passes.
    fn send_now(&mut self, outcome: Outcome) {
        let message = self.message(outcome);
        if let Some(sender) = self.sender.take() {
            let _ = sender.try_send(message);
        }
    }

    /// Prevents any reply.
    fn disarm(&mut self) {
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
