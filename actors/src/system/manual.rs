//! A system of one shard that the caller runs step by step on its own thread.
//!
//! It starts no thread, and nothing happens between two steps.

use std::{
    fmt, io,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{builder::DEFAULT_INBOX, handle::System, threads::ThreadExits};
use crate::{
    actor::{Registry, SystemShared},
    error::{FailureCause, ShardFailure, StartError},
    host::{self, Host, SteppedExecutor},
    shard::{Driver, EventLoop, Local, Remote, ShardGroup, ShardKey, ShardSender, cancel_tasks},
    time::{instant_after, replace_clock},
};

/// System of one shard that runs only while the caller calls [`step`](Self::step).
pub struct ManualSystem<D: Driver> {
    event_loop: EventLoop<D>,
    executor: SteppedExecutor,
    group: Arc<ShardGroup>,
    exits: Arc<ThreadExits>,
    system: System,
    inbox: ShardSender<D::Msg>,
    /// Time of the shard while its clock is stopped.
    stopped: Option<Instant>,
}

impl<D: Driver> ManualSystem<D> {
    /// Creates the shard and its driver on the calling thread. The actors of the shard use `registry`.
    ///
    /// # Errors
    ///
    /// The kernel refuses an eventfd, or `factory` fails.
    pub fn new(
        registry: Registry,
        factory: impl FnOnce(&Local, &ShardSender<D::Msg>) -> io::Result<D>,
    ) -> Result<Self, StartError> {
        let key = ShardKey::new();
        let remote = Remote::new(0, key.id()).map_err(start_error)?;
        let (group, exits) = (ShardGroup::new(vec![Arc::clone(&remote)]), ThreadExits::new(1, None));
        let shared = SystemShared::new(Arc::clone(&group), registry);
        let dropped = Arc::clone(&shared.counters.messages_dropped);
        let inbox = ShardSender::new(Arc::clone(&remote), DEFAULT_INBOX, dropped);
        let local = Local::new(remote, Host::Tokio, key);
        let driver = factory(&local, &inbox).map_err(start_error)?;
        let event_loop = EventLoop::new(local, Arc::clone(&group), driver, inbox.clone());
        let system = System::new(shared, Arc::clone(&exits), Vec::new());
        Ok(Self {
            event_loop,
            executor: SteppedExecutor::default(),
            group,
            exits,
            system,
            inbox,
            stopped: None,
        })
    }

    /// Runs one iteration of the event loop. It waits for an event, but not longer than to `latest` by the
    /// clock of the shard.
    ///
    /// # Errors
    ///
    /// The driver failed. The system must not be used after that.
    pub fn step(&mut self, latest: Instant) -> io::Result<()> {
        let Self { event_loop, executor, stopped, .. } = self;
        let entered = Entered::enter(&event_loop.local, *stopped);
        if stopped.is_none() {
            event_loop.local.record_pause();
        }
        let result = executor.run(async {
            event_loop.handle_queues();
            if event_loop.local.task_table().scheduled() > 0 {
                host::yield_now().await;
            }
            event_loop.turn(Some(latest))
        });
        *stopped = entered.leave();
        result
    }

    /// Returns the time of the shard.
    pub fn now(&self) -> Instant {
        self.stopped.unwrap_or_else(Instant::now)
    }

    /// Stops the clock of the shard. Time then passes only by [`advance`](Self::advance), and by
    /// [`clock::advance`](crate::clock::advance) within a step.
    pub fn stop_clock(&mut self) {
        self.stopped = Some(self.now());
    }

    /// Moves the clock of the shard forward, and stops it. The next step runs what has become due.
    pub fn advance(&mut self, by: Duration) {
        self.stopped = Some(instant_after(self.now(), by));
    }

    /// Moves the clock of the shard forward as if the process was stopped meanwhile, and stops the clock. The
    /// time counts as [paused](Local::paused).
    pub fn pause(&mut self, by: Duration) {
        self.advance(by);
        self.event_loop.local.add_pause(by);
    }

    /// Returns the earliest instant at which something is due, which is now if there is work already. Returns
    /// `None` if nothing is due without an event.
    pub fn next_due(&self) -> Option<Instant> {
        let Self { event_loop: EventLoop { driver, local, .. }, .. } = self;
        if driver.pending() || local.remote().has_work() || local.task_table().scheduled() > 0 {
            return Some(self.now());
        }
        let timer = local.timers().next_deadline();
        timer.into_iter().chain(driver.deadline()).min()
    }

    /// Returns the driver.
    pub fn driver(&mut self) -> &mut D {
        &mut self.event_loop.driver
    }

    /// Returns the system. Actors that are spawned on it run during the steps.
    pub fn system(&self) -> &System {
        &self.system
    }
}

fn start_error(error: io::Error) -> StartError {
    StartError::Shards(vec![ShardFailure { shard: 0, cause: FailureCause::Host(Arc::new(error)) }])
}

impl<D: Driver> Drop for ManualSystem<D> {
    fn drop(&mut self) {
        let local = self.event_loop.local.clone();
        let _entered = Entered::enter(&local, self.stopped);
        self.inbox.close(&mut self.event_loop.inbox_receiver);
        self.executor.run(cancel_tasks(&local));
        local.remote().close();
        self.group.record_actors_exited(0);
        self.exits.record_end(0);
    }
}

impl<D: Driver> fmt::Debug for ManualSystem<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ManualSystem").field("system", &self.system).finish_non_exhaustive()
    }
}

/// Makes a shard and its clock those of the calling thread. Dropping this restores the ones before.
struct Entered {
    previous: Option<Local>,
    previous_clock: Option<Instant>,
}

impl Entered {
    fn enter(local: &Local, stopped: Option<Instant>) -> Self {
        let previous = Local::current();
        Local::set_current(Some(local.clone()));
        Self { previous, previous_clock: replace_clock(stopped) }
    }

    /// Starts the clock of the thread and returns the time at which it was stopped, or `None` if it ran.
    fn leave(self) -> Option<Instant> {
        replace_clock(None)
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        replace_clock(self.previous_clock);
        Local::set_current(self.previous.take());
    }
}
