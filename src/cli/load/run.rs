//! One run: connections, the schedule, the end.

use std::{
    cell::Cell,
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
use super::{
    Plan,
    args::Shares,
    gate::Gate,
    h1,
    tally::Tally,
    topic::{self, Pace, Topic},
};
use crate::client::fault::{Fault, Kind};

/// How long a connection rests after a fault, so that a dead server is not asked a million times.
pub(super) const RECOVERY: Duration = Duration::from_millis(50);
/// How often it is looked whether the run shall end early.
const LOOK: Duration = Duration::from_millis(50);
/// Faults after which going on is pointless, if nothing was ever served.
const HOPELESS: u64 = 1000;

/// What all tasks of a run share.
pub(super) struct Load {
    pub(super) plan: Plan,
    pub(super) shares: Shares,
    pub(super) gate: Gate,
    pub(super) topic: Topic,
    pub(super) tally: Tally,
    served: Cell<u64>,
    faults: Cell<u64>,
}

impl Load {
    fn new(plan: Plan, shares: Shares, tally: Tally) -> Self {
        let gate = Gate::new(plan.traffic.rate);
        let topic = Topic::new(Gate::new(plan.traffic.event_rate()), shares.subscribers());
        Self { plan, shares, gate, topic, tally, served: Cell::new(0), faults: Cell::new(0) }
    }

    /// Returns until when a request that was due then must be answered.
    pub(super) fn deadline(&self, due: Instant) -> Instant {
        due + self.plan.traffic.timeout
    }

    /// Makes the fault of an answer that does not come.
    pub(super) fn late() -> Fault {
        Fault::new(Kind::Timeout, "no answer in time")
    }

    /// Counts a request that found no free connection while it could have been answered.
    pub(super) fn unsent(&self) {
        self.fail(&Fault::new(Kind::Timeout, "a request that was due could not be sent in time"), 1);
    }

    /// Counts the answer to a request that was due then; says whether it was right.
    pub(super) fn account(&self, due: Instant, answered: Result<u16, Fault>) -> bool {
        match answered {
            Ok(..400) => {
                self.served.set(self.served.get() + 1);
                self.tally.answered(due.elapsed());
                return true;
            }
            Ok(status) => self.fail(&Fault::new(Kind::Status, format_args!("answered {status}")), 1),
            Err(fault) => self.fail(&fault, 1),
        }
        false
    }

    /// Counts a delivery.
    pub(super) fn deliver(&self, latency: Option<Duration>) {
        self.served.set(self.served.get() + 1);
        self.tally.delivered(latency);
    }

    /// Counts a fault that concerns so many requests.
    pub(super) fn fail(&self, fault: &Fault, requests: u64) {
        self.faults.set(self.faults.get() + requests);
        self.tally.failed(fault, requests);
    }

    fn is_hopeless(&self) -> bool {
        self.served.get() == 0 && self.faults.get() >= HOPELESS
    }

    fn end(&self) {
        self.gate.end();
        self.topic.gate.end();
    }
}

/// Runs to the end, or until `stop` is set.
///
/// # Errors
///
/// The system gives no runtime or no timer.
pub(super) fn run(plan: Plan, shares: Shares, tally: Tally, stop: &Arc<AtomicBool>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let load = Rc::new(Load::new(plan, shares, tally));
    let tasks = LocalSet::new();
    let ran = tasks.block_on(&runtime, drive(load, stop.clone()));
    runtime.shutdown_background();
    ran
}

async fn drive(load: Rc<Load>, stop: Arc<AtomicBool>) -> io::Result<()> {
    let mut subscribers = JoinSet::new();
    for index in 0..load.shares.subscribers() {
        let pace = if index < load.shares.fast { Pace::Fast } else { Pace::Slow };
        subscribers.spawn_local(topic::subscribe(load.clone(), index as usize, pace));
    }
    topic::begun(&load).await;
    let mut watch = JoinSet::new();
    watch.spawn_local(watch_for_end(load.clone(), stop));
    let end = Instant::now() + load.plan.traffic.duration;
    let publishing = spawn_local(publish(load.clone(), end));
    ask(&load, end).await?;
    publishing.await.unwrap_or_else(|error| Err(io::Error::other(error)))
}

async fn watch_for_end(load: Rc<Load>, stop: Arc<AtomicBool>) {
    while !stop.load(Ordering::Relaxed) && !load.is_hopeless() {
        sleep(LOOK).await;
    }
    load.end();
}

/// Has all connections that ask do so until `end`, and waits for what is owed then.
async fn ask(load: &Rc<Load>, end: Instant) -> io::Result<()> {
    if !load.shares.has_requests() {
        return Ok(());
    }
    let mut connections = JoinSet::new();
    for _ in 0..load.shares.h1 {
        connections.spawn_local(h1::ask(load.clone()));
    }
    #[cfg(feature = "http2")]
    for _ in 0..load.shares.h2 {
        connections.spawn_local(h2::ask(load.clone()));
    }
    #[cfg(feature = "ws")]
    for _ in 0..load.shares.ws {
        connections.spawn_local(ws::echo(load.clone()));
    }
    let asking = load.gate.run(end, |late| load.tally.late(late));
    asking.await?;
    let answered = async { while connections.join_next().await.is_some() {} };
    // Each of them gives up by itself at the deadline of what it waits for.
    let _ = timeout(load.plan.traffic.timeout + Duration::from_secs(1), answered).await;
    let left = load.gate.left();
    if left > 0 {
        load.fail(&Fault::new(Kind::Timeout, "requests that were due and never sent"), left);
    }
    Ok(())
}

/// Has events published until `end`, and waits until all subscribers have them.
async fn publish(load: Rc<Load>, end: Instant) -> io::Result<()> {
    if load.shares.subscribers() == 0 {
        return Ok(());
    }
    // A number of events is published however long that takes: the publisher ends it.
    let end = load.plan.traffic.events.map_or(end, |_| clock::instant_after(end, Duration::MAX));
    let mut publisher = JoinSet::new();
    publisher.spawn_local(topic::publish(load.clone()));
    load.topic.gate.run(end, |late| load.tally.late(late)).await?;
    while publisher.join_next().await.is_some() {}
    Ok(())
}
