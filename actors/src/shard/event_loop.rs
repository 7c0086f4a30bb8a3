//! The event loop of a shard, for any driver.
//!
//! An iteration handles commands, messages, wakes and expired timers, lets the executor run the scheduled
//! tasks, and ends with the driver's turn. Only that turn may wait. Each step is bounded, so no kind of work
//! keeps the others waiting.

use std::{
    hint, io,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    driver::{Driver, Wait},
    group::ShardGroup,
    inbox::{InboxReceiver, ShardSender},
    local::{Local, TICK},
    remote::Remote,
};
use crate::{
    error::FailureCause,
    future::{catch_panic_async, panic_message},
    host,
    stop::Phase,
    wake::{WakeTarget, Wakeable},
};

/// Maximum number of messages passed to the driver in one iteration.
const MESSAGES_PER_TURN: u64 = 256;
/// Maximum number of calls run in one iteration.
const CALLS_PER_TURN: usize = 64;
/// Maximum number of timers fired in one iteration.
const TIMERS_PER_TURN: u64 = 256;
/// A wait shorter than this suggests that two shards are exchanging messages.
const SHORT_WAIT: Duration = Duration::from_micros(150);
/// Processor pauses between two polls of the queues.
const PAUSES_PER_POLL: usize = 8;
/// Maximum number of rounds in which cancelled tasks may end. After that the shard ends without them.
const CANCEL_ROUNDS: usize = 1024;

/// Stage of the event loop's stop.
///
/// ```text
/// NotStopping ──► OwnActors ──► OtherActors ──► Driver
///              stop begins   own actors     actors of all
///                            have exited    shards have exited
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StopStage {
    NotStopping,
    /// The actors of this shard are exiting.
    OwnActors,
    /// The actors of other shards are exiting. They may still need this driver.
    OtherActors,
    /// The driver is stopping.
    Driver,
}

/// Event loop of a shard with its driver.
pub(crate) struct EventLoop<D: Driver> {
    pub(crate) local: Local,
    remote: Arc<Remote>,
    group: Arc<ShardGroup>,
    pub(crate) driver: D,
    inbox: ShardSender<D::Msg>,
    pub(crate) inbox_receiver: InboxReceiver<D::Msg>,
    /// Buffer for what was woken, reused in each iteration.
    woken: Vec<Arc<Wakeable>>,
    /// Buffer for the tokens and labels of filled outlets, reused in each iteration.
    filled: Vec<(u64, u32)>,
    /// Set if a message ended the last wait soon after it began. The next wait may be as short.
    last_wait_was_short: bool,
    stop: StopStage,
}

/// Creates the driver, calls `started`, and runs the shard until it has stopped or failed. Then cancels its
/// tasks and closes its inbox and its calls.
pub(crate) async fn run<D: Driver>(
    local: Local,
    group: Arc<ShardGroup>,
    inbox: ShardSender<D::Msg>,
    factory: &(impl Fn(&Local) -> io::Result<D> + ?Sized),
    started: impl FnOnce(),
) -> Result<(), FailureCause> {
    let remote = Arc::clone(local.remote());
    let whole_life = async {
        let driver = factory(&local).map_err(|error| FailureCause::Factory(Arc::new(error)))?;
        started();
        let event_loop = EventLoop::new(local.clone(), Arc::clone(&group), driver, inbox.clone());
        event_loop.run_until_stopped().await.map_err(|error| FailureCause::Driver(Arc::new(error)))
    };
    let outcome = catch_panic_async(whole_life).await;
    inbox.close(&mut InboxReceiver::new());
    cancel_tasks(&local).await;
    remote.close();
    group.record_actors_exited(remote.index);
    outcome.unwrap_or_else(|payload| Err(FailureCause::Panic(panic_message(payload.as_ref()))))
}

/// Cancels all tasks of a shard and runs them until they have ended. Leaves behind those that do not end in
/// [`CANCEL_ROUNDS`].
pub(crate) async fn cancel_tasks(local: &Local) {
    local.close();
    let mut woken = Vec::new();
    for _ in 0..CANCEL_ROUNDS {
        local.remote().wakes.take(&mut woken);
        for wakeable in woken.drain(..) {
            local.schedule(&wakeable);
        }
        if local.tasks() == 0 {
            return;
        }
        host::yield_now().await;
    }
    tracing::error!(
        shard = local.shard(),
        tasks = local.tasks(),
        "cancelled tasks of the shard did not end, leaving them behind"
    );
}

impl<D: Driver> Drop for EventLoop<D> {
    fn drop(&mut self) {
        self.inbox.close(&mut self.inbox_receiver);
    }
}

impl<D: Driver> EventLoop<D> {
    /// Creates the event loop of a shard that is not stopping.
    pub(crate) fn new(local: Local, group: Arc<ShardGroup>, driver: D, inbox: ShardSender<D::Msg>) -> Self {
        let remote = Arc::clone(local.remote());
        Self {
            local,
            remote,
            group,
            driver,
            inbox,
            inbox_receiver: InboxReceiver::new(),
            woken: Vec::new(),
            filled: Vec::new(),
            last_wait_was_short: false,
            stop: StopStage::NotStopping,
        }
    }

    async fn run_until_stopped(mut self) -> io::Result<()> {
        loop {
            self.handle_queues();
            if self.local.task_table().scheduled() > 0 {
                host::yield_now().await;
            }
            if self.advance_stop() {
                return Ok(());
            }
            self.turn(None)?;
        }
    }

    /// Handles commands, messages, wakes and expired timers.
    pub(crate) fn handle_queues(&mut self) {
        self.handle_commands();
        self.handle_messages();
        self.handle_wakes();
        self.fire_timers();
    }

    fn handle_commands(&mut self) {
        if !self.remote.command_flag.lower() {
            return;
        }
        for _ in 0..CALLS_PER_TURN {
            let Some(call) = self.remote.next_call() else { return };
            call();
        }
        self.remote.command_flag.raise();
    }

    fn handle_messages(&mut self) {
        if !self.remote.inbox_flag.lower() {
            return;
        }
        let mut handled = 0;
        while let Some(message) = self.inbox.receive(&mut self.inbox_receiver) {
            self.driver.message(message);
            handled += 1;
            if handled == MESSAGES_PER_TURN {
                self.remote.inbox_flag.raise();
                break;
            }
        }
        self.remote.stats.count_messages(handled);
    }

    fn handle_wakes(&mut self) {
        if !self.remote.wakes.is_raised() {
            return;
        }
        self.remote.wakes.take(&mut self.woken);
        self.remote.stats.count_wakes(self.woken.len() as u64);
        for wakeable in self.woken.drain(..) {
            match wakeable.target() {
                WakeTarget::Task => self.local.schedule(&wakeable),
                WakeTarget::Driver(token) => {
                    wakeable.clear_scheduled();
                    self.driver.woken(token);
                }
            }
        }
    }

    fn fire_timers(&mut self) {
        let now = self.local.now();
        let mut fired = 0;
        while fired < TIMERS_PER_TURN {
            // The wake may call into the timers again, so the borrow ends first.
            let expired = self.local.timers().pop_expired(now);
            let Some(waker) = expired else { break };
            waker.wake();
            fired += 1;
        }
        if fired > 0 {
            self.remote.stats.count_timers(fired);
        }
    }

    /// Reports the outlets that tasks have filled to the driver.
    fn report_filled_outlets(&mut self) {
        self.local.outlets().filled(&mut self.filled);
        for (token, label) in self.filled.drain(..) {
            self.driver.filled(token, label);
        }
    }

    /// Runs one turn of the driver. It waits for events, but not longer than to `latest`.
    pub(crate) fn turn(&mut self, latest: Option<Instant>) -> io::Result<()> {
        self.report_filled_outlets();
        let wait = match (self.choose_wait(), latest) {
            (Wait::Until(deadline), Some(latest)) => Wait::Until(deadline.min(latest)),
            (Wait::Forever, Some(latest)) => Wait::Until(latest),
            (wait, _) => wait,
        };
        let waits = wait != Wait::Poll;
        if waits {
            self.local.begin_wait(if let Wait::Until(until) = wait { Some(until) } else { None });
        }
        let start = self.local.now();
        let outcome = self.driver.turn(wait);
        if waits {
            self.remote.wakes.doorbell.set_awake();
            let waited = self.local.now().saturating_duration_since(start);
            self.last_wait_was_short = waited < SHORT_WAIT && self.remote.has_work();
        }
        self.remote.stats.count_turn();
        self.local.end_turn();
        outcome
    }

    /// Returns how long the driver may wait. For anything but `Poll` the shard is marked as asleep.
    fn choose_wait(&mut self) -> Wait {
        if self.driver.pending() || self.remote.has_work() || self.local.task_table().scheduled() > 0 {
            return Wait::Poll;
        }
        if self.local.was_busy_for_long() {
            return Wait::Poll;
        }
        let now = self.local.now();
        // Waking at least once in a tick shows whether the shard was paused.
        let of_driver = self.driver.deadline().map(|deadline| deadline.min(now + TICK));
        let deadline = earliest(self.local.timers().next_deadline(), of_driver);
        if deadline.is_some_and(|deadline| deadline <= now)
            || self.busy_poll_finds_work()
            || !self.remote.wakes.doorbell.prepare_sleep(|| self.remote.has_work())
        {
            return Wait::Poll;
        }
        deadline.map_or(Wait::Forever, Wait::Until)
    }

    /// Polls the queues for a short time if the last wait was short. Returns `true` if there is work.
    fn busy_poll_finds_work(&mut self) -> bool {
        let duration = self.driver.busy_poll();
        if !self.last_wait_was_short || duration.is_zero() {
            return false;
        }
        let end = Instant::now() + duration;
        loop {
            if self.remote.has_work() {
                return true;
            }
            if Instant::now() >= end {
                self.last_wait_was_short = false;
                return false;
            }
            (0..PAUSES_PER_POLL).for_each(|_| hint::spin_loop());
        }
    }

    /// Takes the next steps of a stop. Returns `true` when the driver may be dropped.
    fn advance_stop(&mut self) -> bool {
        let phase = self.remote.phase();
        if phase == Phase::Running {
            return false;
        }
        if phase == Phase::Abort {
            return true;
        }
        if self.stop == StopStage::NotStopping {
            self.stop = StopStage::OwnActors;
            self.wake_tasks();
        }
        if self.stop == StopStage::OwnActors && self.remote.has_no_actors() {
            self.stop = StopStage::OtherActors;
            self.group.record_actors_exited(self.remote.index);
        }
        if self.stop == StopStage::OtherActors && self.group.all_actors_exited() {
            self.stop = StopStage::Driver;
            self.driver.stop();
        }
        self.stop == StopStage::Driver && self.driver.stopped()
    }

    /// Wakes all tasks, so that every actor checks the phase.
    fn wake_tasks(&self) {
        let tasks = self.local.task_table().all();
        for task in tasks {
            std::task::Wake::wake(task);
        }
    }
}

/// Returns the earlier of two optional instants.
fn earliest(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    one.into_iter().chain(other).min()
}
