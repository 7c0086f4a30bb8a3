//! The loop of a shard, over any driver.
//!
//! A turn: commands, messages, wakes, timers; the executor runs the guests that are due; the driver's turn, which
//! is the only wait. Each step is bounded, so that no source of work keeps the others waiting.

use std::{
    convert::Infallible,
    hint, io,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    driver::{Driver, Wait},
    group::ShardGroup,
    inbox::ShardSender,
    local::Local,
    remote::Remote,
};
use crate::{
    error::FailureCause,
    future::{contained, panic_message},
    host::{self},
    mailbox::Intake,
    stop::Phase,
    wake::{Target, Wakeable},
};

/// Messages given to the driver in one turn at most.
const MESSAGES_PER_TURN: u64 = 256;
/// Calls run in one turn at most.
const CALLS_PER_TURN: usize = 64;
/// Timers fired in one turn at most.
const TIMERS_PER_TURN: u64 = 256;
/// A wait that was shorter is taken for part of a conversation between shards.
const SHORT_WAIT: Duration = Duration::from_micros(150);
/// Pauses of the processor between two looks at the queues.
const LOOKS_APART: usize = 8;
/// Rounds in which cancelled guests may end before the shard ends without them.
const FAREWELL_ROUNDS: usize = 1024;

/// How far the loop's stop has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    No,
    /// This shard's actors are ending.
    Actors,
    /// Other shards' actors are ending; they may still need this driver.
    Others,
    /// The driver is ending.
    Driver,
}

pub(crate) struct Shard<D: Driver> {
    pub(crate) local: Local,
    remote: Arc<Remote>,
    group: Arc<ShardGroup>,
    pub(crate) driver: D,
    inbox: ShardSender<D::Msg>,
    pub(crate) intake: Intake<D::Msg, Infallible>,
    woken: Vec<Arc<Wakeable>>,
    /// Tokens of outlets that hold something.
    filled: Vec<u64>,
    /// The last wait was ended by a message before long: the next one may be, too.
    was_short: bool,
    stop: Stop,
}

/// Makes the driver, tells `started`, and runs the shard until it is stopped or fails.
pub(crate) async fn run<D: Driver>(
    local: Local,
    group: Arc<ShardGroup>,
    inbox: ShardSender<D::Msg>,
    factory: &(impl Fn(&Local) -> io::Result<D> + ?Sized),
    started: impl FnOnce(),
) -> Result<(), FailureCause> {
    let remote = Arc::clone(local.remote());
    let life = async {
        let driver = factory(&local).map_err(|error| FailureCause::Factory(Arc::new(error)))?;
        started();
        let shard = Shard::new(local.clone(), Arc::clone(&group), driver, inbox.clone());
        shard.live().await.map_err(|error| FailureCause::Driver(Arc::new(error)))
    };
    let outcome = contained(life).await;
    inbox.close(&mut Intake::new());
    farewell(&local).await;
    remote.close();
    group.actors_ended(remote.index);
    outcome.unwrap_or_else(|payload| Err(FailureCause::Panic(panic_message(payload.as_ref()))))
}

/// Cancels the guests and runs them until they are gone.
pub(crate) async fn farewell(local: &Local) {
    local.close();
    let mut woken = Vec::new();
    for _ in 0..FAREWELL_ROUNDS {
        local.remote().line.take(&mut woken);
        for wakeable in woken.drain(..) {
            local.call(&wakeable);
        }
        if local.tasks() == 0 {
            return;
        }
        host::yield_now().await;
    }
    tracing::error!(shard = local.shard(), tasks = local.tasks(), "cancelled guests do not end");
}

impl<D: Driver> Drop for Shard<D> {
    fn drop(&mut self) {
        self.inbox.close(&mut self.intake);
    }
}

impl<D: Driver> Shard<D> {
    pub(crate) fn new(local: Local, group: Arc<ShardGroup>, driver: D, inbox: ShardSender<D::Msg>) -> Self {
        let remote = Arc::clone(local.remote());
        Self {
            local,
            remote,
            group,
            driver,
            inbox,
            intake: Intake::new(),
            woken: Vec::new(),
            filled: Vec::new(),
            was_short: false,
            stop: Stop::No,
        }
    }

    async fn live(mut self) -> io::Result<()> {
        loop {
            self.gather();
            if self.local.table().due() > 0 {
                host::yield_now().await;
            }
            if self.has_stopped() {
                return Ok(());
            }
            self.turn(None)?;
        }
    }

    /// Takes what came from elsewhere and what is due.
    pub(crate) fn gather(&mut self) {
        self.commands();
        self.messages();
        self.wakes();
        self.timers();
    }

    fn commands(&mut self) {
        if !self.remote.commands.lower() {
            return;
        }
        for _ in 0..CALLS_PER_TURN {
            let Some(call) = self.remote.next_call() else { return };
            call();
        }
        self.remote.commands.raise();
    }

    fn messages(&mut self) {
        if !self.remote.inbox.lower() {
            return;
        }
        let mut taken = 0;
        while let Some(message) = self.inbox.receive(&mut self.intake) {
            self.driver.message(message);
            taken += 1;
            if taken == MESSAGES_PER_TURN {
                self.remote.inbox.raise();
                break;
            }
        }
        self.remote.stats.count_messages(taken);
    }

    fn wakes(&mut self) {
        if !self.remote.line.is_up() {
            return;
        }
        self.remote.line.take(&mut self.woken);
        self.remote.stats.count_wakes(self.woken.len() as u64);
        for wakeable in self.woken.drain(..) {
            match wakeable.target() {
                Target::Guest => self.local.call(&wakeable),
                Target::Driver(token) => {
                    wakeable.clear();
                    self.driver.woken(token);
                }
            }
        }
    }

    fn timers(&mut self) {
        let now = self.local.now();
        let mut fired = 0;
        while fired < TIMERS_PER_TURN {
            // The borrow ends before the wake, which may come back to the timers.
            let due = self.local.timers().pop_due(now);
            let Some(waker) = due else { break };
            waker.wake();
            fired += 1;
        }
        if fired > 0 {
            self.remote.stats.count_timers(fired);
        }
    }

    /// Tells the driver of what the guests put into its outlets.
    fn outlets(&mut self) {
        self.local.outlets().filled(&mut self.filled);
        for token in self.filled.drain(..) {
            self.driver.filled(token);
        }
    }

    /// Gives the driver its turn, which waits until `latest` at most.
    pub(crate) fn turn(&mut self, latest: Option<Instant>) -> io::Result<()> {
        self.outlets();
        let wait = match (self.wait(), latest) {
            (Wait::Until(at), Some(latest)) => Wait::Until(at.min(latest)),
            (Wait::Forever, Some(latest)) => Wait::Until(latest),
            (wait, _) => wait,
        };
        let waits = wait != Wait::Poll;
        if waits {
            self.local.begin_wait();
        }
        let began = self.local.now();
        let outcome = self.driver.turn(wait);
        if waits {
            self.remote.line.bell.rise();
            let waited = self.local.now().saturating_duration_since(began);
            self.was_short = waited < SHORT_WAIT && self.remote.has_work();
        }
        self.remote.stats.count_turn();
        self.local.end_turn();
        outcome
    }

    /// Decides how long the driver may wait; anything but `Poll` leaves the doorbell armed.
    fn wait(&mut self) -> Wait {
        if self.driver.pending() || self.remote.has_work() || self.local.table().due() > 0 {
            return Wait::Poll;
        }
        if self.local.was_held() {
            return Wait::Poll;
        }
        let deadline = earliest(self.local.timers().next(), self.driver.deadline());
        if deadline.is_some_and(|at| at <= self.local.now())
            || self.sees_work_coming()
            || !self.remote.line.bell.doze(|| self.remote.has_work())
        {
            return Wait::Poll;
        }
        deadline.map_or(Wait::Forever, Wait::Until)
    }

    /// Looks out for messages for a little while, if they came soon the last time.
    fn sees_work_coming(&mut self) -> bool {
        let busy_poll = self.driver.busy_poll();
        if !self.was_short || busy_poll.is_zero() {
            return false;
        }
        let until = Instant::now() + busy_poll;
        loop {
            if self.remote.has_work() {
                return true;
            }
            if Instant::now() >= until {
                self.was_short = false;
                return false;
            }
            (0..LOOKS_APART).for_each(|_| hint::spin_loop());
        }
    }

    /// Takes the next steps of a stop; true when the driver may be dropped.
    fn has_stopped(&mut self) -> bool {
        let phase = self.remote.phase();
        if phase == Phase::Running {
            return false;
        }
        if phase == Phase::Abort {
            return true;
        }
        if self.stop == Stop::No {
            self.stop = Stop::Actors;
            self.wake_guests();
        }
        if self.stop == Stop::Actors && self.remote.has_no_actors() {
            self.stop = Stop::Others;
            self.group.actors_ended(self.remote.index);
        }
        if self.stop == Stop::Others && self.group.all_actors_ended() {
            self.stop = Stop::Driver;
            self.driver.stop();
        }
        self.stop == Stop::Driver && self.driver.stopped()
    }

    /// Has every actor look at the phase.
    fn wake_guests(&self) {
        let guests = self.local.table().all();
        for guest in guests {
            std::task::Wake::wake(guest);
        }
    }
}

fn earliest(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    one.into_iter().chain(other).min()
}
