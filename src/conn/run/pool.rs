//! Async routes: a request becomes a job of the pool, and its reply a message to the connection's shard.

use std::{
    any::Any,
    cell::OnceCell,
    future::poll_fn,
    panic::resume_unwind,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
};

use http::Version;
use windlass_actors::{
    Pool, ShardSender,
    pool::{BlockingJob, Job, JobFuture, JobHandle, Refusal},
};

use super::{
    call::Call,
    inline,
    started::{LateAnswer, RunningHandler, Started},
};
use crate::{
    body::{Body, BodySender, Frame},
    conn::{
        env::Env,
        exchange::answers::{busy, unavailable},
        message::{Msg, Outcome},
    },
    metrics::{Metrics, Worker, WorkerLane},
    net::ConnId,
    request::Request,
    response::Response,
    routing::{
        handler::{Answer, CatchPanic, Chain, ErrorCause, HandlerKind, HandlerOutput},
        table::TableView,
    },
};

/// Submits a request to the pool. If the pool is full or missing, answers 503, with the middleware around it
/// on the shard.
///
/// With `instead`, this response of the server takes the place of the handler's, and only the middleware
/// runs.
pub(super) fn start(
    env: &mut Env,
    id: ConnId,
    seq: u32,
    view: &TableView,
    chain: &Arc<Chain>,
    request: Request,
    instead: Option<Response>,
) -> Started {
    let (Some(pool), Some(sender)) = (&view.table.pool, env.sender()) else {
        let text = "The server has no workers for this path.\n";
        let answer = unavailable(ErrorCause::Unavailable, "the server has no pool for async routes", text, 1);
        return answered(env, id, seq, chain, request, answer);
    };
    let deadline = env.timeouts.job.and_then(|job| env.now.checked_add(job));
    let late = LateAnswer::new(chain, &request);
    let job = Box::new(HttpJob {
        window_bytes: window_bytes(env, &request),
        request,
        chain: chain.clone(),
        instead,
        metrics: env.metrics.clone(),
        reply: ReplyTo { sender: Some(sender.clone()), id, seq },
    });
    match submit(pool, job) {
        Ok(job) => Started::Running(RunningHandler::Pool { job, deadline, late }),
        Err(Some(job)) => {
            let HttpJob { request, instead, .. } = *job;
            match instead {
                Some(response) => inline::start(env, id, seq, chain, request, Some(response)),
                None => {
                    env.counters.refused.add("pool_full");
                    let answer = busy(env, seq, "the queue of the pool is full");
                    answered(env, id, seq, chain, request, answer)
                }
            }
        }
        Err(None) => Started::Done(busy(env, seq, "the queue of the pool is full").response.into()),
    }
}

/// Runs the middleware around an answer of the server on the shard. Without middleware the answer is the
/// reply.
fn answered(
    env: &mut Env,
    id: ConnId,
    seq: u32,
    chain: &Arc<Chain>,
    request: Request,
    answer: Answer,
) -> Started {
    let response = chain.site.shaped(&chain.site.keep(&request), answer);
    if chain.layers.is_empty() {
        return Started::Done(response.into());
    }
    inline::start(env, id, seq, chain, request, Some(response))
}

/// Submits a job to the lane that its handler needs. Returns the job if the pool refuses it, with its reply
/// prevented.
///
/// The job has no deadline of its own. Its connection has one, which does not run while the process is
/// stopped, and cancels the job.
fn submit(pool: &Pool, job: Box<HttpJob>) -> Result<JobHandle, Option<Box<HttpJob>>> {
    let refused: Box<dyn Any> = match job.chain.kind() {
        HandlerKind::Async | HandlerKind::Tokio => match pool.submit(job, None) {
            Ok(job) => return Ok(job),
            Err(rejected) => rejected.job,
        },
        HandlerKind::Sync | HandlerKind::Shard => match pool.submit_blocking(job, None) {
            Ok(job) => return Ok(job),
            Err(rejected) => rejected.job,
        },
    };
    let mut job = refused.downcast::<HttpJob>().ok();
    if let Some(job) = &mut job {
        job.reply.disarm();
    }
    Err(job)
}

/// One request as a job of the pool.
struct HttpJob {
    request: Request,
    chain: Arc<Chain>,
    /// Response of the server. The middleware surrounds it, and the handler is not called. `None` calls the
    /// handler.
    instead: Option<Response>,
    reply: ReplyTo,
    window_bytes: usize,
    metrics: Arc<Metrics>,
}

impl HttpJob {
    fn refused(mut self: Box<Self>, why: Refusal) {
        let answer = match why {
            // The connection answers by itself, or is gone.
            Refusal::Full | Refusal::Cancelled | Refusal::Expired => return self.reply.disarm(),
            _ => {
                unavailable(ErrorCause::Unavailable, "the server is stopping", "The server is stopping.\n", 1)
            }
        };
        let kept = self.chain.site.keep(&self.request);
        self.reply.send_now(self.chain.site.shaped(&kept, answer).into());
    }
}

impl Job for HttpJob {
    fn run(self: Box<Self>) -> JobFuture {
        let (metrics, route) = (self.metrics.clone(), self.chain.site.route().number());
        let future = Box::pin(async move {
            let Self { request, chain, instead, mut reply, window_bytes, .. } = *self;
            let mut call = Call::new(&chain, &request, instead.as_ref());
            let ran = CatchPanic(pin!(run_chain(&chain, request, instead))).await;
            let mut outcome = ran.unwrap_or_else(|payload| call.panicked(&*payload).into());
            let stream = take_stream(&mut outcome, window_bytes);
            reply.send(outcome).await;
            if let Some((sender, body)) = stream {
                forward(sender, body).await;
            }
        });
        Box::pin(Watched { future, metrics, route })
    }

    fn refuse(self: Box<Self>, why: Refusal) {
        self.refused(why);
    }
}

impl BlockingJob for HttpJob {
    fn run(self: Box<Self>) {
        let Self { request, chain, instead, mut reply, window_bytes, metrics } = *self;
        let worker = this_worker(&metrics, WorkerLane::Blocking);
        worker.activity.begin();
        let mut call = Call::new(&chain, &request, instead.as_ref());
        // Middleware around a sync handler is async. On this lane it blocks the thread while it waits.
        let run = || pollster::block_on(run_chain(&chain, request, instead));
        let ran = worker.activity.call(chain.site.route().number(), run);
        let mut outcome = ran.unwrap_or_else(|payload| call.panicked(&*payload).into());
        let stream = take_stream(&mut outcome, window_bytes);
        reply.send_blocking(outcome);
        if let Some((sender, body)) = stream {
            pollster::block_on(forward(sender, body));
        }
        worker.activity.end();
    }

    fn refuse(self: Box<Self>, why: Refusal) {
        self.refused(why);
    }
}

/// Returns the worker that this thread is.
fn this_worker(metrics: &Metrics, lane: WorkerLane) -> Arc<Worker> {
    thread_local! {
        static WORKER: OnceCell<Arc<Worker>> = const { OnceCell::new() };
    }
    WORKER.with(|worker| worker.get_or_init(|| metrics.add_worker(lane)).clone())
}

/// Future of a job. While it is polled its worker is seen to work for the route.
struct Watched {
    future: JobFuture,
    metrics: Arc<Metrics>,
    /// Number of the route.
    route: u32,
}

impl Future for Watched {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let worker = this_worker(&self.metrics, WorkerLane::Async);
        worker.activity.begin();
        let route = self.route;
        let polled = worker.activity.call(route, || self.future.as_mut().poll(cx));
        worker.activity.end();
        polled.unwrap_or_else(|payload| resume_unwind(payload))
    }
}

/// Runs the middleware and the handler on the thread that polls this future.
async fn run_chain(chain: &Arc<Chain>, request: Request, instead: Option<Response>) -> Outcome {
    match chain.call(request, instead) {
        HandlerOutput::Ready(response) => response.into(),
        HandlerOutput::Future(future) => future.await.into(),
    }
}

/// Returns how many bytes of a reply's body may wait between the pool's thread and the connection. Over
/// HTTP/2 a client can have many streams that it does not read.
fn window_bytes(env: &Env, request: &Request) -> usize {
    /// Maximum number of waiting bytes for an HTTP/2 stream.
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

/// Sends a body's frames into a channel as its window allows, up to the body's end or failure. Ends early
/// when the receiver is dropped, even if the body has no frame ready.
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

/// Return address of a request: the connection that waits for its reply. If it is dropped before a reply was
/// sent it sends 503.
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

    /// Sends a reply without waiting, even if the shard's inbox is full. The lanes of the pool bound how many
    /// jobs, and thus such replies, there can be.
    fn send_now(&mut self, outcome: Outcome) {
        let message = self.message(outcome);
        if let Some(sender) = self.sender.take() {
            // If the shard has ended, its connections are gone.
            let _ = sender.send_without_slot(message);
        }
    }

    /// Prevents any reply, also that of being dropped.
    fn disarm(&mut self) {
        self.sender = None;
    }
}

impl Drop for ReplyTo {
    fn drop(&mut self) {
        if self.sender.is_some() {
            let text = "The server dropped this request. Try again later.\n";
            let answer =
                unavailable(ErrorCause::Unavailable, "the pool dropped the job without a reply", text, 1);
            self.send_now(answer.response.into());
        }
    }
}
