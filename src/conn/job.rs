//! Async routes: a request as a job of the pool, its reply as a message to the connection's shard.

use std::{
    future::Future,
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use http::StatusCode;
use windlass_actors::{Job, JobFuture, Refusal, ShardSender};

use super::{
    Env, Msg, Outcome,
    run::{Started, Task, panicked, unavailable},
};
use crate::{
    body::{Body, BodySender, Frame},
    handler::{Called, Chain, Kind, ResponseFuture},
    net::ConnId,
    request::Request,
    response::{Response, plain},
    table::View,
};

/// Hands a request to the pool; a full pool is answered at once.
pub(super) fn submit(
    env: &mut Env,
    id: ConnId,
    seq: u32,
    view: &Arc<View>,
    chain: &Arc<Chain>,
    request: Request,
) -> Started {
    let (Some(pool), Some(sender)) = (&view.table.pool, env.sender()) else {
        return Started::Done(unavailable("no pool", "The server has no workers for this path.\n", 1));
    };
    let deadline = env.timeouts.job.map(|job| env.now + job);
    let reply = ReplyTo { sender: Some(sender.clone()), id, seq };
    let window_bytes = env.limits.body_window_bytes;
    let job = HttpJob { request, chain: chain.clone(), reply, deadline, window_bytes };
    let submitted = match chain.kind() {
        Kind::Async => pool.submit(job, deadline),
        Kind::Sync => pool.submit_blocking(job, deadline),
    };
    match submitted {
        Ok(handle) => Started::Running(Task::Job(handle)),
        Err(refused) => {
            refused.into_job().reply.forget();
            env.cells.refused.add("pool_full");
            Started::Done(unavailable("the pool is full", "The server is busy.\n", retry_after(seq, env.now)))
        }
    }
}

/// Spreads returning clients over one to three seconds.
fn retry_after(seq: u32, now: Instant) -> u8 {
    // The address-free entropy at hand: when it is and how old the connection's numbering is.
    let mixed = seq.wrapping_mul(0x9e37_79b9) ^ now.elapsed().subsec_nanos();
    (mixed % 3) as u8 + 1
}

/// One request on its way through the pool.
struct HttpJob {
    request: Request,
    chain: Arc<Chain>,
    reply: ReplyTo,
    deadline: Option<Instant>,
    window_bytes: usize,
}

impl Job for HttpJob {
    fn run(self: Box<Self>) -> JobFuture {
        Box::pin(async move {
            let Self { request, chain, reply, deadline, window_bytes } = *self;
            let head = Contained(run_chain(&chain, request));
            let outcome = match deadline {
                Some(deadline) => windlass_actors::timeout_at(deadline, head).await.unwrap_or_else(|| Ok(late())),
                None => head.await,
            };
            let mut outcome = outcome.unwrap_or_else(|()| panicked());
            let pump = outcome.response.body().is_source().then(|| stream(&mut outcome.response, window_bytes));
            reply.send(outcome).await;
            if let Some((sender, body)) = pump {
                pump_body(sender, body).await;
            }
        })
    }

    fn refuse(self: Box<Self>, why: Refusal) {
        let outcome = match why {
            Refusal::Late => late(),
            Refusal::Cancelled => return self.reply.forget(),
            _ => unavailable("the server stops", "The server stops.\n", 1),
        };
        self.reply.send_now(outcome);
    }
}

/// Starts the chain where it is polled; a sync handler has run when this returns.
fn run_chain(chain: &Arc<Chain>, request: Request) -> impl Future<Output = Outcome> + use<> {
    let chain = chain.clone();
    async move {
        match chain.call(request) {
            Called::Ready(response) => response.into(),
            Called::Future(future) => ResponseFuture::into(future).await.into(),
        }
    }
}

/// The answer to a request whose job was not done in time.
fn late() -> Outcome {
    unavailable("the job was late", "The server did not finish this request in time.\n", 1)
}
