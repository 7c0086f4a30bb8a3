//! Supervision: runs an actor, and restarts it as its policy says.

use std::sync::{Arc, atomic::Ordering};

use super::{
    behavior::{Actor, Flow},
    cell::ActorCell,
    children::ParentLink,
    context::{Context, Incoming},
    exit::{ChildExit, ExitReason, RestartDecision},
    restart::{RestartLog, SpawnOptions},
    shared::SystemShared,
};
use crate::{
    future::{PanicPayload, catch_panic, catch_panic_async, panic_message, race},
    shard::{ActorRegistration, Local},
    stop::Phase,
    time,
};

/// Guard whose drop ends an actor, also one that never started: it closes the mailbox, counts the exit and
/// reports it to the parent and the watchers.
pub(crate) struct ExitGuard<M> {
    cell: Arc<ActorCell<M>>,
    system: Arc<SystemShared>,
    registration: ActorRegistration,
    parent: Option<Arc<ParentLink>>,
    /// Reason and decision to publish. Until the supervisor sets them, they are those of an aborted actor.
    exit: (ExitReason, RestartDecision),
}

impl<M> ExitGuard<M> {
    pub(crate) fn new(
        cell: Arc<ActorCell<M>>,
        system: Arc<SystemShared>,
        registration: ActorRegistration,
        parent: Option<Arc<ParentLink>>,
    ) -> Self {
        parent.iter().for_each(|parent| parent.begin());
        Self { cell, system, registration, parent, exit: (ExitReason::Aborted, RestartDecision::Stop) }
    }

    pub(crate) fn cell(&self) -> &Arc<ActorCell<M>> {
        &self.cell
    }

    /// Reports the end of a run to the parent, if there is one.
    fn report_to_parent(&self, reason: ExitReason, decision: RestartDecision) {
        let failures = u64::from(reason.is_failure());
        if let Some(parent) = &self.parent {
            parent.report(ChildExit { exit: self.cell.exit(reason), decision, failures });
        }
    }
}

impl<M> Drop for ExitGuard<M> {
    fn drop(&mut self) {
        debug_assert!(Arc::ptr_eq(self.registration.shard(), &self.cell.shard));
        let (reason, decision) = self.exit.clone();
        // The order matters: whoever learns of the exit finds it counted, together with the dropped messages.
        self.cell.close();
        self.system.counters.stopped.fetch_add(1, Ordering::Relaxed);
        self.report_to_parent(reason.clone(), decision);
        self.cell.exit_notifier.publish(&self.cell.exit(reason));
    }
}

/// Runs an actor until it exits, restarts included.
pub(crate) async fn supervise<A: Actor>(
    mut guard: ExitGuard<A::Msg>,
    options: SpawnOptions,
    mut factory: impl FnMut() -> A,
    local: Local,
) {
    let system = Arc::clone(&guard.system);
    let mut cx = Context::new(Arc::clone(&guard.cell), local, Arc::clone(&system), guard.parent.is_some());
    let mut restarts = RestartLog::default();
    loop {
        let reason = run_once(&mut factory, &mut cx, &options).await;
        record_failure(&reason, &system, &cx);
        if !options.restart.covers(&reason) || cx.phase() != Phase::Running {
            guard.exit = (reason, RestartDecision::Stop);
            return;
        }
        let Some(delay) = restarts.next_delay(time::now(), &options) else {
            system.counters.restart_limit_reached.fetch_add(1, Ordering::Relaxed);
            tracing::error!(
                actor = options.name,
                restarts = options.max_restarts,
                window = ?options.restart_window,
                "restart limit reached, actor exits"
            );
            guard.exit = (reason, RestartDecision::LimitReached);
            return;
        };
        guard.report_to_parent(reason.clone(), RestartDecision::Restart { delay });
        race(cx.sleep(delay), cx.stop_requested()).await;
        if cx.phase() != Phase::Running {
            // The parent has the report of the failure already.
            guard.exit = (ExitReason::StopRequested, RestartDecision::Stop);
            return;
        }
        system.counters.restarted.fetch_add(1, Ordering::Relaxed);
        cx.count_restart();
    }
}

/// Counts and logs a failure or a panic.
fn record_failure<M: Send + 'static>(reason: &ExitReason, system: &SystemShared, cx: &Context<M>) {
    match reason {
        ExitReason::Panicked(panic) => {
            system.counters.panicked.fetch_add(1, Ordering::Relaxed);
            tracing::error!(actor = cx.name(), shard = cx.shard(), panic = &**panic, "actor panicked");
        }
        ExitReason::Failed(error) => {
            system.counters.failed.fetch_add(1, Ordering::Relaxed);
            tracing::error!(actor = cx.name(), shard = cx.shard(), error = &**error, "actor failed");
        }
        _ => {}
    }
}

/// Runs an actor once, from the factory to its drop: handles messages, stops its children, calls `stopped`.
/// Returns the reason for the end of the run.
async fn run_once<A: Actor>(
    factory: &mut impl FnMut() -> A,
    cx: &mut Context<A::Msg>,
    options: &SpawnOptions,
) -> ExitReason {
    let mut actor = match catch_panic(factory) {
        Ok(actor) => actor,
        Err(payload) => return panicked(&payload),
    };
    let mut reason = handle_messages(&mut actor, cx).await;
    let phase = if reason.is_failure() { Phase::Discard } else { Phase::Drain };
    cx.end_run(phase.max(cx.phase()), options.children_grace).await;
    if !matches!(reason, ExitReason::Panicked(_))
        && let Err(payload) = catch_panic_async(actor.stopped(cx)).await
    {
        reason = panicked(&payload);
    }
    // `stopped` may have created timers, watches and children. They belong to this run too.
    cx.end_run(Phase::Discard, options.children_grace).await;
    match catch_panic(|| drop(actor)) {
        Ok(()) => reason,
        Err(payload) => panicked(&payload),
    }
}

/// Calls `started`, then handles messages and signals until the run ends. Returns the reason for the end.
async fn handle_messages<A: Actor>(actor: &mut A, cx: &mut Context<A::Msg>) -> ExitReason {
    if let Some(reason) = exit_reason(catch_panic_async(actor.started(cx)).await) {
        return reason;
    }
    while let Some(incoming) = cx.next().await {
        let outcome = match incoming {
            Incoming::Message(message) => catch_panic_async(actor.handle(message, cx)).await,
            Incoming::Child(child) => catch_panic_async(actor.child_exited(&child, cx)).await,
            Incoming::Panic(payload) => Err(payload),
        };
        if let Some(reason) = exit_reason(outcome) {
            return reason;
        }
    }
    if cx.phase() == Phase::Running { ExitReason::Unreferenced } else { ExitReason::StopRequested }
}

/// Returns the reason if the outcome of a call ends the run.
fn exit_reason(outcome: Result<Flow, PanicPayload>) -> Option<ExitReason> {
    match outcome {
        Ok(Flow::Continue) => None,
        Ok(Flow::Stop) => Some(ExitReason::Stopped),
        Ok(Flow::Fail(error)) => Some(ExitReason::Failed(error.to_string().into())),
        Err(payload) => Some(panicked(&payload)),
    }
}

fn panicked(payload: &PanicPayload) -> ExitReason {
    ExitReason::Panicked(panic_message(payload.as_ref()).into())
}
