//! Spawning actors on a system.

use super::handle::System;
use crate::{
    actor::{Actor, Addr, PerShard, Placement, SpawnOptions, spawn},
    error::SpawnError,
};

impl System {
    /// Spawns an actor and returns its address. Does not wait until the actor runs.
    ///
    /// `factory` builds the actor on its shard, at the start and after each restart.
    ///
    /// # Errors
    ///
    /// There is no such shard, it is stopping, or too many actors wait to be started there. From other
    /// threads at most 1024 actors may wait to be started on one shard.
    pub fn spawn<A: Actor>(
        &self,
        placement: Placement,
        options: SpawnOptions,
        factory: impl FnMut() -> A + Send + 'static,
    ) -> Result<Addr<A::Msg>, SpawnError> {
        spawn(self.shared(), placement, options, factory, None)
    }

    /// Spawns an actor on each shard.
    ///
    /// ```
    /// # use windlass_actors::{Actor, Context, Cores, Flow, SpawnOptions, System};
    /// # struct Cache;
    /// # impl Actor for Cache {
    /// #     type Msg = u64;
    /// #     async fn handle(&mut self, _: u64, _: &mut Context<u64>) -> Flow { Flow::Continue }
    /// # }
    /// # let system = System::builder().cores(Cores::Unpinned(2)).start()?;
    /// let caches = system.spawn_each(SpawnOptions::named("cache"), || Cache)?;
    /// assert_eq!(caches[1].shard(), 1);
    /// for cache in caches.iter() {
    ///     cache.try_tell(7)?;
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// A shard is stopping, or too many actors wait to be started there. The actors that were spawned exit
    /// again.
    pub fn spawn_each<A: Actor>(
        &self,
        options: SpawnOptions,
        factory: impl FnMut() -> A + Clone + Send + 'static,
    ) -> Result<PerShard<A::Msg>, SpawnError> {
        let one = |shard| self.spawn(Placement::Shard(shard), options.clone(), factory.clone());
        (0..self.shards()).map(one).collect::<Result<_, _>>().map(PerShard::new)
    }
}
