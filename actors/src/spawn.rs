//! How actors come to live: on which shard, with what, as whose child.

use std::{
    ops::Index,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::{
    actor::Actor,
    address::Addr,
    census::Census,
    context::Context,
    end::ActorId,
    error::SpawnError,
    family::{Kin, Tie},
    local::Local,
    mailbox::Mailbox,
    post::Post,
    remote::{Phase, Remote},
    restart::SpawnOptions,
    supervisor::{Lease, supervise},
    system::System,
};

/// Says on which shard an actor lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Place {
    /// On the shard of this index.
    Shard(usize),
    /// On the shard with the fewest actors.
    #[default]
    LeastLoaded,
}

impl System {
    /// Spawns the actor that `factory` builds on its shard, and again after each restart. Does not wait for it.
    ///
    /// # Errors
    ///
    /// There is no such shard, it is stopping, or it does not keep up with starting actors: 1024 may wait to be started
    /// on a shard, unless they are spawned there.
    pub fn spawn<A: Actor>(
        &self,
        place: Place,
        options: SpawnOptions,
        factory: impl FnMut() -> A + Send + 'static,
    ) -> Result<Addr<A::Msg>, SpawnError> {
        spawn(self.census(), place, options, factory, None)
    }

    /// Spawns one such actor on each shard.
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
    /// A shard is stopping or does not keep up with starting actors; those that came to live end again.
    pub fn spawn_each<A: Actor>(
        &self,
        options: SpawnOptions,
        factory: impl FnMut() -> A + Clone + Send + 'static,
    ) -> Result<PerShard<A::Msg>, SpawnError> {
        let one = |shard| self.spawn(Place::Shard(shard), options.clone(), factory.clone());
        (0..self.shards()).map(one).collect::<Result<_, _>>().map(PerShard)
    }
}

/// The addresses of actors of one kind, one on each shard. Indexed by the shard; clones are cheap.
#[derive(Debug)]
pub struct PerShard<M>(Arc<[Addr<M>]>);

impl<M> PerShard<M> {
    /// Returns the one on the calling thread's shard. `None` on any other thread.
    pub fn here(&self) -> Option<&Addr<M>> {
        // Two systems in one process have shards of the same index.
        self.0.get(Local::current()?.shard()).filter(|address| address.is_here())
    }

    /// Returns them all, by shard.
    pub fn iter(&self) -> std::slice::Iter<'_, Addr<M>> {
        self.0.iter()
    }
}

impl<'a, M> IntoIterator for &'a PerShard<M> {
    type Item = &'a Addr<M>;
    type IntoIter = std::slice::Iter<'a, Addr<M>>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<M> Index<usize> for PerShard<M> {
    type Output = Addr<M>;

    /// Returns the one on a shard.
    ///
    /// # Panics
    ///
    /// There is no such shard.
    fn index(&self, shard: usize) -> &Addr<M> {
        &self.0[shard]
    }
}

impl<M> Clone for PerShard<M> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<M: Send + 'static> Context<M> {
    /// Spawns a child on this actor's shard: see [`spawn_on`](Self::spawn_on).
    ///
    /// # Errors
    ///
    /// The shard is stopping.
    pub fn spawn<A: Actor>(
        &mut self,
        options: SpawnOptions,
        factory: impl FnMut() -> A + Send + 'static,
    ) -> Result<Addr<A::Msg>, SpawnError> {
        self.spawn_on(Place::Shard(self.shard()), options, factory)
    }

    /// Spawns a child: an actor that ends with this life of its parent.
    ///
    /// When a life of the child ends the parent hears of it: [`child_ended`](Actor::child_ended). When this actor ends,
    /// or is about to be built anew, its children are told to end first, and are waited for before
    /// [`stopped`](Actor::stopped) runs: they drain what waits if this actor ended in order, and drop it if it failed.
    /// Those that take longer than [`SpawnOptions::children`] are dropped where they stand. When the system drains, a
    /// child goes on until its parent has handled its last message.
    ///
    /// # Errors
    ///
    /// There is no such shard, it is stopping, or it does not keep up with starting actors.
    pub fn spawn_on<A: Actor>(
        &mut self,
        place: Place,
        options: SpawnOptions,
        factory: impl FnMut() -> A + Send + 'static,
    ) -> Result<Addr<A::Msg>, SpawnError> {
        let tie = self.nursery.tie(|| Arc::clone(&self.post) as Arc<dyn Kin>);
        let child = spawn(&self.census, place, options, factory, Some(tie))?;
        self.nursery.adopt(child.id(), Arc::clone(&child.0) as Arc<dyn Kin>);
        Ok(child)
    }
}

/// The next actor's id: one of its own in the whole process, since addresses and registries cross systems.
static IDS: AtomicU64 = AtomicU64::new(0);

fn spawn<A: Actor>(
    census: &Arc<Census>,
    place: Place,
    options: SpawnOptions,
    factory: impl FnMut() -> A + Send + 'static,
    tie: Option<Arc<Tie>>,
) -> Result<Addr<A::Msg>, SpawnError> {
    // A parent that drains may need a child for what is left to do, and waits for it: so shards do.
    let latest = if tie.is_some() { Phase::Drain } else { Phase::Running };
    let shard = choose(census, place, latest)?;
    let mailbox = Mailbox::new(options.mailbox, Arc::clone(&census.counters.refused));
    census.counters.started.fetch_add(1, Ordering::Relaxed);
    let id = ActorId(IDS.fetch_add(1, Ordering::Relaxed));
    let post = Post::new(id, &options.name, mailbox, Arc::clone(shard));
    let address = Addr::new(&post);
    let lease = Lease::new(post, Arc::clone(census), shard.settle(), tie);
    let begin = move |local: &Local| {
        let wakeable = Arc::clone(&lease.post().wakeable);
        local.attach(wakeable, supervise(lease, options, factory, local.clone()));
    };
    if let Some(local) = Local::of(shard) {
        begin(&local);
        return Ok(address);
    }
    let call = move || {
        if let Some(local) = Local::current() {
            begin(&local);
        }
    };
    match shard.run(Box::new(call)) {
        Ok(()) => Ok(address),
        Err(refused) if refused.is_full() => Err(SpawnError::Full),
        Err(_) => Err(SpawnError::Stopped),
    }
}

/// Finds a shard that takes actors. `latest` is the phase of a stop up to which it does.
fn choose(census: &Census, place: Place, latest: Phase) -> Result<&Arc<Remote>, SpawnError> {
    let shards = &census.shards;
    let chosen = match place {
        Place::Shard(shard) => {
            shards.get(shard).ok_or(SpawnError::NoSuchShard { shard, shards: shards.len() })?
        }
        Place::LeastLoaded => {
            let open = shards.iter().filter(|shard| shard.is_open(latest));
            open.min_by_key(|shard| shard.actors()).ok_or(SpawnError::Stopped)?
        }
    };
    if chosen.is_open(latest) { Ok(chosen) } else { Err(SpawnError::Stopped) }
}
