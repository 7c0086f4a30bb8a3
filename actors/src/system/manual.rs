//! A shard on the calling thread, run a step at a time: no thread is started, and nothing happens between two steps.

use std::{fmt, io, sync::Arc, time::Instant};

use super::{exits::ThreadExits, handle::System};
use crate::{
    actor::{Registry, SystemShared},
    error::{FailureCause, ShardFailure, StartError},
    host::{self, Host, Tasks},
    shard::{Driver, Key, Local, Remote, Shard, ShardGroup, ShardSender, farewell},
};

/// Messages that may wait for the driver.
const INBOX: usize = 4096;

/// A system of one shard, whose loop is the caller's.
pub struct ManualSystem<D: Driver> {
    shard: Shard<D>,
    tasks: Tasks,
    group: Arc<ShardGroup>,
    exits: Arc<ThreadExits>,
    system: System,
    inbox: ShardSender<D::Msg>,
}

impl<D: Driver> ManualSystem<D> {
    /// Makes the shard and its driver on the calling thread. Its actors have the registry.
    ///
    /// # Errors
    ///
    /// The system refuses an eventfd, or `factory` fails.
    pub fn new(
        registry: Registry,
        factory: impl FnOnce(&Local, &ShardSender<D::Msg>) -> io::Result<D>,
    ) -> Result<Self, StartError> {
        let key = Key::new();
        let remote = Remote::new(0, key.lock()).map_err(refused)?;
        let (group, exits) = (ShardGroup::new(vec![Arc::clone(&remote)]), ThreadExits::new(1, None));
        let shared = SystemShared::new(Arc::clone(&group), registry);
        let inbox = ShardSender::new(Arc::clone(&remote), INBOX, Arc::clone(&shared.counters.refused));
        let local = Local::new(remote, Host::Tokio, key);
        let driver = factory(&local, &inbox).map_err(refused)?;
        let shard = Shard::new(local, Arc::clone(&group), driver, inbox.clone());
        let system = System::new(shared, Arc::clone(&exits), Vec::new());
        Ok(Self { shard, tasks: Tasks::default(), group, exits, system, inbox })
    }

    /// Runs one turn, which waits for something to do until `latest` at most.
    ///
    /// # Errors
    ///
    /// The driver's, which is fatal for it.
    pub fn step(&mut self, latest: Instant) -> io::Result<()> {
        let Self { shard, tasks, .. } = self;
        let _here = Here::enter(&shard.local);
        shard.local.come_back();
        tasks.run(async {
            shard.gather();
            if shard.local.table().due() > 0 {
                host::yield_now().await;
            }
            shard.turn(Some(latest))
        })
    }

    /// Returns the driver.
    pub fn driver(&mut self) -> &mut D {
        &mut self.shard.driver
    }

    /// Returns the system, to spawn actors on the shard. They run in its steps.
    pub fn system(&self) -> &System {
        &self.system
    }
}

fn refused(error: io::Error) -> StartError {
    StartError::Shards(vec![ShardFailure { shard: 0, cause: FailureCause::Host(Arc::new(error)) }])
}

impl<D: Driver> Drop for ManualSystem<D> {
    fn drop(&mut self) {
        let local = self.shard.local.clone();
        let _here = Here::enter(&local);
        self.inbox.close(&mut self.shard.intake);
        self.tasks.run(farewell(&local));
        local.remote().close();
        self.group.actors_ended(0);
        self.exits.left(0);
    }
}

impl<D: Driver> fmt::Debug for ManualSystem<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ManualSystem").field("system", &self.system).finish_non_exhaustive()
    }
}

/// Makes a shard the calling thread's own until it is dropped.
struct Here(Option<Local>);

impl Here {
    fn enter(local: &Local) -> Self {
        let before = Local::current();
        Local::set_current(Some(local.clone()));
        Self(before)
    }
}

impl Drop for Here {
    fn drop(&mut self) {
        Local::set_current(self.0.take());
    }
}
