//! Keeps an actor alive as its policy says.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Instant,
};

use super::{
    behavior::{Actor, Flow},
    cell::Post,
    children::Tie,
    context::{Context, Incoming},
    exit::{ChildExit, ExitReason, RestartDecision},
    restart::{Restarts, SpawnOptions},
    shared::SystemShared,
};
use crate::{
    future::{Payload, contain, contained, panic_message, race},
    shard::{Local, Settled},
    stop::Phase,
};

/// An actor's lease in the system; dropped when it has ended, or never began. Nobody waits for it any more then.
pub(crate) struct Lease<M> {
    post: Arc<Post<M>>,
    system: Arc<SystemShared>,
    settled: Settled,
    tie: Option<Arc<Tie>>,
    /// Why it ended and what its parent is told of it; what it is until the actor says otherwise.
    end: (ExitReason, RestartDecision),
}

impl<M> Lease<M> {
    pub(crate) fn new(
        post: Arc<Post<M>>,
        system: Arc<SystemShared>,
        settled: Settled,
        tie: Option<Arc<Tie>>,
    ) -> Self {
        tie.iter().for_each(|tie| tie.begin());
        Self { post, system, settled, tie, end: (ExitReason::Aborted, RestartDecision::Stop) }
    }

    pub(crate) fn post(&self) -> &Arc<Post<M>> {
        &self.post
    }

    /// Tells the parent, if any, how a life ended.
    fn tell_parent(&self, why: ExitReason, then: RestartDecision) {
        let failures = u64::from(why.is_failure());
        if let Some(tie) = &self.tie {
            tie.tell(ChildExit { exit: self.post.ended(why), decision: then, failures });
        }
    }
}

impl<M> Drop for Lease<M> {
    fn drop(&mut self) {
        debug_assert!(Arc::ptr_eq(self.settled.shard(), &self.post.shard));
        let (why, then) = self.end.clone();
        // In this order: who hears of the end finds it counted, with all that was lost.
        self.post.close();
        self.system.counters.stopped.fetch_add(1, Ordering::Relaxed);
        self.tell_parent(why.clone(), then);
        self.post.obituary.publish(&self.post.ended(why));
    }
}

/// Runs an actor, life after life.
pub(crate) async fn supervise<A: Actor>(
    mut lease: Lease<A::Msg>,
    options: SpawnOptions,
    mut factory: impl FnMut() -> A,
    local: Local,
) {
    let system = Arc::clone(&lease.system);
    let mut cx = Context::new(Arc::clone(&lease.post), local, Arc::clone(&system), lease.tie.is_some());
    let mut restarts = Restarts::default();
    loop {
        let why = live(&mut factory, &mut cx, &options).await;
        count(&why, &system, &cx);
        if !options.restart.applies(&why) || cx.phase() != Phase::Running {
            lease.end = (why, RestartDecision::Stop);
            return;
        }
        let Some(after) = restarts.next(Instant::now(), &options) else {
            system.counters.restart_limit_reached.fetch_add(1, Ordering::Relaxed);
            tracing::error!(actor = options.name, restarts = options.max_restarts, window = ?options.restart_window, "too many restarts: the actor ends");
            lease.end = (why, RestartDecision::LimitReached);
            return;
        };
        lease.tell_parent(why.clone(), RestartDecision::Restart { delay: after });
        race(cx.sleep(after), cx.stop_begins()).await;
        if cx.phase() != Phase::Running {
            // The parent heard of the failure; that it was told to end it knows.
            lease.end = (ExitReason::StopRequested, RestartDecision::Stop);
            return;
        }
        system.counters.restarted.fetch_add(1, Ordering::Relaxed);
        cx.count_restart();
    }
}

fn count<M: Send + 'static>(why: &ExitReason, system: &SystemShared, cx: &Context<M>) {
    match why {
        ExitReason::Panicked(panic) => {
            system.counters.panicked.fetch_add(1, Ordering::Relaxed);
            tracing::error!(actor = cx.name(), shard = cx.shard(), panic = &**panic, "an actor panicked");
        }
        ExitReason::Failed(error) => {
            system.counters.failed.fetch_add(1, Ordering::Relaxed);
            tracing::error!(actor = cx.name(), shard = cx.shard(), error = &**error, "an actor failed");
        }
        _ => {}
    }
}

/// Runs one life: from the factory to the last message, and the end of the children.
async fn live<A: Actor>(
    factory: &mut impl FnMut() -> A,
    cx: &mut Context<A::Msg>,
    options: &SpawnOptions,
) -> ExitReason {
    let mut actor = match contain(factory) {
        Ok(actor) => actor,
        Err(payload) => return panicked(&payload),
    };
    let mut why = work(&mut actor, cx).await;
    let how = if why.is_failure() { Phase::Discard } else { Phase::Drain };
    cx.end_life(how.max(cx.phase()), options.children_grace).await;
    if !matches!(why, ExitReason::Panicked(_))
        && let Err(payload) = contained(actor.stopped(cx)).await
    {
        why = panicked(&payload);
    }
    // What was made while it stopped belongs to this life, too.
    cx.end_life(Phase::Discard, options.children_grace).await;
    match contain(|| drop(actor)) {
        Ok(()) => why,
        Err(payload) => panicked(&payload),
    }
}

async fn work<A: Actor>(actor: &mut A, cx: &mut Context<A::Msg>) -> ExitReason {
    if let Some(end) = ended(contained(actor.started(cx)).await) {
        return end;
    }
    while let Some(incoming) = cx.next().await {
        let outcome = match incoming {
            Incoming::Message(message) => contained(actor.handle(message, cx)).await,
            Incoming::Child(end) => contained(actor.child_exited(&end, cx)).await,
            Incoming::Panic(payload) => Err(payload),
        };
        if let Some(end) = ended(outcome) {
            return end;
        }
    }
    if cx.phase() == Phase::Running { ExitReason::Unreferenced } else { ExitReason::StopRequested }
}

fn ended(outcome: Result<Flow, Payload>) -> Option<ExitReason> {
    match outcome {
        Ok(Flow::Continue) => None,
        Ok(Flow::Stop) => Some(ExitReason::Stopped),
        Ok(Flow::Fail(error)) => Some(ExitReason::Failed(error.to_string().into())),
        Err(payload) => Some(panicked(&payload)),
    }
}

fn panicked(payload: &Payload) -> ExitReason {
    ExitReason::Panicked(panic_message(payload.as_ref()).into())
}
