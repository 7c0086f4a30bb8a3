//! Course of a run: subscriptions, then requests and events on schedule, then the pending responses.

use std::{
    io,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    task::{JoinSet, LocalSet, spawn_local},
    time::{sleep, timeout},
};
use windlass::actors::clock;

#[cfg(feature = "http2")]
use super::h2;
#[cfg(feature = "ws")]
use super::ws;
use super::{Plan, args::Shares, h1, publisher, run::Run, subscriber, tally::Tally, topic::Pace};
use crate::client::fault::{Fault, Kind};

/// Interval at which the run checks whether it must end early.
const CHECK_INTERVAL: Duration = Duration::from_millis(50);

/// Runs until the end of the plan, or until `stop` is set.
///
/// # Errors
///
/// The runtime or a timer cannot be created.
pub(super) fn run(plan: Plan, shares: Shares, tally: Tally, stop: &Arc<AtomicBool>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let run = Rc::new(Run::new(plan, shares, tally));
    let tasks = LocalSet::new();
    let result = tasks.block_on(&runtime, drive(run, stop.clone()));
    runtime.shutdown_background();
    result
}

async fn drive(run: Rc<Run>, stop: Arc<AtomicBool>) -> io::Result<()> {
    let mut subscribers = JoinSet::new();
    for index in 0..run.shares.subscribers() {
        let pace = if index < run.shares.fast { Pace::Fast } else { Pace::Slow };
        subscribers.spawn_local(subscriber::subscribe(run.clone(), index as usize, pace));
    }
    subscriptions_answered(&run).await;
    let mut watch = JoinSet::new();
    watch.spawn_local(end_early(run.clone(), stop));
    let end = Instant::now() + run.plan.traffic.duration;
    let publishing = spawn_local(publish(run.clone(), end));
    request(&run, end).await?;
    publishing.await.unwrap_or_else(|error| Err(io::Error::other(error)))
}

/// Waits until every subscription was answered or failed, for at most the timeout. Counts the others as
/// errors.
async fn subscriptions_answered(run: &Run) {
    let answered = run.topic.subscriptions_answered(run.shares.subscribers());
    if timeout(run.plan.traffic.timeout, answered).await.is_err() {
        let missing = run.topic.missing_subscriptions(run.shares.subscribers());
        run.count_fault(
            &Fault::new(Kind::Timeout, "subscription not answered within the timeout"),
            missing.into(),
        );
    }
}

/// Ends the run once `stop` is set, or once there are 1000 errors and no response.
async fn end_early(run: Rc<Run>, stop: Arc<AtomicBool>) {
    while !stop.load(Ordering::Relaxed) && !run.is_hopeless() {
        sleep(CHECK_INTERVAL).await;
    }
    run.end();
}

/// Sends requests on all connections until `end`, then waits for the pending responses, for at most the
/// timeout and a second. Counts the requests that were due and never sent as errors.
async fn request(run: &Rc<Run>, end: Instant) -> io::Result<()> {
    if !run.shares.has_requests() {
        return Ok(());
    }
    let mut connections = JoinSet::new();
    for _ in 0..run.shares.h1 {
        connections.spawn_local(h1::send_requests(run.clone()));
    }
    #[cfg(feature = "http2")]
    for _ in 0..run.shares.h2 {
        connections.spawn_local(h2::send_requests(run.clone()));
    }
    #[cfg(feature = "ws")]
    for _ in 0..run.shares.ws {
        connections.spawn_local(ws::send_messages(run.clone()));
    }
    run.gate.run(end, |late| run.tally.update(|totals| totals.late.record(late))).await?;
    let answered = async { while connections.join_next().await.is_some() {} };
    // Each connection gives up by itself at the deadline of its request.
    let _ = timeout(run.plan.traffic.timeout + Duration::from_secs(1), answered).await;
    let unsent = run.gate.unsent();
    if unsent > 0 {
        run.count_fault(
            &Fault::new(Kind::Timeout, "request not sent: no connection was free before the end of the load"),
            unsent,
        );
    }
    Ok(())
}

/// Publishes events until `end`, or until the fixed number of them, then waits until all subscribers have
/// received them. Does nothing without subscribers.
async fn publish(run: Rc<Run>, end: Instant) -> io::Result<()> {
    if run.shares.subscribers() == 0 {
        return Ok(());
    }
    // A fixed number of events has no time limit: the publisher ends the schedule.
    let end = run.plan.traffic.events.map_or(end, |_| clock::instant_after(end, Duration::MAX));
    let mut publisher = JoinSet::new();
    publisher.spawn_local(publisher::publish(run.clone()));
    run.topic.gate.run(end, |late| run.tally.update(|totals| totals.late.record(late))).await?;
    while publisher.join_next().await.is_some() {}
    Ok(())
}
