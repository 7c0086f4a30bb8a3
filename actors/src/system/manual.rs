//! A system of one shard that the caller runs step by step on its own thread.
//!
//! It starts no thread, and nothing happens between two steps.

use std::{fmt, io, sync::Arc, time::Instant};

use super::{builder::DEFAULT_INBOX, handle::System, threads::ThreadExits};
use crate::{
    actor::{Registry, SystemShared},
    error::{FailureCause, ShardFailure, StartError},
    host::{self, Host, SteppedExecutor},
    shard::{Driver, EventLoop, Local, Remote, ShardGroup, ShardKey, ShardSender, cancel_tasks},
};

/// System of one shard that runs only while the caller calls [`step`](Self::step).
pub struct ManualSystem<D: Driver> {
    event_loop: EventLoop<D>,
    executor: SteppedExecutor,
    group: Arc<ShardGroup>,
    exits: Arc<ThreadExits>,
    system: System,
    inbox: ShardSender<D::Msg>,
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
        Ok(Self { event_loop, executor: SteppedExecutor::default(), group, exits, system, inbox })
    }

    /// Runs one iteration of the event loop. It waits for an event, but not longer than to `latest`.
    ///
    /// # Errors
    ///
    /// The driver failed. It must not be used any more.
    pub fn step(&mut self, latest: Instant) -> io::Result<()> {
        let Self { event_loop, executor, .. } = self;
        let _entered = Entered::enter(&event_loop.local);
        event_loop.local.record_pause();
        executor.run(async {
            event_loop.handle_queues();
            if event_loop.local.task_table().scheduled() > 0 {
                host::yield_now().await;
            }
            event_loop.turn(Some(latest))
        })
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
        let _entered = Entered::enter(&local);
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

/// Makes a shard that of the calling thread. Dropping it restores the shard before, if there was one.
struct Entered(Option<Local>);

impl Entered {
    fn enter(local: &Local) -> Self {
        let previous = Local::current();
        Local::set_current(Some(local.clone()));
        Self(previous)
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        Local::set_current(self.0.take());
    }
}
